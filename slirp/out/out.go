package out

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Options are what Out needs of the process that it is in.
type Options struct {
	Inside func(func() error) error // runs something on a thread in the switch
	Avoid  []netip.Prefix           // destinations that are left to the other way out
	Tune   func(fd int)             // sets options of a listener, which its connections inherit
	// Dial begins to connect to the outside; done says that this has ended already.
	Dial func(to netip.AddrPort) (s Stream, done bool, err error)
	// Carry copies both ways until the end, and closes both.
	Carry   func(inside int, outside Stream)
	Acquire func() bool // a place for a connection; false: there is none
	Release func()
	Most    int // how many places there are
	Log     *slog.Logger
}

// Stream is a connection to the outside.
type Stream interface {
	Connected() error // waits for the end of what Dial has begun
	Close() error
}

// Out carries connections out of one switch.
type Out struct {
	o         Options
	device    *os.File
	listeners map[bool]*listener // by IPv6

	mu     sync.Mutex
	known  map[pair]*attempt
	shares map[netip.Addr]*share
	warned atomic.Pointer[time.Time]
}

// attempt is a connection, from its first packet to its end.
type attempt struct {
	first
	outside  Stream
	timer    *time.Timer
	answered bool // the outside has, and the packet went back
	live     bool // the sandbox has, too
}

// share is what one sandbox has of all places.
type share struct{ waiting, all int }

const (
	// mostWaiting bounds how many answers of the outside a sandbox waits for at a
	// time. Further ones are not asked for until its kernel repeats their packets.
	mostWaiting = 1024
	// handshake is how long a sandbox may take to go on with a connection. Its kernel
	// does that by itself, at once; it may have ended.
	handshake = time.Minute
)

// Open sets up the device, the rules and the listeners. Without a device, or with a
// kernel that lacks tproxy, it fails, and leaves nothing that matters.
func Open(o Options) (_ *Out, err error) {
	out := &Out{o: o, known: map[pair]*attempt{}, shares: map[netip.Addr]*share{}, listeners: map[bool]*listener{}}
	if err := o.Inside(out.openInside); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	for _, l := range out.listeners {
		go out.take(l)
	}
	go out.read()
	return out, nil
}

func (o *Out) openInside() error {
	device, index, err := openDevice()
	if err != nil {
		return err
	}
	o.device = device
	// A sandbox's packet comes back from where its answer does not go.
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+Device+"/rp_filter", []byte("0"), 0); err != nil {
		return err
	}
	ports := map[bool]uint16{}
	for _, addr := range []netip.Addr{listen4, listen6} {
		family := netlink.FAMILY_V4
		if addr.Is6() {
			family = netlink.FAMILY_V6
		}
		fd, port, err := listen(addr)
		if err == nil {
			o.o.Tune(fd)
			ports[addr.Is6()] = port
			if o.listeners[addr.Is6()], err = newListener(fd); err == nil {
				err = installRoutes(family, index)
			}
		}
		if addr.Is6() && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EOPNOTSUPP)) {
			continue // no IPv6 in this kernel
		}
		if err != nil {
			return err
		}
	}
	return installRules(Device, index, o.o.Avoid, ports[false], ports[true])
}

// Close ends nothing but the way for new connections.
func (o *Out) Close() error {
	var errs []error
	if o.device != nil {
		errs = append(errs, o.device.Close())
	}
	for _, l := range o.listeners {
		errs = append(errs, l.file.Close())
	}
	return errors.Join(errs...)
}

// Idle says that there is no sandbox. Connections of one that has gone do not count.
func (o *Out) Idle() bool {
	used := false
	err := o.o.Inside(func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			used = used || l.Type() == "veth"
		}
		return err
	})
	return err == nil && !used
}

// read waits for first packets until the device is closed.
func (o *Out) read() {
	buf := make([]byte, 1<<16)
	for {
		n, err := o.device.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				// Without the device the rules lead nobody here.
				o.o.Log.Error("connections of sandboxes take the other way out", "error", errors.Join(err, o.device.Close()))
			}
			return
		}
		if f, ok := parse(buf[:n]); ok {
			o.begin(f)
		}
	}
}

// begin is about a first packet, or about one that was repeated.
func (o *Out) begin(f first) {
	a, again := o.admit(f)
	if again {
		o.write(f, f.packet)
	}
	if a == nil {
		return
	}
	var done bool
	var err error
	a.outside, done, err = o.o.Dial(f.to)
	if err == nil && !done {
		go func() { o.answer(a, a.outside.Connected()) }()
		return
	}
	o.answer(a, err)
}

