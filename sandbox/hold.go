package sandbox

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// A copy has the files of a sandbox open, and with them its mounts: as long as it
// goes on, the overlay of a sandbox that has ended is not gone, and must be neither
// mounted once more nor deleted. So each copy has a hold, and a sandbox that ends, is
// started or removed deals with its holds first.
//
// A copy to or from a sandbox that runs is ended with the sandbox. One into a sandbox
// that does not run keeps it from being started: that waits.
type holds struct {
	all      map[*hold]bool
	writing  *hold // into a sandbox that does not run
	starting bool  // it gets a monitor
}

// hold is one copy.
type hold struct {
	b      *box
	end    context.CancelCauseFunc
	over   chan struct{} // closed when nothing is open any more
	pidfd  int           // of the program; -1: it does not run
	config api.Config
}

var (
	errEnded   = errors.New("the sandbox has ended meanwhile")
	errRemoved = errors.New("the sandbox is being removed")
)

// hold finds a sandbox and holds it. end is called when the copy has to stop.
func (s *Supervisor) hold(ctx context.Context, name string, write bool, end context.CancelCauseFunc) (*hold, error) {
	for {
		b, l, err := s.findRunning(ctx, name)
		if err != nil {
			return nil, err
		}
		h, wait, err := s.tryHold(b, l, write, end)
		if err != nil {
			return nil, err
		}
		if h != nil {
			return h, nil
		}
		if !await(ctx, wait, nil) {
			return nil, ctx.Err()
		}
	}
}

// tryHold gives a hold, or what is to be waited for.
func (s *Supervisor) tryHold(b *box, l *link, write bool, end context.CancelCauseFunc) (*hold, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &hold{b: b, over: make(chan struct{}), pidfd: -1, end: end, config: b.config}
	switch {
	case b.removed:
		return nil, nil, api.Errorf("copy", b.config.Name, "it has just been removed").WithCode(1)
	case l != nil && b.link == l && b.running() && l.program != nil:
		fd, err := unix.FcntlInt(l.program.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, nil, limitError("dup", err)
		}
		h.pidfd = fd
	case b.link != nil:
		return nil, b.gone, nil // it is just ending, and its mounts with it
	case b.holds.starting:
		return nil, soon(), nil
	case b.holds.writing != nil:
		return nil, b.holds.writing.over, nil
	case write:
		b.holds.writing = h
	}
	if b.holds.all == nil {
		b.holds.all = map[*hold]bool{}
	}
	b.holds.all[h] = true
	return h, nil, nil
}

// soon is closed when a sandbox that gets a monitor may have it.
func soon() <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(time.Millisecond, func() { close(c) })
	return c
}

// release is called when the copy has closed everything.
func (s *Supervisor) release(h *hold) {
	if h.pidfd >= 0 {
		unix.Close(h.pidfd)
	}
	s.mu.Lock()
	delete(h.b.holds.all, h)
	if h.b.holds.writing == h {
		h.b.holds.writing = nil
	}
	s.mu.Unlock()
	close(h.over)
}

// endPatience is how long a copy may take to stop: a read from a file server that
// does not answer cannot be ended.
const endPatience = 10 * time.Second

// endCopies stops all copies of a sandbox and waits for them.
func (s *Supervisor) endCopies(b *box, why error) {
	if b == nil {
		return
	}
	s.mu.Lock()
	all := make([]*hold, 0, len(b.holds.all))
	for h := range b.holds.all {
		all = append(all, h)
	}
	s.mu.Unlock()
	for _, h := range all {
		h.end(why)
	}
	for _, h := range all {
		if !await(context.Background(), h.over, time.After(endPatience)) {
			s.Log.Warn("a copy does not stop", "id", shortID(b.config.ID))
		}
	}
}

// awaitCopies waits until nothing is copied into a sandbox that does not run.
func (s *Supervisor) awaitCopies(b *box) {
	for {
		s.mu.Lock()
		writing := b.holds.writing
		s.mu.Unlock()
		if writing == nil {
			return
		}
		<-writing.over
	}
}

// setStarting is called with the lock held when a sandbox is about to be started. It
// says no if somebody copies into it.
func (b *box) setStarting() bool {
	if b.holds.writing != nil || b.holds.starting {
		return false
	}
	b.holds.starting = true
	return true
}

// started ends what setStarting has begun.
func (s *Supervisor) started(b *box) {
	s.mu.Lock()
	b.holds.starting = false
	s.mu.Unlock()
}
