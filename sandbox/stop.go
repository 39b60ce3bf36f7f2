package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/monitor"
)

const defaultStopTimeout = 10 // seconds, as Docker

// kill sends a signal to the program.
func (s *Supervisor) kill(ctx context.Context, name, signal string) error {
	sig, err := parseSignal(signal, unix.SIGKILL)
	if err != nil {
		return err
	}
	b, l, err := s.findRunning(ctx, name)
	if err != nil {
		return err
	}
	if l == nil {
		return api.Errorf("kill", name, "the sandbox is not running").WithCode(1)
	}
	return s.signal(l, b, sig)
}

// signal goes by way of the monitor. Should that one not answer any more, the
// kernel still has the program's pidfd. That the program has ended is no error.
func (s *Supervisor) signal(l *link, b *box, sig unix.Signal) error {
	err := s.tell(l, b, monitor.KindSignal, api.Signal{Num: int(sig)})
	if err == nil || errors.Is(err, errOver) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case l.box != b || l.over && l.program == nil:
		return nil
	case l.program == nil:
		return err
	}
	if err := sys.Signal(l.program, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// errOver says that a monitor serves another sandbox by now.
var errOver = errors.New("the sandbox has ended")

// tell sends to the monitor of b. A monitor serves one sandbox after the other,
// and what is meant for one must not reach the next.
func (s *Supervisor) tell(l *link, b *box, kind string, body any, files ...*os.File) error {
	l.turn.RLock()
	defer l.turn.RUnlock()
	s.mu.Lock()
	mine := l.box == b
	s.mu.Unlock()
	if !mine {
		return errOver
	}
	return l.conn.Send(kind, body, files...)
}

// stop asks the program to end, waits, and kills it. restarting keeps a sandbox
// that is to be removed at its end.
func (s *Supervisor) stop(ctx context.Context, name string, r *api.Stop, restarting bool) error {
	s.mu.Lock()
	b, err := s.find(name)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	b.keep = b.keep || restarting
	l, ended, gone := b.link, b.ended, b.gone
	word, patience := b.config.Lifecycle.StopSignal, b.config.Lifecycle.StopTimeout
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	if r.Signal != "" {
		word = r.Signal
	}
	sig, err := parseSignal(word, unix.SIGTERM)
	if err != nil {
		return err
	}
	if r.Timeout != nil {
		patience = r.Timeout
	}
	if err := s.signal(l, b, sig); err != nil {
		return err
	}
	if !await(ctx, ended, timeout(patience)) {
		if err := s.signal(l, b, unix.SIGKILL); err != nil {
			return err
		}
		if !await(ctx, ended, nil) {
			return ctx.Err()
		}
	}
	if !await(ctx, gone, nil) {
		return ctx.Err()
	}
	return nil
}

// timeout is nil for ever.
func timeout(seconds *int) <-chan time.Time {
	n := defaultStopTimeout
	if seconds != nil {
		n = *seconds
	}
	if n < 0 {
		return nil
	}
	return time.After(time.Duration(n) * time.Second)
}

func await(ctx context.Context, done <-chan struct{}, late <-chan time.Time) bool {
	select {
	case <-done:
		return true
	case <-late:
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func (s *Supervisor) restart(ctx context.Context, name string, r *api.Stop) error {
	if err := s.stop(ctx, name, r, true); err != nil {
		return err
	}
	return s.startAgain(name, nil, api.Stdio{}, nil)
}

// startAgain starts a sandbox that was created, or has ended.
func (s *Supervisor) startAgain(name string, conn *api.Conn, stdio api.Stdio, c *conversation) error {
	s.mu.Lock()
	b, err := s.find(name)
	var link *link
	var gone chan struct{}
	if err == nil {
		link, gone = b.link, b.gone
	}
	running := err == nil && b.running()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if running {
		if conn != nil {
			return api.Errorf("start", name, "it is running already").WithHint("use sbx attach")
		}
		return nil
	}
	if link != nil {
		<-gone // it is just ending, and its mounts with it
	}
	prepare, join, err := s.prepareFor(&b.config)
	if err != nil {
		return err
	}
	if prepare == nil {
		prepare = s.usualPrepare(b.config.ID)
	}
	if err := s.renew(b); err != nil {
		return err
	}
	var files []*os.File
	if c != nil {
		files = c.packet.Files
	}
	if err := s.launch(b, nil, prepare, join, conn, stdio, files, false); err != nil {
		return err
	}
	if conn != nil {
		return nil
	}
	return s.awaitStart(b)
}

// renew makes a sandbox that has ended look like one that was not started yet.
func (s *Supervisor) renew(b *box) error {
	// A volatile overlay marks its work directory so that it is not mounted again:
	// what a crash could have lost does not matter for a sandbox with --rm.
	// Documentation/filesystems/overlayfs.rst, "Volatile mount".
	if err := os.RemoveAll(filepath.Join(b.dir, "work", "work", "incompat")); err != nil {
		return diskError("remove", b.dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.removed {
		return api.Errorf("start", b.config.Name, "it has just been removed").WithCode(1)
	}
	if b.link != nil {
		return api.Errorf("start", b.config.Name, "somebody else is starting it")
	}
	b.begun, b.ended, b.gone = make(chan struct{}), make(chan struct{}), make(chan struct{})
	b.fault = nil
	b.status = api.Status{State: api.Created}
	b.keep = false
	return nil
}

// awaitStart waits until the program runs, or gives the reason why it does not.
func (s *Supervisor) awaitStart(b *box) error {
	<-b.begun
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.fault != nil {
		return b.fault
	}
	return nil
}

// remove deletes a sandbox and everything in it.
func (s *Supervisor) remove(name string, force bool) error {
	s.mu.Lock()
	b, err := s.find(name)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	if b.running() && !force {
		s.mu.Unlock()
		return api.Errorf("remove", name, "the sandbox is running").WithHint("stop it first, or use rm -f").WithCode(1)
	}
	l, gone := b.link, b.gone
	s.unlist(b)
	s.mu.Unlock()
	if l == nil {
		s.clear(b.config.ID)
		return nil
	}
	if err := s.signal(l, b, unix.SIGKILL); err != nil {
		return err
	}
	<-gone // clears the directory: the sandbox is unlisted
	return nil
}
