package ports

import (
	"container/list"
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A session is a client's conversation by UDP. It is forgotten when it is silent:
// before the kernel forgets its connection (nf_conntrack_udp_timeout, 30 seconds,
// and _stream, 120), without which an answer would not find its way back.
const (
	freshTimeout = 25 * time.Second  // never answered
	sureTimeout  = 110 * time.Second // answered
)

// maxSessions of a port. In a flood from forged addresses the oldest that were
// never answered make room.
const maxSessions = 4096

// sessions are those of one listening socket.
type sessions struct {
	port     *published
	listener *socket

	mu    sync.Mutex
	all   map[peer]*session
	fresh *list.List // of *session, the one that was silent longest in front
	sure  *list.List
}

// peer is a client, and which address of the host it talks to.
type peer struct {
	client netip.AddrPort
	zone   uint32
	local  netip.Addr
}

type session struct {
	peer
	conn *socket
	at   *list.Element // in fresh or sure
	in   *list.List
	used time.Time
}

func newSessions(p *published, l *socket) *sessions {
	return &sessions{port: p, listener: l, all: map[peer]*session{}, fresh: list.New(), sure: list.New()}
}

// maxDatagram is more than UDP can carry.
const maxDatagram = 1 << 16

var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// serve forwards what clients send until the listener is closed.
func (s *sessions) serve() {
	defer s.closeAll()
	stop := s.expire()
	defer close(stop)
	buf := new([maxDatagram]byte)
	oob := make([]byte, destinationSize)
	for {
		var n, oobn int
		var from unix.Sockaddr
		err := s.listener.reading(func(fd int) error {
			var err error
			n, oobn, _, from, err = unix.Recvmsg(fd, buf[:], oob, 0)
			return err
		})
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // what an earlier answer of ours has met: of no concern here
		}
		client, zone := addrPort(from)
		if c := s.find(peer{client, zone, destination(oob[:oobn])}); c != nil {
			// A datagram that does not get through is lost, as others are.
			_ = c.conn.control(func(fd int) error { return unix.Send(fd, buf[:n], unix.MSG_DONTWAIT) })
		}
	}
}

// find is the session of a client, a new one perhaps; nil if there can be none.
func (s *sessions) find(from peer) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.all[from]; c != nil {
		s.touch(c)
		return c
	}
	if len(s.all) >= maxSessions || !s.port.slots.try() {
		if !s.makeRoom() || !s.port.slots.try() {
			return nil
		}
	}
	to := s.port.forward.target(from.client.Addr())
	conn, err := s.port.server.inside.dialUDP(s.port.shown(from.client, from.zone, to), to)
	if err != nil {
		s.port.slots.release()
		return nil
	}
	c := &session{peer: from, conn: conn, in: s.fresh, used: time.Now()}
	c.at = s.fresh.PushBack(c)
	s.all[from] = c
	go s.answer(c)
	return c
}

func (s *sessions) touch(c *session) {
	c.used = time.Now()
	c.in.MoveToBack(c.at)
}

// makeRoom ends the session that is missed least.
func (s *sessions) makeRoom() bool {
	for _, l := range []*list.List{s.fresh, s.sure} {
		if e := l.Front(); e != nil {
			s.end(e.Value.(*session))
			return true
		}
	}
	return false
}

// end must be called with the lock.
func (s *sessions) end(c *session) {
	if s.all[c.peer] != c {
		return
	}
	delete(s.all, c.peer)
	c.in.Remove(c.at)
	c.conn.file.Close()
	s.port.slots.release()
}

// answer sends back what the sandbox says, from the address the client has sent
// to, until the session ends.
func (s *sessions) answer(c *session) {
	oob := source(c.local)
	to := sockaddr(c.client, c.zone)
	for {
		var buf *[maxDatagram]byte
		var n int
		err := c.conn.reading(func(fd int) error {
			buf = datagrams.Get().(*[maxDatagram]byte)
			var err error
			if n, err = unix.Read(fd, buf[:]); err != nil {
				datagrams.Put(buf)
			}
			return err
		})
		if errors.Is(err, unix.ECONNREFUSED) {
			continue // nobody listens there yet: the next datagram may find somebody
		}
		s.mu.Lock()
		if err != nil {
			s.end(c)
			s.mu.Unlock()
			return
		}
		if c.in == s.fresh && s.all[c.peer] == c {
			s.fresh.Remove(c.at)
			c.in, c.at = s.sure, s.sure.PushBack(c)
		}
		s.touch(c)
		s.mu.Unlock()
		_ = s.listener.control(func(fd int) error {
			return unix.Sendmsg(fd, buf[:n], oob, to, unix.MSG_DONTWAIT)
		})
		datagrams.Put(buf)
	}
}

// expire ends silent sessions from time to time.
func (s *sessions) expire() (stop chan struct{}) {
	const interval = 5 * time.Second
	stop = make(chan struct{})
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case now := <-tick.C:
				s.sweep(now)
			}
		}
	}()
	return stop
}

func (s *sessions) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l, timeout := range map[*list.List]time.Duration{s.fresh: freshTimeout, s.sure: sureTimeout} {
		for e := l.Front(); e != nil && now.Sub(e.Value.(*session).used) > timeout; e = l.Front() {
			s.end(e.Value.(*session))
		}
	}
}

func (s *sessions) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		s.end(c)
	}
}
