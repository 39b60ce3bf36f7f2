package ports

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside makes sockets in the switch. A socket belongs to the namespace of the
// thread that has made it, whoever uses it later.
type inside struct {
	calls chan func()
	stock map[int]*stock // by address family
	left  chan struct{}
	plain error // why sandboxes do not see the addresses of clients; nil: they do
}

// enter sends a thread to the network namespace, where it stays.
func enter(netns *os.File) (*inside, error) {
	v4, v6 := newStock(unix.AF_INET), newStock(unix.AF_INET6)
	s := &inside{calls: make(chan func()), stock: map[int]*stock{v4.family: v4, v6.family: v6}, left: make(chan struct{})}
	entered := make(chan error)
	go func() {
		// Never unlocked: the runtime ends the thread with the goroutine.
		runtime.LockOSThread()
		err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET)
		entered <- os.NewSyscallError("setns", err)
		if err != nil {
			return
		}
		for {
			select {
			case call := <-s.calls:
				call()
			case <-v4.low:
				v4.fill()
			case <-v6.low:
				v6.fill()
			case <-s.left:
				return
			}
		}
	}()
	if err := <-entered; err != nil {
		return nil, err
	}
	s.plain = s.do(installRules)
	return s, nil
}

// leave ends the thread.
func (s *inside) leave() { close(s.left) }

// do runs f on the thread in the switch.
func (s *inside) do(f func() error) error {
	done := make(chan error, 1)
	select {
	case s.calls <- func() { done <- f() }:
		return <-done
	case <-s.left:
		return os.ErrClosed
	}
}

// socket is a non-blocking socket of the switch.
func (s *inside) socket(family, kind int) (fd int, err error) {
	if kind == unix.SOCK_STREAM {
		if fd, ok := s.stock[family].take(); ok {
			return fd, nil
		}
	}
	err = s.do(func() error {
		fd, err = newSocket(family, kind)
		return err
	})
	return fd, err
}

// newSocket runs on the thread in the switch.
func newSocket(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if kind == unix.SOCK_STREAM {
		tune(fd)
	}
	return fd, nil
}

// prefixes are the networks that the switch has an address in. An answer to a
// client with such an address would not come back to us.
func (s *inside) prefixes() ([]netip.Prefix, error) {
	var found []netip.Prefix
	err := s.do(func() error {
		addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		for _, a := range addrs {
			ip, _ := netip.AddrFromSlice(a.IP)
			ones, _ := a.Mask.Size()
			found = append(found, netip.PrefixFrom(ip.Unmap(), ones).Masked())
		}
		return err
	})
	return found, err
}

// dialTimeout is long enough for some lost packets. A program that is busy does
// not matter: the kernel answers for it.
const dialTimeout = 10 * time.Second

// dialTCP begins to connect to a sandbox in the name of a client; the zero value is
// the switch's own address. See connected.
func (s *inside) dialTCP(from, to netip.AddrPort) (*socket, error) {
	conn, err := s.dial(unix.SOCK_STREAM, from, to)
	if from.Port() != 0 && (errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		// The client talks to this port of the sandbox from the very same port of
		// its own, by way of another port of the host, or has just done so. It keeps
		// its address.
		conn, err = s.dial(unix.SOCK_STREAM, netip.AddrPortFrom(from.Addr(), 0), to)
	}
	return conn, err
}

// dialUDP is dialTCP for datagrams; two clients never share an address and port.
func (s *inside) dialUDP(from, to netip.AddrPort) (*socket, error) {
	conn, err := s.dial(unix.SOCK_DGRAM, from, to)
	if from.Port() != 0 && errors.Is(err, unix.EADDRINUSE) {
		conn, err = s.dial(unix.SOCK_DGRAM, netip.AddrPortFrom(from.Addr(), 0), to)
	}
	return conn, err
}

// dial does not wait for the answer.
func (s *inside) dial(kind int, from, to netip.AddrPort) (*socket, error) {
	fd, err := s.socket(family(to.Addr()), kind)
	if err != nil {
		return nil, err
	}
	if from.IsValid() {
		err = disguise(fd, from)
	}
	if err == nil {
		if err = unix.Connect(fd, sockaddr(to, 0)); err == unix.EINPROGRESS {
			err = nil
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return takeSocket(fd)
}

// connected waits for the end of a connect(2) that is under way.
func (s *socket) connected() error {
	// What is on this machine has usually answered within connect. A deadline wakes
	// up a thread of the runtime, so it is set only when there is something to wait for.
	if err := s.control(connectResult); err != unix.EAGAIN {
		return err
	}
	if err := s.file.SetWriteDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	if err := s.writing(connectResult); err != nil {
		return err
	}
	return s.file.SetWriteDeadline(time.Time{})
}

// connectResult is EAGAIN while a connect(2) is under way, and its result then.
func connectResult(fd int) error {
	if err := writable(fd); err != nil {
		return err
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	return err
}

// disguise gives a socket the address of a client. CAP_NET_ADMIN in the user
// namespace of the switch, ip(7).
func disguise(fd int, from netip.AddrPort) error {
	level, option := unix.IPPROTO_IP, unix.IP_TRANSPARENT
	if from.Addr().Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return os.NewSyscallError("setsockopt IP_TRANSPARENT", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, markOut); err != nil {
		return os.NewSyscallError("setsockopt SO_MARK", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	return unix.Bind(fd, sockaddr(from, 0))
}
