package names

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxQuery is the longest query, in bytes. A question and its options take
	// less than 400.
	maxQuery = 4096
	header   = 12 // bytes of a message's header, RFC 1035, 4.1.1
	// idle is how long a TCP connection may take for its next query, and for each
	// answer to go out.
	idle = 10 * time.Second
	// plainUDP is how long an answer by UDP may be for one who does not say.
	plainUDP = 512
)

// query is one that somebody else has to answer.
type query struct {
	asker asker
	msg   *dns.Msg
	limit int // of the answer, in bytes
	tcp   bool
}

// serveUDP reads the queries of a socket. It answers what is ours itself, so that
// this takes no goroutine, and never waits.
func (s *Server) serveUDP(n *network, c *net.UDPConn) {
	buf := make([]byte, maxQuery)
	for {
		size, from, err := c.ReadFromUDPAddrPort(buf)
		if s.ctx.Err() != nil || err != nil && isClosed(err) {
			return
		}
		if err != nil {
			continue // of a device that has gone down; the socket still works
		}
		key, ok := s.admit(n, from.Addr())
		if !ok {
			continue
		}
		reply, q := s.take(n, from.Addr(), buf[:size], false)
		if q != nil {
			// Over its budget a client's query is lost, as by UDP it may be: it asks
			// again, while an error would be final.
			if s.clients.startForward(key) {
				s.wg.Go(func() {
					defer s.clients.endForward(key)
					s.reply(c, from, s.forward(s.ctx, q))
				})
			}
			continue
		}
		s.reply(c, from, reply)
	}
}

// reply sends an answer, if there is one. Nobody is left to be told that it could
// not be sent.
func (s *Server) reply(c *net.UDPConn, to netip.AddrPort, msg []byte) {
	if msg != nil {
		_, _ = c.WriteToUDPAddrPort(msg, to)
	}
}

// admit says who sends a packet, and whether it may.
func (s *Server) admit(n *network, from netip.Addr) (clientKey, bool) {
	s.mu.RLock()
	a, ok := s.asker(n, from.Unmap())
	s.mu.RUnlock()
	return a.key, ok && s.clients.allow(a.key, time.Now())
}

// serveTCP accepts connections.
func (s *Server) serveTCP(n *network, l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if s.ctx.Err() != nil || err != nil && isClosed(err) {
			return
		}
		if err != nil {
			// No file descriptors are left, which does not pass at once.
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.ctx.Done():
				return
			}
			continue
		}
		from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		key, ok := s.admit(n, from)
		if !ok || !s.clients.startStream(key) {
			c.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.clients.endStream(key)
			stop := context.AfterFunc(s.ctx, func() { c.Close() })
			defer stop()
			defer c.Close()
			s.serveStream(n, c, from.Unmap())
		})
	}
}

// serveStream answers the queries of a connection one after the other, RFC 7766.
func (s *Server) serveStream(n *network, c net.Conn, from netip.Addr) {
	for {
		if c.SetDeadline(time.Now().Add(idle)) != nil {
			return
		}
		msg, err := readStream(c, maxQuery)
		if err != nil {
			return
		}
		key, ok := s.admit(n, from)
		if !ok {
			return
		}
		reply, q := s.take(n, from, msg, true)
		if q != nil {
			if !s.clients.startForward(key) {
				return
			}
			reply = s.forward(s.ctx, q)
			s.clients.endForward(key)
		}
		if reply == nil || c.SetDeadline(time.Now().Add(idle)) != nil || writeStream(c, reply) != nil {
			return
		}
	}
}

// readStream reads a message with its length in front of it.
func readStream(r io.Reader, limit int) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > limit {
		return nil, dns.ErrBuf
	}
	msg := make([]byte, n)
	_, err := io.ReadFull(r, msg)
	return msg, err
}

func writeStream(w io.Writer, msg []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(msg)), uint16(len(msg))), msg...))
	return err
}

// take reads a query and gives the answer, or the query if others have to answer
// it; neither for what deserves no answer.
func (s *Server) take(n *network, from netip.Addr, msg []byte, tcp bool) (reply []byte, q *query) {
	// The bytes come from a sandbox, and the parser is not ours. Should it ever
	// fail on some, then that sandbox has no answer, rather than nobody a
	// supervisor.
	defer func() {
		if recover() != nil {
			reply, q = nil, nil
		}
	}()
	m, rcode := parse(msg)
	if m == nil {
		if rcode == dns.RcodeSuccess {
			return nil, nil
		}
		return bare(msg, rcode), nil
	}
	limit, edns := dns.MaxMsgSize-1, m.IsEdns0()
	if !tcp {
		limit = plainUDP
		if edns != nil {
			limit = min(max(int(edns.UDPSize()), plainUDP), maxAnswer)
		}
	}
	if edns != nil && edns.Version() != 0 {
		return pack(m, answer{rcode: dns.RcodeBadVers}, limit), nil
	}
	s.mu.RLock()
	a, ok := s.asker(n, from.Unmap())
	var ans answer
	var ours bool
	if ok {
		ans, ours = s.local(a, m.Question[0])
	}
	s.mu.RUnlock()
	if !ok {
		return nil, nil
	}
	if !ours {
		return nil, &query{asker: a, msg: m, limit: limit, tcp: tcp}
	}
	return pack(m, ans, limit), nil
}

// parse reads a query: one question, and options at most. Otherwise it gives the
// error to answer with, or success if that must not be answered.
func parse(msg []byte) (*dns.Msg, int) {
	const response = 0x80 // in the third byte
	if len(msg) < header || msg[2]&response != 0 {
		return nil, dns.RcodeSuccess
	}
	if opcode := msg[2] >> 3 & 0xf; opcode != dns.OpcodeQuery {
		return nil, dns.RcodeNotImplemented
	}
	count := func(i int) int { return int(binary.BigEndian.Uint16(msg[4+2*i:])) }
	if count(0) != 1 || count(1) != 0 || count(2) != 0 || count(3) > 2 {
		return nil, dns.RcodeFormatError
	}
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil || len(m.Question) != 1 {
		return nil, dns.RcodeFormatError
	}
	return m, dns.RcodeSuccess
}

// bare answers what could not be read: a header and nothing else.
func bare(msg []byte, rcode int) []byte {
	reply := make([]byte, header)
	copy(reply, msg[:4])
	reply[2] = 0x80 | msg[2]&0x79 // a response, with the same opcode and RD
	reply[3] = byte(rcode)
	return reply
}

// pack makes the message of an answer of ours.
func pack(m *dns.Msg, ans answer, limit int) []byte {
	r := new(dns.Msg)
	r.SetReply(m)
	r.Rcode, r.Answer = ans.rcode, ans.rrs
	r.Authoritative, r.RecursionAvailable = ans.rcode == dns.RcodeSuccess || ans.rcode == dns.RcodeNameError, true
	r.Compress = len(ans.rrs) > 1
	if edns := m.IsEdns0(); edns != nil {
		r.SetEdns0(ednsSize, edns.Do())
	}
	r.Truncate(limit)
	reply, err := r.Pack()
	if err != nil {
		return bare(headerOf(m), dns.RcodeServerFailure)
	}
	return reply
}

// headerOf is the start of a query's message.
func headerOf(m *dns.Msg) []byte {
	h := binary.BigEndian.AppendUint16(nil, m.Id)
	var flags byte
	if m.RecursionDesired {
		flags = 1
	}
	return append(h, flags, 0)
}
