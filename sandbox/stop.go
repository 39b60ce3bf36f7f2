package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
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
	s.mu.Lock()
	withdrawn := false
	if endsPrograms(sig, b.config.Lifecycle.StopSignal) {
		withdrawn = s.byHand(b)
	}
	s.mu.Unlock()
	s.saveRevival(b)
	switch {
	case withdrawn:
		s.noteBox(b, "kill", "signal", strconv.Itoa(int(sig)))
		return nil
	case l == nil:
		return api.Errorf("kill", name, "the sandbox is not running").WithCode(1)
	}
	return s.sendSignal(l, b, sig)
}

// signal goes by way of the monitor. Should that one not answer any more, the
// kernel still has the program's pidfd. That the program has ended is no error.
func (s *Supervisor) signal(l *link, b *box, sig unix.Signal) error {
	err := s.tell(l, b, monitor.KindSignal, api.Signal{Num: int(sig)})
	if sig == unix.SIGKILL {
		if err := s.killGroup(l, b); err != nil {
			s.Log.Warn("kill", "id", shortID(b.config.ID), "error", err)
		}
	} else {
		s.thaw(b, l)
	}
	if err == nil || errors.Is(err, errOver) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case l.box != b || l.program == nil && (l.over || errors.Is(err, unix.EPIPE)):
		return nil // EPIPE: the monitor is just going
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
	withdrawn := s.byHand(b)
	l, ended, gone := b.link, b.ended, b.gone
	word, patience := b.config.Lifecycle.StopSignal, b.config.Lifecycle.StopTimeout
	s.mu.Unlock()
	s.saveRevival(b)
	if l == nil {
		if withdrawn {
			s.noteBox(b, "stop")
		}
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
	if err := s.sendSignal(l, b, sig); err != nil {
		return err
	}
	if !await(ctx, ended, timeout(patience)) {
		if err := s.sendSignal(l, b, unix.SIGKILL); err != nil {
			return err
		}
		if !await(ctx, ended, nil) {
			return ctx.Err()
		}
	}
	if !await(ctx, gone, nil) {
		return ctx.Err()
	}
	s.noteBox(b, "stop")
	return nil
}

// sendSignal is signal at the user's wish, of which there is a record.
func (s *Supervisor) sendSignal(l *link, b *box, sig unix.Signal) error {
	s.mu.Lock()
	if b.live() {
		s.note(&b.config, "kill", "signal", strconv.Itoa(int(sig)))
	}
	s.mu.Unlock()
	return s.signal(l, b, sig)
}

// endsPrograms says whether a user who sends the signal wants the program to end.
func endsPrograms(sig unix.Signal, stopSignal string) bool {
	stop, err := parseSignal(stopSignal, unix.SIGTERM)
	return err == nil && sig == stop || sig == unix.SIGKILL || sig == unix.SIGTERM || sig == unix.SIGINT || sig == unix.SIGQUIT
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

func (s *Supervisor) restart(ctx context.Context, name string, r *api.Stop, asked *conversation) error {
	if err := s.stop(ctx, name, r, true); err != nil {
		return err
	}
	if err := s.startAgain(name, api.Stdio{}, asked, false); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, err := s.find(name); err == nil {
		s.note(&b.config, "restart")
	}
	return nil
}

// startAgain starts a sandbox that was created, or has ended, and attaches who has asked
// for it, if that is wanted.
func (s *Supervisor) startAgain(name string, stdio api.Stdio, asked *conversation, attach bool) error {
	s.mu.Lock()
	b, err := s.find(name)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if s.awaitEither(b) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := b.notPaused("start", name); err != nil || !attach {
			return err
		}
		return api.Errorf("start", name, "it is running already").WithHint("use sbx attach")
	}
	s.startedByHand(b)
	return s.startOnce(b, nil, stdio, asked, attach)
}

// awaitEither waits until a sandbox neither begins nor ends, with its mounts, and
// says whether it runs.
func (s *Supervisor) awaitEither(b *box) (running bool) {
	for {
		s.mu.Lock()
		linked, running, next := b.link != nil, b.running(), b.gone
		if b.live() {
			next = b.begun
		}
		s.mu.Unlock()
		if running || !linked {
			return running
		}
		<-next
	}
}

// startOnce starts a sandbox that does not run; a is the restart that this is, nil
// if the user wants it. asked is who waits for it, if anybody does, and may end what takes
// long; attach says that it attaches to it.
func (s *Supervisor) startOnce(b *box, a *again, stdio api.Stdio, asked *conversation, attach bool) error {
	prepare, _, join, err := s.prepareFor(&b.config)
	if err != nil {
		return err
	}
	s.awaitCopies(b)
	s.emulateAgain(&b.config)
	if err := s.readyAgain(b, asked); err != nil {
		return err
	}
	if err := s.renew(b, a); err != nil {
		return err
	}
	defer s.started(b)
	var conn *api.Conn
	var files []*os.File
	if attach {
		conn, files = asked.conn, asked.packet.Files
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
func (s *Supervisor) renew(b *box, a *again) error {
	// A volatile overlay marks its work directory so that it is not mounted again:
	// what a crash could have lost does not matter for a sandbox with --rm.
	// Documentation/filesystems/overlayfs.rst, "Volatile mount".
	if err := os.RemoveAll(filepath.Join(b.dir, "work", "work", "incompat")); err != nil {
		return dirs.DiskError("remove", b.dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.removed {
		return api.Errorf("start", b.config.Name, "it has just been removed").WithCode(1)
	}
	if b.link != nil {
		return api.Errorf("start", b.config.Name, "somebody else is starting it")
	}
	if b.again != a {
		return errWithdrawn
	}
	if !b.setStarting() {
		return api.Errorf("start", b.config.Name, "somebody else is starting it, or copies files into it")
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

// remove deletes a sandbox and everything in it, with volumes its anonymous volumes
// too.
func (s *Supervisor) remove(name string, force, volumes bool) error {
	s.mu.Lock()
	b, err := s.find(name)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	if state := b.view().Status.State; (b.running() || b.again != nil) && !force {
		s.mu.Unlock()
		return api.Errorf("remove", name, "the sandbox is %s", state).WithHint("stop it first, or use rm -f").WithCode(1)
	}
	if len(b.holds.all) > 0 && !force {
		s.mu.Unlock()
		return api.Errorf("remove", name, "files of it are being copied").WithHint("wait for that, or use rm -f").WithCode(1)
	}
	l, gone := b.link, b.gone
	b.withdraw()
	b.withVolumes = volumes
	s.unlist(b)
	s.mu.Unlock()
	s.endCopies(b, errRemoved)
	if l == nil {
		s.dropVolumes(b)
		s.clear(b.config.ID)
		s.noteGone(b)
		return nil
	}
	if err := s.sendSignal(l, b, unix.SIGKILL); err != nil {
		return err
	}
	<-gone // clears the directory: the sandbox is unlisted
	return nil
}
