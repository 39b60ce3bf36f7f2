package sandbox

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"sbx/api"
	"sbx/image"
)

// commit makes an image of what a sandbox has changed, on top of its image.
func (c *conversation) commit(r *api.Commit) error {
	store, err := c.s.images()
	if err != nil {
		return err
	}
	if r.Image != "" {
		if err := image.CheckName(r.Image); err != nil {
			return err
		}
	}
	told := &pace{step: api.Step{ID: "layer"}, tell: c.progress, next: time.Now().Add(3 * paceEvery)}
	if r.Quiet {
		told.tell = func(api.Progress) {}
	}
	var img image.Image
	var b *box
	err = c.withUpper(api.VerbCommit, r.Name, func(ctx context.Context, u *upper) (err error) {
		b = u.h.b
		img, err = c.s.commit(ctx, store, u, r, told.at)
		return err
	})
	if err != nil {
		return err
	}
	told.complete()
	c.s.noteBox(b, "commit", "comment", r.Message, "imageID", "sha256:"+img.ID, "imageRef", r.Image)
	return c.done("sha256:" + img.ID + "\n")
}

func (s *Supervisor) commit(ctx context.Context, store *image.Store, u *upper, r *api.Commit, progress func(int64)) (image.Image, error) {
	c := &u.h.config
	base, err := store.Resolve(c.ImageID)
	if err != nil {
		return image.Image{}, err
	}
	o := image.DeriveOptions{
		Base: c.ImageID, Config: committed(c, &base.Config), Name: r.Image, Author: r.Author, Message: r.Message,
		CreatedBy: strings.Join(c.Process.Args(), " "), Source: c.Name,
	}
	if err := o.Config.Change(r.Changes); err != nil {
		return image.Image{}, err
	}
	layer, err := s.stageUpper(ctx, store, u, r.Pause, progress)
	if err != nil {
		return image.Image{}, err
	}
	return store.Derive(ctx, layer, o)
}

// stageUpper makes a layer of an upper directory, while nothing writes to it.
func (s *Supervisor) stageUpper(ctx context.Context, store *image.Store, u *upper, pause *bool, progress func(int64)) (layer *image.Staged, err error) {
	u.h.b.commits.Lock()
	defer u.h.b.commits.Unlock()
	goOn, err := s.standStill(u.h, pause)
	if err != nil {
		return nil, err
	}
	defer func() {
		if left := goOn(); left != nil {
			err = errors.Join(err, left, store.Discard(layer))
			layer = nil
		}
	}()
	from, to := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(to, 256<<10)
		err := image.PackUpper(ctx, out, &image.Upper{
			Dir: u.dir, Lower: u.lower, Deleted: marksOf(&u.h.config).Deleted, Opaque: marksOf(&u.h.config).Opaque,
		}, progress)
		if err == nil {
			err = out.Flush()
		}
		to.CloseWithError(err)
		packed <- err
	}()
	layer, err = store.Stage(ctx, from, image.StageOptions{Source: u.h.config.Name, Holes: true})
	from.CloseWithError(err)
	// It reads from what the caller closes. And what is wrong with the sandbox's files
	// it knows better than who unpacks what it has packed.
	if wrong := <-packed; wrong != nil {
		return nil, errors.Join(wrong, store.Discard(layer))
	}
	return layer, err
}
