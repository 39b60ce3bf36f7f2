package ports

import (
	"net/netip"
	"sync"
)

// published is a forward at work.
type published struct {
	server  *server
	forward Forward // with the port that it has got
	local   []netip.Prefix
	slots   slots
	closed  chan struct{}

	listeners []*socket

	mu    sync.Mutex
	ended bool
	conns map[*socket]*socket // client's side: sandbox's side
}

// publish begins to listen.
func (s *server) publish(f Forward) (*published, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	listeners, err := listen(&f)
	if err != nil {
		return nil, refused(f, err, s.holder(f))
	}
	local, err := s.inside.prefixes()
	if err != nil {
		closeAll(listeners)
		return nil, err
	}
	p := &published{server: s, forward: f, local: local, slots: newSlots(s.all),
		closed: make(chan struct{}), listeners: listeners, conns: map[*socket]*socket{}}
	for _, l := range listeners {
		if f.Proto == TCP {
			go p.serveTCP(l)
		} else {
			go newSessions(p, l).serve()
		}
	}
	return p, nil
}

// add notes a connection; it is ended at once if the port is not published any
// more.
func (p *published) add(conn, inner *socket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		conn.reset()
		inner.reset()
		return false
	}
	p.conns[conn] = inner
	return true
}

func (p *published) drop(conn *socket) {
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
}

// close stops listening and ends all connections.
func (p *published) close() {
	p.mu.Lock()
	p.ended = true
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	close(p.closed)
	closeAll(p.listeners)
	for conn, inner := range conns {
		conn.reset()
		inner.reset()
	}
}
