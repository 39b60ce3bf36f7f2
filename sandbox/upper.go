package sandbox

import (
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/view"
)

// upper is what a sandbox has changed, held while something is done with it.
type upper struct {
	h     *hold
	dir   *os.File // the upper directory
	lower *os.File // all layers below as one directory
}

// withUpper finds a sandbox, running or not, and does something with what it has
// changed; once more from the beginning should it end meanwhile, as its directories
// may go to another one then.
func (c *conversation) withUpper(op, name string, do func(ctx context.Context, u *upper) error) error {
	gone := c.gone()
	err := c.upperOnce(gone, op, name, do)
	if errors.Is(err, errEnded) && gone.Err() == nil {
		err = c.upperOnce(gone, op, name, do)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errEnded), errors.Is(err, errRemoved):
		return api.Errorf(op, view.Safe(name), "%v", err).WithHint("try it once more")
	case errors.Is(err, context.Canceled):
		return api.Errorf(op, view.Safe(name), "stopped")
	}
	// Names in a sandbox are its programs' choice.
	e := *api.Wrap(op, name, err)
	if e.Path == "" {
		e.Path = name
	}
	e.Op, e.Path, e.Msg = op, view.Safe(e.Path), view.Safe(e.Msg)
	return &e
}

func (c *conversation) upperOnce(gone context.Context, op, name string, do func(ctx context.Context, u *upper) error) error {
	ctx, end := context.WithCancelCause(gone)
	defer end(nil)
	h, err := c.s.hold(ctx, name, false, end)
	if err != nil {
		return err
	}
	defer c.s.release(h)
	if h.config.ImageID == "" {
		return api.Errorf(op, h.config.Name, "its root is the host's own file system").
			WithHint("only sandboxes made from an image have one of their own")
	}
	u := &upper{h: h}
	if u.dir, err = c.s.openUpper(&h.config); err != nil {
		return err
	}
	defer u.dir.Close()
	if u.lower, err = c.s.openLower(&h.config); err != nil {
		return err
	}
	defer u.lower.Close()
	err = do(ctx, u)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// openLower opens what the sandbox has below its upper directory.
func (s *Supervisor) openLower(c *api.Config) (*os.File, error) {
	if len(c.Layers) == 0 { // an overlay has two at least
		return os.Open(s.base())
	}
	f, err := s.openOverlay(c, append(slices.Clone(c.Layers), "../../../base"))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	if err != nil {
		return nil, api.Wrap("mount overlay", c.Name, err).WithHint("a layer of its image is missing")
	}
	return f, nil
}
