package build

import (
	"context"
	"slices"
	"time"

	"sbx/build/files"
	"sbx/build/source"
	"sbx/sandbox"
)

// rootOf opens what files are taken from: a stage, an image, a context.
func (j *job) rootOf(s *stage) (root *files.Root, done func(), err error) {
	nothing := func() {}
	switch {
	case s == nil:
		return j.context.Root(), nothing, nil
	case s.foreignContext():
		root, err := j.contextOf(s)
		return root, nothing, err
	}
	dir, err := j.c.OpenLayers(links(s.run.layers))
	if err != nil {
		return nil, nothing, err
	}
	shown := "stage " + s.name
	if s.foreign {
		shown = "image " + s.ref
	}
	return &files.Root{Dir: dir, Owners: true, Shown: shown, Hashes: j.hashes}, func() { dir.Close() }, nil
}

// copyOf is a step as the copying knows it.
func (j *job) copyOf(step *step) (*files.Copy, func(), error) {
	s := step.copy
	root, done, err := j.rootOf(s.from)
	if err != nil {
		return nil, done, err
	}
	c := s.flags
	c.Epoch = j.r.Timestamp
	c.Note = func(path, why string) { j.p.Note(step.id, path+": "+why) }
	for _, src := range s.sources {
		switch {
		case !s.add || !remote(src):
			c.Items = append(c.Items, files.Item{From: root, Path: src, Unpack: s.add && (s.unpack == nil || *s.unpack)})
		default:
			t, err := j.download(step, src)
			if err != nil {
				done()
				return nil, func() {}, err
			}
			c.Items = append(c.Items, t.item(s.unpack != nil && *s.unpack && source.IsHTTP(src)))
		}
	}
	for i := range s.inline {
		c.Items = append(c.Items, files.Item{Inline: &s.inline[i]})
	}
	return &c, done, nil
}

// writable makes a step's directory and opens its file system. With bare it is empty,
// whatever is below.
func (j *job) writable(layers []*layer, bare bool) (*stepDir, *files.Target, func(), error) {
	d, err := j.newStepDir()
	if err != nil {
		return nil, nil, nil, err
	}
	root := sandbox.StepRoot{Lower: links(layers), Upper: d.name + "/u", Work: d.name + "/work"}
	below := root.Lower
	if bare {
		root.Lower = nil
	}
	dir, err := j.c.OpenStep(&root)
	if err != nil {
		return nil, nil, nil, err
	}
	to := &files.Target{Root: dir}
	if !bare {
		return d, to, func() { dir.Close() }, nil
	}
	accounts, err := j.c.OpenLayers(below)
	if err != nil {
		dir.Close()
		return nil, nil, nil, err
	}
	to.Accounts = accounts
	return d, to, func() {
		dir.Close()
		accounts.Close()
	}, nil
}

// execCopy is COPY and ADD. It is not repeatable if somebody has changed the files
// meanwhile.
func (j *job) execCopy(ctx context.Context, s *stage, step *step) (_ *layer, repeatable bool, err error) {
	c, done, err := j.copyOf(step)
	if err != nil {
		return nil, false, err
	}
	defer done()
	d, to, closeTo, err := j.writable(s.run.layers, step.copy.link)
	if err != nil {
		return nil, false, err
	}
	began, said := time.Now(), time.Time{}
	err = c.Write(ctx, *to, func(bytes int64) {
		// What takes no time needs no word.
		if now := time.Now(); now.Sub(began) > time.Second && now.Sub(said) > time.Second/10 {
			said = now
			j.p.Note(step.id, "copying: "+size(bytes))
		}
	})
	closeTo()
	if err != nil {
		return nil, false, err
	}
	if repeatable, err = j.unchanged(ctx, step, c); err != nil {
		return nil, false, err
	}
	l, err := j.changes(d, s.run.layers)
	return l, repeatable, err
}

// unchanged says that what was copied is what the key was made of: a user may edit the
// files of a context at any time.
func (j *job) unchanged(ctx context.Context, step *step, c *files.Copy) (bool, error) {
	if !slices.ContainsFunc(c.Items, func(i files.Item) bool { return i.From != nil && !i.From.Owners && !i.Literal }) {
		return true, nil // stages, images and downloads are ours
	}
	now, err := c.Digest(ctx)
	return err == nil && now == step.copy.content, err
}

// execMkdir is WORKDIR.
func (j *job) execMkdir(s *stage, step *step) (*layer, error) {
	d, to, closeTo, err := j.writable(s.run.layers, false)
	if err != nil {
		return nil, err
	}
	made, err := files.Mkdir(*to, step.mkdir.path, files.MkdirOptions{Chown: step.mkdir.user, Epoch: j.r.Timestamp})
	closeTo()
	if err != nil || !made {
		return nil, err
	}
	return j.changes(d, s.run.layers)
}

// changes is the layer of what a step has changed; nil: nothing.
func (j *job) changes(d *stepDir, below []*layer) (*layer, error) {
	touched, err := d.touched()
	if err != nil || !touched {
		return nil, err
	}
	return j.newLayer(d, below), nil
}

// fromContext makes the files of a context those that a stage begins with.
func (j *job) fromContext(ctx context.Context, s *stage) error {
	root, err := j.contextOf(s)
	if err != nil {
		return err
	}
	c := files.Copy{Items: []files.Item{{From: root, Path: "/", Literal: true}}, Dest: "/", WorkDir: "/", Epoch: j.r.Timestamp}
	content, err := c.Digest(ctx)
	if err != nil {
		return err
	}
	s.run.key = newKey("context", content, j.terms())
	d, to, done, err := j.writable(nil, false)
	if err != nil {
		return err
	}
	err = c.Write(ctx, *to, nil)
	done()
	if err != nil {
		return err
	}
	l, err := j.changes(d, nil)
	if l != nil {
		s.run.layers, s.run.created = slices.Clip([]*layer{l}), l.created
	}
	return err
}