// admit makes an attempt of a packet; nil if there is one already, or may be none.
// Again says that the kernel, which knows of the connection, should see the packet.
func (o *Out) admit(f first) (a *attempt, again bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.known[f.pair]; a != nil {
		if !a.answered {
			a.packet = bytes.Clone(f.packet) // another number, perhaps
		}
		return nil, a.answered
	}
	if !o.ours(f.to.Addr()) {
		return nil, false
	}
	s := o.shares[f.from.Addr()]
	if s == nil {
		s = &share{}
	}
	if s.waiting >= mostWaiting || s.all >= (o.o.Most+1)/2 || !o.o.Acquire() {
		o.warn(f, errMany)
		return nil, false
	}
	s.waiting++
	s.all++
	o.shares[f.from.Addr()] = s
	f.packet = bytes.Clone(f.packet)
	a = &attempt{first: f}
	o.known[f.pair] = a
	return a, false
}

// ours is what the rules have said already.
func (o *Out) ours(to netip.Addr) bool {
	for _, list := range [][]netip.Prefix{notOurs, o.o.Avoid} {
		for _, p := range list {
			if p.Contains(to) {
				return false
			}
		}
	}
	return to.IsGlobalUnicast()
}

// warn reports, once a minute at most, that sandboxes have to wait: their kernels repeat
// what was lost.
func (o *Out) warn(f first, err error) {
	now := time.Now()
	if last := o.warned.Load(); last == nil || now.Sub(*last) > time.Minute {
		o.warned.Store(&now)
		o.o.Log.Warn("new connections to the outside wait", "from", f.from.Addr(), "to", f.to, "error", err)
	}
}

var errMany = errors.New("there are too many")

// answer passes on what the outside has said.
func (o *Out) answer(a *attempt, err error) {
	if err != nil {
		o.forget(a)
		if a.outside != nil {
			a.outside.Close()
		}
		p, known := a.explain(err)
		if !known {
			o.warn(a.first, err)
		}
		if p != nil {
			o.write(a.first, p)
		}
		return
	}
	o.mu.Lock()
	a.answered = true
	o.shares[a.from.Addr()].waiting--
	a.timer = time.AfterFunc(handshake, func() { o.abandon(a) })
	packet := a.packet
	o.mu.Unlock()
	o.write(a.first, packet)
	// By now both kernels are done with each other, as a rule.
	o.listeners[a.from.Addr().Is6()].now(o.accept)
}

// explain is the packet that says why there is no connection; nil is silence. What is
// not known is no answer of the outside.
func (f first) explain(err error) (packet []byte, known bool) {
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET):
		return f.refusal(), true
	case errors.Is(err, unix.ENETUNREACH):
		return f.failure(noRoute), true
	case errors.Is(err, unix.EHOSTUNREACH):
		return f.failure(noHost), true
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return f.failure(prohibited), true
	case errors.Is(err, unix.ETIMEDOUT):
		return nil, true
	}
	return nil, false
}

// write gives a packet to the switch, about f.
func (o *Out) write(f first, packet []byte) {
	if _, err := o.device.Write(packet); err != nil && !errors.Is(err, os.ErrClosed) {
		o.warn(f, err)
	}
}

// forget gives the place back; it may be called again.
func (o *Out) forget(a *attempt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[a.pair] != a {
		return
	}
	delete(o.known, a.pair)
	s := o.shares[a.from.Addr()]
	if !a.answered {
		s.waiting--
	}
	if s.all--; s.all == 0 {
		delete(o.shares, a.from.Addr())
	}
	o.o.Release()
}

// abandon is for a sandbox that does not go on.
func (o *Out) abandon(a *attempt) {
	o.mu.Lock()
	live := a.live
	a.live = true // nobody takes it any more
	o.mu.Unlock()
	if !live {
		o.forget(a)
		a.outside.Close()
	}
}

// accept takes a connection of a sandbox.
func (o *Out) accept(fd int, client unix.Sockaddr) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return
	}
	o.mu.Lock()
	a := o.known[pair{addrPort(client), addrPort(name)}]
	if a == nil || !a.answered || a.live {
		o.mu.Unlock()
		reset(fd) // it has come after all hope was gone
		return
	}
	a.live = true
	a.timer.Stop()
	o.mu.Unlock()
	go func() {
		o.o.Carry(fd, a.outside)
		o.forget(a)
	}()
}

func reset(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

// take waits for connections until the listener is closed.
func (o *Out) take(l *listener) {
	_ = l.raw.Read(func(fd uintptr) bool {
		drain(int(fd), o.accept)
		return false
	})
}
