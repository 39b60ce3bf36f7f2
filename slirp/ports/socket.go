package ports

import (
	"errors"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a non-blocking socket. Waiting for it parks the goroutine.
type socket struct {
	file *os.File
	raw  syscall.RawConn
}

// takeSocket takes over a non-blocking descriptor.
func takeSocket(fd int) (*socket, error) {
	f := os.NewFile(uintptr(fd), "socket")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &socket{f, raw}, nil
}

// reading calls f until it does not say EAGAIN, and waits for something to read
// in between.
func (s *socket) reading(f func(fd int) error) error { return repeat(s.raw.Read, f) }

// writing is reading, for room to write.
func (s *socket) writing(f func(fd int) error) error { return repeat(s.raw.Write, f) }

func repeat(wait func(func(uintptr) bool) error, f func(int) error) error {
	var err error
	if e := wait(func(fd uintptr) bool {
		err = unix.EINTR
		for err == unix.EINTR {
			err = f(int(fd))
		}
		return err != unix.EAGAIN
	}); errors.Is(e, os.ErrDeadlineExceeded) {
		return e
	} else if e != nil {
		return os.ErrClosed // the only other one; package os has no name for it here
	}
	return err
}

func (s *socket) control(f func(fd int) error) error {
	var err error
	if e := s.raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

// closeWrite lets the peer read the end of the data. It may be gone already.
func (s *socket) closeWrite() {
	_ = s.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// reset ends a TCP connection so that the peer sees that it was cut off.
func (s *socket) reset() {
	_ = s.control(func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	s.file.Close()
}

// Dead peers are found in two minutes, as Go's own connections have it.
const (
	keepIdle     = 15 // seconds without data before the first probe
	keepInterval = 15 // seconds between probes
	keepProbes   = 9
)

// tune is for both ends of a TCP connection, or for a listener, which hands it down
// to its connections. What fails costs speed only.
func tune(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepInterval)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepProbes)
}

// family is the address family of an address; one of IPv4 in IPv6 does not occur.
func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort, zone uint32) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zone}
}

// addrPort is the zero value for anything but an IP address. The zone of a
// link-local address is an interface's number.
func addrPort(sa unix.Sockaddr) (addr netip.AddrPort, zone uint32) {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), 0
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), sa.ZoneId
	}
	return netip.AddrPort{}, 0
}
