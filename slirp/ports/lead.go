package ports

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sbx/slirp/out"
)

// outward is a connection to the outside.
type outward struct{ *socket }

// dialOutside begins to connect, in the host's network namespace.
func dialOutside(to netip.AddrPort) (_ out.Stream, done bool, err error) {
	fd, err := newSocket(family(to.Addr()), unix.SOCK_STREAM)
	if err != nil {
		return nil, false, err
	}
	tuneOutside(fd)
	err = unix.Connect(fd, sockaddr(to, 0))
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, false, err
	}
	s, err := takeSocket(fd)
	if err != nil {
		return nil, false, err
	}
	// What is near has answered within connect.
	if err := s.control(connectResult); err != unix.EAGAIN {
		return outward{s}, true, err
	}
	return outward{s}, false, nil
}

// tuneOutside is more patient than tune: what is outside may be out of reach for a
// while. It is found that it has gone in eleven minutes; the sandbox's own kernel does
// not find that, since ours answers it.
func tuneOutside(fd int) {
	const minute, probes = 60, 10
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, minute)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, minute)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probes)
}

// Connected waits as long as the kernel does: the sandbox does not hear before.
func (s outward) Connected() error { return s.writing(connectResult) }

func (s outward) Close() error { return s.file.Close() }

// carryOut is the life of a connection to the outside.
func carryOut(inside int, outside out.Stream) {
	inner, err := takeSocket(inside)
	if err != nil {
		outside.Close()
		return
	}
	relay(inner, outside.(outward).socket)
}

// takeOver is how long the device of a process that was killed may stay: the kernel
// takes it away after the sockets by which that death is seen.
const takeOver = 2 * time.Second

// lead begins to carry connections to the outside, unless that was done already.
func (s *server) lead(avoid []netip.Prefix) error {
	s.leading.Lock()
	defer s.leading.Unlock()
	if s.leader() != nil {
		return nil
	}
	places := newSlots(s.all)
	o := out.Options{
		Inside: s.inside.do, Avoid: avoid, Tune: tune, Dial: dialOutside, Carry: carryOut,
		Acquire: places.try, Release: places.release, Most: cap(places.own), Log: s.log,
	}
	opened, err := out.Open(o)
	for end := time.Now().Add(takeOver); errors.Is(err, unix.EBUSY) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
		opened, err = out.Open(o)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = opened
	return nil
}

func (s *server) leader() *out.Out {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out
}

// lookAgain is how often a process that nobody talks to looks whether it is needed.
const lookAgain = 2 * time.Second

// leads says that the process must stay for what goes out.
func (s *server) leads() bool {
	if o := s.leader(); o == nil || o.Idle() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.look == nil {
		s.look = time.AfterFunc(lookAgain, s.endIfIdle)
	} else {
		s.look.Reset(lookAgain)
	}
	return true
}

// LeadOut makes the process carry TCP connections of sandboxes to the outside. Avoid are
// the addresses behind the way out that stand for the host. It says why that cannot be;
// then they take the other way out.
func (t *Table) LeadOut(ctx context.Context, avoid []netip.Prefix) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ask(ctx, kindLead, avoid, nil); err != nil {
		if t.process != nil && len(t.forwards) == 0 { // it was started for this
			t.process.close()
			t.process = nil
		}
		return err
	}
	t.avoid = avoid
	return nil
}

// leadAgain is for a new process. With the lock.
func (t *Table) leadAgain(p *process) {
	if t.avoid == nil {
		return
	}
	if err := p.call(context.Background(), kindLead, t.avoid, nil); err != nil {
		t.o.Log.Warn("carry connections to the outside", "error", err)
	}
}

// unneeded removes the name of the socket: whoever has found it meanwhile is answered
// by nobody, and starts another process. One of that may have the name already.
func (s *server) unneeded() {
	now, err := os.Lstat(socketPath(s.run))
	if err == nil && s.name != nil && os.SameFile(now, s.name) {
		err = os.Remove(socketPath(s.run))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("end", "error", err)
	}
}
