package sandbox

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image"
	"sbx/image/transfer"
)

// fetch sees to it that the image of a new sandbox is there, as the pull policy
// says.
func (c *conversation) fetch(spec *api.Spec, f *api.Fetch) error {
	if spec.Image == api.HostImage {
		return nil
	}
	policy := spec.Pull
	switch policy {
	case "":
		policy = api.PullMissing
	case api.PullAlways, api.PullMissing, api.PullNewer, api.PullNever:
	default:
		return api.Errorf("run", spec.Image, "--pull %s is not a policy", policy).WithHint("say always, missing, newer or never")
	}
	if f.Platform == "" && (policy == api.PullMissing || policy == api.PullNever) {
		store, err := c.s.images()
		if err != nil {
			return err
		}
		img, err := store.Resolve(spec.Image)
		if err == nil {
			return c.emulate(&img, false)
		}
		if policy == api.PullNever || !errors.Is(err, image.ErrUnknown) {
			return err
		}
	}
	o, err := c.outside(f.Reach, f.Quiet)
	if err != nil {
		return err
	}
	watch := c.watch("pull", "")
	defer watch.stop()
	got, err := transfer.Pull(watch.ctx, o, spec.Image, transfer.PullOptions{Platform: f.Platform, Policy: policy})
	if cause := watch.cause(); err != nil && cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	c.s.notePulled(&got)
	// "oci:DIR" says where the image is, not what it is called.
	if _, err := o.Store.Resolve(spec.Image); errors.Is(err, image.ErrUnknown) {
		spec.Image = got.Image.ID
	}
	return c.emulate(&got.Image, f.Platform != "")
}

// watch ends a context when the command line has gone, or asks for the end of
// what has not begun yet; op and what say in the error what is ended. It reads nothing: all packets are for the monitor.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// watchEvery is how long somebody waits at most for the end of it.
const watchEvery = 100 * time.Millisecond

func (c *conversation) watch(op, what string) *watch {
	w := &watch{}
	w.ctx, w.cancel = context.WithCancelCause(c.ctx)
	go func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-w.ctx.Done():
				return
			case <-tick.C:
				if err := c.asked(op, what); err != nil {
					w.cancel(err)
					return
				}
			}
		}
	}()
	return w
}

func (w *watch) stop() { w.cancel(context.Canceled) }

// cause is why the command line wants no more of it, if it does.
func (w *watch) cause() error {
	var e *api.Error
	if errors.As(context.Cause(w.ctx), &e) {
		return e
	}
	return nil
}

// asked looks at the next packet, and whether there will be any.
func (c *conversation) asked(op, what string) error {
	p, err := c.conn.Peek()
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil:
		return api.Errorf(op, what, "the command line has gone")
	}
	defer p.CloseFiles()
	var s api.Signal
	if p.Kind != api.KindSignal {
		return nil
	}
	if err := p.Decode(&s); err != nil {
		return nil
	}
	switch sig := unix.Signal(s.Num); sig {
	case unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT:
		return api.Errorf(op, what, "stopped by %s", unix.SignalName(sig)).WithCode(128 + s.Num)
	}
	return nil
}
