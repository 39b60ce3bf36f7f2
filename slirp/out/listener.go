package out

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The listener's addresses: nothing from another interface reaches them.
var listen4, listen6 = netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()

// listener is in the switch.
type listener struct {
	file *os.File
	raw  syscall.RawConn
}

func newListener(fd int) (*listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	raw, err := f.SyscallConn()
	return &listener{f, raw}, err
}

// now takes what is there.
func (l *listener) now(accept func(int, unix.Sockaddr)) {
	_ = l.raw.Control(func(fd uintptr) { drain(int(fd), accept) }) // closed: nobody waits
}

func drain(listener int, accept func(int, unix.Sockaddr)) {
	for {
		fd, client, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch {
		case err == nil:
			accept(fd, client)
		case err == unix.EINTR, err == unix.ECONNABORTED:
		default:
			return // nobody waits, or there are no descriptors: the next one tries again
		}
	}
}

// listen runs on a thread in the switch. The listener takes connections to every
// address that the rules give it.
func listen(addr netip.Addr) (fd int, port uint16, err error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_TRANSPARENT
	var at unix.Sockaddr = &unix.SockaddrInet4{Addr: listen4.As4()}
	if addr.Is6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT
		at = &unix.SockaddrInet6{Addr: addr.As16()}
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, 0, os.NewSyscallError("socket", err)
	}
	const backlog = 4096 // capped at net.core.somaxconn
	err = unix.SetsockoptInt(fd, level, option, 1)
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("listen in the switch: %w", err)
	}
	return fd, addrPort(name).Port(), nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
