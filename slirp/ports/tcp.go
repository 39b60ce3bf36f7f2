package ports

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// acceptPause is how long a listener rests that has found no descriptor or no
// memory for a connection. Clients wait in its queue meanwhile.
const acceptPause = 50 * time.Millisecond

// serveTCP accepts until the listener is closed.
func (p *published) serveTCP(l *socket) {
	for p.slots.acquire(p.closed) {
		conn, client, err := accept(l)
		if err == nil {
			p.begin(conn, client)
			continue
		}
		p.slots.release()
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			p.server.short(p.forward, err)
			select {
			case <-p.closed:
				return
			case <-time.After(acceptPause):
			}
		}
		// All others are a client's that has given up, accept(2).
	}
}

func accept(l *socket) (*socket, unix.Sockaddr, error) {
	var fd int
	var client unix.Sockaddr
	err := l.reading(func(listener int) error {
		var err error
		fd, client, err = unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	s, err := takeSocket(fd)
	return s, client, err
}

// begin connects to the sandbox. It does so before somebody else goes on: what the
// client waits for most is that answer.
func (p *published) begin(conn *socket, client unix.Sockaddr) {
	from, zone := addrPort(client)
	to := p.forward.target(from.Addr())
	inner, err := p.server.inside.dialTCP(p.shown(from, zone, to), to)
	if err != nil {
		p.slots.release()
		conn.reset() // what the client would see without us
		return
	}
	go p.carry(conn, inner)
}

// carry is the life of a connection.
func (p *published) carry(conn, inner *socket) {
	defer p.slots.release()
	if err := inner.connected(); err != nil {
		inner.file.Close()
		conn.reset() // nobody listens there
		return
	}
	if !p.add(conn, inner) {
		return
	}
	relay(conn, inner)
	p.drop(conn)
}

// shown is the address that the sandbox sees; the zero value where that of the
// client means nothing inside.
func (p *published) shown(client netip.AddrPort, zone uint32, to netip.AddrPort) netip.AddrPort {
	a := client.Addr()
	if p.forward.Plain || p.server.inside.plain != nil || zone != 0 || a.Is4() != to.Addr().Is4() || !a.IsGlobalUnicast() {
		return netip.AddrPort{}
	}
	for _, prefix := range p.local {
		if prefix.Contains(a) {
			return netip.AddrPort{}
		}
	}
	return client
}
