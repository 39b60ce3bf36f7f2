package sandbox

import (
	"errors"
	"path/filepath"
	"time"

	"sbx/api"
	"sbx/image"
	"sbx/view"
)

func (c *conversation) images(r *api.ListImages) error {
	store, err := c.s.images()
	if err != nil {
		return err
	}
	list, err := store.List()
	if err != nil {
		return err
	}
	all := make([]view.Image, len(list))
	for i, img := range list {
		all[i] = listed(img)
	}
	find := func(name string) (view.Image, error) {
		img, err := store.Resolve(name)
		return listed(img), noImage(err)
	}
	text, err := view.Images(all, *r, find, time.Now())
	if err != nil {
		return err
	}
	return c.done(text)
}

// listed are the facts of an image that lists show.
func listed(img image.Image) view.Image {
	return view.Image{
		ID: img.ID, Names: img.Tags(), Digests: img.RepoDigests, Created: img.Created,
		Size: img.Size, Labels: img.Config.Labels,
	}
}

func (c *conversation) tag(r *api.Tag) error {
	store, err := c.s.images()
	if err != nil {
		return err
	}
	if err := store.Tag(r.Source, r.Target); err != nil {
		return noImage(err)
	}
	if img, err := store.Resolve(r.Target); err == nil {
		c.s.noteImage("tag", img.ID, r.Target)
	}
	return c.done("")
}

func (c *conversation) inspectImages(r *api.Inspect) error {
	return c.inspectAny(r, func(name string) (view.Object, error) {
		object, err := c.s.inspectImage(name)
		return object, noImage(err)
	})
}

// noImage is the error about an image that is not there, for a request that would
// not fetch it.
func noImage(err error) error {
	var e *api.Error
	if !errors.Is(err, image.ErrUnknown) || !errors.As(err, &e) {
		return err
	}
	shown := *e
	return shown.WithHint("see sbx images").WithCode(1)
}

// inspect looks for a sandbox of each name, and where there is none for an image,
// as Docker does.
func (c *conversation) inspect(r *api.Inspect) error {
	return c.inspectAny(r, func(name string) (view.Object, error) {
		c.s.mu.Lock()
		b, err := c.s.find(name)
		var box api.Sandbox
		if err == nil {
			box = b.view()
		}
		c.s.mu.Unlock()
		if err == nil {
			return view.Inspected(box, r.Size)
		}
		if r.Type == "container" || !errors.Is(err, errMissing) {
			return view.Object{}, err
		}
		object, err := c.s.inspectImage(name)
		if errors.Is(err, image.ErrUnknown) {
			err = api.Errorf("inspect", view.Safe(name), "there is no sandbox and no image of this name or id").
				WithHint("see sbx ps -a and sbx images").WithCode(1)
		}
		return object, err
	})
}

// inspectAny shows what there is, and then says what there is not.
func (c *conversation) inspectAny(r *api.Inspect, find func(name string) (view.Object, error)) error {
	var objects []view.Object
	var missing error
	for _, name := range r.Names {
		object, err := find(name)
		if err != nil {
			missing = err
			continue
		}
		objects = append(objects, object)
	}
	text, err := view.Inspect(objects, r.Format)
	if err != nil {
		return err
	}
	if missing != nil {
		if err := c.out(text); err != nil {
			return err
		}
		return missing
	}
	return c.done(text)
}

func (s *Supervisor) inspectImage(name string) (view.Object, error) {
	store, err := s.images()
	if err != nil {
		return view.Object{}, err
	}
	img, err := store.Resolve(name)
	if err != nil {
		return view.Object{}, err
	}
	facts := view.ImageFacts{
		Image: listed(img), Author: img.Author, Comment: img.Comment, DockerVersion: img.DockerVersion,
		Architecture: img.Architecture, Variant: img.Variant, OS: img.OS, OSVersion: img.OSVersion,
		Config: view.ImageConfig{
			User: img.Config.User, ExposedPorts: img.Config.ExposedPorts, Env: img.Config.Env,
			Entrypoint: img.Config.Entrypoint, Cmd: img.Config.Cmd, Volumes: img.Config.Volumes,
			WorkDir: img.Config.WorkDir, Labels: img.Config.Labels, StopSignal: img.Config.StopSignal,
			Healthcheck: img.Config.Healthcheck, Shell: img.Config.Shell, OnBuild: img.Config.OnBuild,
		},
		Tagged: img.Tagged,
	}
	for i, id := range img.DiffIDs {
		facts.DiffIDs = append(facts.DiffIDs, id.String())
		facts.LayerDirs = append(facts.LayerDirs, filepath.Join(s.Dirs.Storage(), "overlay", img.LayerIDs[i], "diff"))
	}
	return view.InspectedImage(facts), nil
}

func (c *conversation) history(r *api.History) error {
	store, err := c.s.images()
	if err != nil {
		return err
	}
	img, err := store.Resolve(r.Name)
	if err != nil {
		return noImage(err)
	}
	var steps []view.HistoryStep
	for i, step := range img.Steps() {
		one := view.HistoryStep{Created: step.Created, CreatedBy: step.CreatedBy, Comment: step.Comment, Size: step.Size}
		if i == 0 {
			one.ID = img.ID
		}
		steps = append(steps, one)
	}
	text, err := view.History(steps, *r, time.Now())
	if err != nil {
		return err
	}
	return c.done(text)
}

// progress passes on how far long work is. Somebody who has gone does not need to
// know, and one who does not read, as after ctrl-Z, must not hold up the work, which
// may be others' too.
func (c *conversation) progress(p api.Progress) {
	if err := c.conn.TrySend(api.KindProgress, &p); err != nil {
		c.s.Log.Debug("a client did not wait for its progress", "error", err)
	}
}
