package sandbox

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func (c *conversation) pause(r *api.Names) error {
	return c.each(r.Names, func(name string) error { return c.s.pause(c.ctx, name, true) })
}

func (c *conversation) unpause(r *api.Names) error {
	return c.each(r.Names, func(name string) error { return c.s.pause(c.ctx, name, false) })
}

// pause freezes a sandbox, or lets it go on.
func (s *Supervisor) pause(ctx context.Context, name string, on bool) error {
	op := api.VerbUnpause
	if on {
		op = api.VerbPause
	}
	b, l, err := s.findRunning(ctx, name)
	if err != nil {
		return err
	}
	if l == nil {
		return api.Errorf(op, name, "the sandbox is not running").WithCode(1)
	}
	b.control.Lock()
	defer b.control.Unlock()
	s.mu.Lock()
	paused := b.paused
	s.mu.Unlock()
	switch {
	case paused && on:
		return api.Errorf(op, name, "the sandbox is paused already").WithCode(1)
	case !paused && !on:
		return api.Errorf(op, name, "the sandbox is not paused").WithCode(1)
	}
	return s.freeze(b, l, on)
}

// freeze sets the cgroup of a running sandbox, and remembers. The caller holds
// b.control.
func (s *Supervisor) freeze(b *box, l *link, on bool) error {
	op := "unpause"
	if on {
		op = "pause"
	}
	group, err := s.groupOf(op, b)
	if err != nil {
		return err
	}
	if err := group.Freeze(on); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.link == l && b.paused != on {
		b.paused = on
		s.note(&b.config, map[bool]string{true: "pause", false: "unpause"}[on])
	}
	return nil
}

// thaw lets a sandbox go on that was sent a signal, which it would not see.
func (s *Supervisor) thaw(b *box, l *link) {
	b.control.Lock()
	defer b.control.Unlock()
	s.mu.Lock()
	paused := b.paused && b.link == l
	s.mu.Unlock()
	if !paused {
		return
	}
	// SIGKILL ends what is frozen, and then there may be no cgroup any more.
	if err := s.freeze(b, l, false); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		s.Log.Warn("unfreeze", "id", shortID(b.config.ID), "error", err)
	}
}

// refind tells whether a sandbox that an earlier supervisor has left is paused.
func (s *Supervisor) refind(b *box) {
	if b.status.State != api.Running || b.status.Cgroup == "" {
		return
	}
	group, err := s.groupOf("look at", b)
	if err == nil {
		b.paused, err = group.Frozen()
	}
	if err == nil && b.paused {
		err = s.goOn(b)
	}
	if err != nil {
		s.Log.Warn("read the cgroup", "id", shortID(b.config.ID), "error", err)
	}
}

// notPaused is the error of what a paused sandbox cannot do. The caller holds the
// lock.
func (b *box) notPaused(op, name string) error {
	if !b.paused {
		return nil
	}
	return api.Errorf(op, name, "the sandbox is paused").WithHint("sbx unpause %s", name).WithCode(1)
}
