package sandbox

import (
	"os"
	"strings"

	"sbx/api"
	"sbx/image"
	"sbx/image/transfer"
	"sbx/view"
)

// outside is how images are moved for a command line.
func (c *conversation) outside(reach api.Reach, quiet bool) (transfer.Options, error) {
	store, err := c.s.images()
	o := transfer.Options{Store: store, Dirs: c.s.Dirs, Reach: reach, Log: c.s.Log}
	if !quiet {
		o.Report = c.progress
	}
	return o, err
}

// pull fetches images, one after the other. What cannot be had is said, and the
// rest goes on.
func (c *conversation) pull(r *api.Pull) error {
	o, err := c.outside(r.Reach, r.Quiet)
	if err != nil {
		return err
	}
	ctx, code := c.gone(), 0
	for _, name := range r.Names {
		got, err := transfer.Pull(ctx, o, name, transfer.PullOptions{Platform: r.Platform, Policy: r.Policy, AllTags: r.AllTags})
		if err == nil {
			c.s.notePulled(&got)
			err = c.out(pulled(got, r.Quiet))
		}
		if err == nil {
			continue
		}
		if len(r.Names) == 1 || ctx.Err() != nil {
			return err
		}
		code = 1
		if err := c.complain(err); err != nil {
			return err
		}
	}
	return c.conn.Send(api.KindDone, &api.Done{Code: code})
}

// pulled is what docker pull ends with, or only the ids.
func pulled(got transfer.Pulled, quiet bool) string {
	all := got.All
	if len(all) == 0 {
		all = []transfer.Pulled{got}
	}
	var b strings.Builder
	for _, one := range all {
		name := view.Familiar(one.Name)
		switch {
		case quiet:
			b.WriteString("sha256:" + one.Image.ID + "\n")
			continue
		case one.Digest != "":
			b.WriteString("Digest: " + one.Digest.String() + "\n")
		}
		if one.Fresh {
			b.WriteString("Status: Downloaded newer image for " + name + "\n")
		} else {
			b.WriteString("Status: Image is up to date for " + name + "\n")
		}
		b.WriteString(view.Safe(one.Name) + "\n")
	}
	return b.String()
}

// load takes images out of an archive or a directory.
func (c *conversation) load(r *api.Load) error {
	o, err := c.outside(api.Reach{}, r.Quiet)
	if err != nil {
		return err
	}
	f, err := c.archive("load", r.Source, r.Dir)
	if err != nil {
		return err
	}
	list, err := transfer.Load(c.gone(), o, f, *r)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, one := range list {
		c.s.noteImage("load", one.Image.ID, one.Image.ID)
		for _, name := range one.Names {
			b.WriteString("Loaded image: " + view.Familiar(name) + "\n")
		}
		if len(one.Names) == 0 {
			b.WriteString("Loaded image ID: sha256:" + one.Image.ID + "\n")
		}
	}
	return c.done(b.String())
}

// archive is the file that has come with a request that names no directory.
func (c *conversation) archive(op, name, dir string) (*os.File, error) {
	switch {
	case dir != "":
		return nil, nil
	case len(c.packet.Files) != 1:
		return nil, api.Errorf(op, name, "no archive came with the request")
	}
	return c.packet.Files[0], nil
}

// here says which of the names is of no image.
func here(store *image.Store, names ...string) error {
	for _, name := range names {
		if _, err := store.Resolve(name); err != nil {
			return noImage(err)
		}
	}
	return nil
}

// push sends an image to a registry or a file.
func (c *conversation) push(r *api.Push) error {
	o, err := c.outside(r.Reach, r.Quiet)
	if err != nil {
		return err
	}
	if !r.AllTags {
		if err := here(o.Store, r.Name); err != nil {
			return err
		}
	}
	digest, err := transfer.Push(c.gone(), o, *r)
	if err != nil {
		return err
	}
	c.s.noteImage("push", "", r.Name)
	to := r.To
	if to == "" {
		to = r.Name
	}
	switch tag := view.Tag(to); {
	case r.Quiet:
		return c.done(view.Safe(to) + "\n")
	case tag == "" || r.AllTags:
		return c.done("digest: " + digest.String() + "\n")
	default:
		return c.done(tag + ": digest: " + digest.String() + "\n")
	}
}

// save writes images to the file that has come with the request, or to a
// directory.
func (c *conversation) save(r *api.Save) error {
	o, err := c.outside(api.Reach{}, r.Quiet)
	if err != nil {
		return err
	}
	f, err := c.archive("save", strings.Join(r.Names, " "), r.Dir)
	if err != nil {
		return err
	}
	if err := here(o.Store, r.Names...); err != nil {
		return err
	}
	if err := transfer.Save(c.gone(), o, f, *r); err != nil {
		return err
	}
	for _, name := range r.Names {
		c.s.noteImage("save", "", name)
	}
	return c.done("")
}

func (c *conversation) login(r *api.Login) error {
	o, err := c.outside(r.Reach, true)
	if err != nil {
		return err
	}
	text, err := transfer.Login(c.gone(), o, *r)
	if err != nil {
		return err
	}
	return c.done(view.SafeLines(text))
}

func (c *conversation) logout(r *api.Logout) error {
	o, err := c.outside(r.Reach, true)
	if err != nil {
		return err
	}
	text, err := transfer.Logout(c.gone(), o, *r)
	if err != nil {
		return err
	}
	return c.done(view.SafeLines(text))
}

func (c *conversation) search(r *api.Search) error {
	o, err := c.outside(r.Reach, true)
	if err != nil {
		return err
	}
	found, err := transfer.Search(c.gone(), o, *r)
	if err != nil {
		return err
	}
	list := make([]view.Repository, len(found))
	for i, f := range found {
		list[i] = view.Repository{Name: f.Name, Description: f.Description, Stars: f.Stars, Official: f.Official, Automated: f.Automated}
	}
	text, err := view.Search(list, *r)
	if err != nil {
		return err
	}
	return c.done(text)
}
