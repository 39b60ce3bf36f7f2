package sandbox

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/internal/dirs"
)

// standstill is a file that is there while a sandbox is paused for a moment and not
// because a user wants it: should we die, the next supervisor lets it go on.
func (s *Supervisor) standstill(id string) string { return filepath.Join(s.Dirs.Run, id, "standstill") }

// standStill pauses a sandbox that runs, and gives what lets it go on. Want nil is to
// pause it if that is possible.
func (s *Supervisor) standStill(h *hold, want *bool) (goOn func() error, err error) {
	nothing := func() error { return nil }
	if h.pidfd < 0 || want != nil && !*want {
		return nothing, nil
	}
	b := h.b
	if _, err := s.groupOf("pause", b); err != nil {
		if want == nil {
			return nothing, nil
		}
		return nil, err
	}
	b.control.Lock()
	defer b.control.Unlock()
	s.mu.Lock()
	l, paused := b.link, b.paused
	s.mu.Unlock()
	if l == nil {
		return nil, errEnded
	}
	if paused {
		return nothing, nil
	}
	mark := s.standstill(h.config.ID)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return nil, dirs.DiskError("write", mark, cause(err))
	}
	if err := s.freeze(b, l, true); err != nil {
		return nil, errors.Join(ended(err), removeMark(mark))
	}
	return func() error { return errors.Join(s.letGo(b, l), removeMark(mark)) }, nil
}

// letGo ends what standStill has begun.
func (s *Supervisor) letGo(b *box, l *link) error {
	b.control.Lock()
	defer b.control.Unlock()
	s.mu.Lock()
	mine := b.link == l && b.paused
	s.mu.Unlock()
	if !mine { // it has gone on, or ended, already
		return nil
	}
	if err := s.freeze(b, l, false); !errors.Is(ended(err), errEnded) {
		return err
	}
	return nil
}

// removeMark removes a file that may have gone with the sandbox.
func removeMark(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// ended takes the want of a cgroup for the end of the sandbox that has had it.
func ended(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return errEnded
	}
	return err
}

// goOn lets a sandbox go on that an earlier supervisor has paused for a moment. It is
// called while nobody else has the box.
func (s *Supervisor) goOn(b *box) error {
	mark := s.standstill(b.config.ID)
	if err := os.Remove(mark); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	group, err := s.groupOf("unpause", b)
	if err == nil {
		err = group.Freeze(false)
	}
	if err == nil {
		b.paused = false
	}
	return err
}
