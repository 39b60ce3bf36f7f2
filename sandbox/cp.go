package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image"
	"sbx/sandbox/cp"
	"sbx/view"
)

// copy copies files between a sandbox and the host, or between two sandboxes. A
// sandbox that ends in the middle has its files copied from the beginning, as they
// are now; of a stream that cannot be.
func (c *conversation) copy(r *api.Copy) error {
	from, to := &r.From, &r.To
	host := 0
	for _, e := range []*api.CopyEnd{from, to} {
		if e.Sandbox == "" {
			host++
		}
	}
	if host > 1 || len(c.packet.Files) != host {
		return api.Errorf("copy", from.Path, "one of source and destination must be in a sandbox, SANDBOX:PATH")
	}
	notes := &leftOut{}
	told := pace{step: api.Step{ID: "files"}, tell: c.progress, next: time.Now().Add(3 * paceEvery)}
	gone := c.gone()
	err := c.copyOnce(gone, r, notes, &told)
	if errors.Is(err, errEnded) && !from.Stream && !to.Stream && gone.Err() == nil {
		*notes = leftOut{}
		err = c.copyOnce(gone, r, notes, &told)
	}
	switch {
	case errors.Is(err, errEnded), errors.Is(err, errRemoved):
		return api.Errorf("copy", view.Safe(r.From.Path), "%v", err).WithHint("copy it again")
	case errors.Is(err, context.Canceled):
		return api.Errorf("copy", view.Safe(r.From.Path), "stopped")
	case err != nil:
		return plainError(err)
	}
	if !r.Quiet {
		told.complete()
	}
	if err := notes.report(c); err != nil {
		return err
	}
	return c.done("")
}

// plainError makes the path of an error fit for a terminal: names in a sandbox are
// its programs' choice.
func plainError(err error) error {
	e := api.Wrap("copy", "", err)
	e.Path, e.Msg = view.Safe(e.Path), view.Safe(e.Msg)
	return e
}

func (c *conversation) copyOnce(gone context.Context, r *api.Copy, notes *leftOut, told *pace) (err error) {
	ctx, end := context.WithCancelCause(gone)
	defer end(nil)
	roots := map[*api.CopyEnd]*innerRoot{}
	for _, e := range []*api.CopyEnd{&r.From, &r.To} {
		if e.Sandbox == "" {
			continue
		}
		write := e == &r.To
		h, err := c.s.hold(ctx, e.Sandbox, write, end)
		if err != nil {
			return err
		}
		defer c.s.release(h)
		root, err := c.s.openInner(h, e.Path, write)
		if err != nil {
			return err
		}
		defer root.Close()
		roots[e] = root
	}
	o := cp.Options{Note: notes.add, Host: r.To.Sandbox == ""}
	if !r.Quiet {
		o.Progress = told.at
	}
	switch {
	case r.Archive:
		o.Owner, o.Attrs = cp.Same, true
	case !o.Host:
		o.Owner = cp.Root
	}
	err = c.copyBetween(ctx, r, roots, o)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// copyBetween does it, with the roots of the ends that are in a sandbox.
func (c *conversation) copyBetween(ctx context.Context, r *api.Copy, roots map[*api.CopyEnd]*innerRoot, o cp.Options) error {
	from, to := &r.From, &r.To
	if root := roots[to]; root != nil {
		o.Owners = root.owner
	}
	if from.Stream {
		return c.extract(ctx, to, roots[to].f, o)
	}
	src, err := c.source(from, roots[from], r.Follow)
	if err != nil {
		return err
	}
	if from.Sandbox != "" {
		defer src.File.Close()
	}
	if to.Stream {
		return c.archiveTo(ctx, src, roots[from].named, o)
	}
	dst := &cp.Place{Name: to.Name, Slash: to.Slash, Path: to.Path}
	if to.Sandbox != "" {
		if dst, err = cp.Locate(roots[to].f, to.Path, shown(to)); err != nil {
			return err
		}
		defer dst.Dir.Close()
	} else {
		dst.Dir = c.packet.Files[0]
	}
	return cp.Copy(ctx, src, dst, o)
}

func shown(e *api.CopyEnd) string {
	if e.Sandbox == "" {
		return e.Path
	}
	return e.Sandbox + ":" + e.Path
}

func (c *conversation) source(e *api.CopyEnd, root *innerRoot, follow bool) (*cp.Object, error) {
	if root == nil {
		return &cp.Object{File: c.packet.Files[0], Name: e.Name, Path: e.Path}, nil
	}
	return cp.Find(root.f, e.Path, shown(e), follow)
}

// extract unpacks the archive on standard input.
func (c *conversation) extract(ctx context.Context, to *api.CopyEnd, root *os.File, o cp.Options) error {
	in := cp.Reader(ctx, c.packet.Files[0])
	r, free, err := image.Unpacked(in)
	if err != nil {
		return api.Wrap("read archive", "-", err)
	}
	defer free()
	if err := cp.Extract(ctx, r, root, to.Path, shown(to), o); err != nil {
		return err
	}
	// Whoever writes the archive pads it, and is not to be killed by SIGPIPE for that.
	_, err = io.Copy(io.Discard, in)
	return err
}

// archiveTo packs an object to standard output.
func (c *conversation) archiveTo(ctx context.Context, src *cp.Object, owner image.Owner, o cp.Options) error {
	if err := cp.Readable(src); err != nil {
		return err
	}
	out := cp.NewWriter(ctx, c.packet.Files[0])
	err := image.PackOne(ctx, out, src.File, src.Name, cp.Pseudo, owner, o.Progress)
	if failed := out.Flush(); err == nil {
		err = failed
	}
	if errors.Is(err, unix.EPIPE) {
		return api.Errorf("write archive", "-", "nobody reads it any more")
	}
	return err
}

// leftOut counts what could not be copied, by kind, and keeps the first names.
type leftOut struct {
	kinds []string
	count map[string]int
	first map[string]string
}

func (l *leftOut) add(n cp.Note) {
	if l.count[n.Why] == 0 {
		if l.count == nil {
			l.count, l.first = map[string]int{}, map[string]string{}
		}
		l.kinds = append(l.kinds, n.Why)
		l.first[n.Why] = n.Path
	}
	l.count[n.Why]++
}

func (l *leftOut) report(c *conversation) error {
	for _, why := range l.kinds {
		what := view.Safe(l.first[why])
		if n := l.count[why] - 1; n > 0 {
			what += fmt.Sprintf(" and %d more", n)
		}
		text := "sbx: cp: " + what + ": " + why + "\n"
		if err := c.conn.Send(api.KindErr, &api.Text{Text: text}); err != nil {
			return err
		}
	}
	return nil
}
