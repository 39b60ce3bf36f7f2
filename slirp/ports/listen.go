package ports

import (
	"errors"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// randomTries is how many ports are tried that are free by IPv4 and taken by IPv6.
const randomTries = 64

// listen opens the sockets of f, and sets its port if any was wanted. An error
// says which errno stands for what.
func listen(f *Forward) ([]*socket, error) {
	wanted := f.Port
	for try := 1; ; try++ {
		f.Port = wanted
		sockets, err := listenOnce(f)
		if err == nil {
			return sockets, nil
		}
		if wanted != 0 || try == randomTries || !errors.Is(err, unix.EADDRINUSE) {
			return nil, err
		}
	}
}

func listenOnce(f *Forward) (sockets []*socket, err error) {
	defer func() {
		if err != nil {
			closeAll(sockets)
			sockets = nil
		}
	}()
	for i, addr := range f.addrs() {
		s, port, err := bind(f.Proto, addr, f.Port)
		switch {
		case i > 0 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)):
			continue // every address of a host without IPv6
		case err != nil:
			return sockets, err
		}
		sockets = append(sockets, s)
		f.Port = port // the others must be the same
	}
	return sockets, nil
}

func closeAll(sockets []*socket) {
	for _, s := range sockets {
		s.file.Close()
	}
}

// bind opens one listening socket, of one IP version only.
func bind(proto string, addr netip.Addr, port uint16) (*socket, uint16, error) {
	kind := unix.SOCK_STREAM
	if proto == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family(addr), kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	bound, err := bindFd(fd, proto, addr, port)
	if err != nil {
		unix.Close(fd)
		return nil, 0, err
	}
	s, err := takeSocket(fd)
	return s, bound, err
}

// backlog of clients that wait for accept(2); capped at net.core.somaxconn.
const backlog = 4096

func bindFd(fd int, proto string, addr netip.Addr, port uint16) (uint16, error) {
	var zone uint32
	if addr.Zone() != "" {
		n, err := zoneOf(addr.Zone())
		if err != nil {
			return 0, err
		}
		zone = n
	}
	if addr.Is6() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return 0, err
		}
	}
	if proto == TCP {
		// Connections of an earlier listener that are not quite over do not count.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return 0, err
		}
		tune(fd) // connections inherit it
	} else if err := wantDestination(fd, addr); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, port), zone)); err != nil {
		return 0, err
	}
	if proto == TCP {
		if err := unix.Listen(fd, backlog); err != nil {
			return 0, err
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	bound, _ := addrPort(name)
	return bound.Port(), nil
}

// zoneOf is the number of the interface that a link-local address names.
func zoneOf(name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, unix.EADDRNOTAVAIL
	}
	return uint32(i.Index), nil
}
