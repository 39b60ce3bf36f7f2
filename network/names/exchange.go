package names

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// ask asks one server, by UDP, and by TCP for what is too long for that.
func (s *Server) ask(ctx context.Context, at server, q *query, try time.Duration, stream bool) ([]byte, error) {
	msg, err := outgoing(q.msg)
	if err != nil {
		return nil, err
	}
	if !stream {
		reply, err := s.exchange(ctx, "udp", at, msg, try)
		const truncated = 0x02 // in the third byte
		if err != nil || reply[2]&truncated == 0 {
			return reply, err
		}
		if full, err := s.exchange(ctx, "tcp", at, msg, try); err == nil {
			return full, nil
		}
		return reply, nil
	}
	return s.exchange(ctx, "tcp", at, msg, try)
}

// outgoing makes the query anew, so that nothing of the client's message reaches
// a server but what is understood, with an id that nobody can guess.
func outgoing(m *dns.Msg) ([]byte, error) {
	out := &dns.Msg{Question: m.Question}
	var id [2]byte
	rand.Read(id[:]) // never fails
	out.Id = binary.BigEndian.Uint16(id[:])
	out.RecursionDesired, out.CheckingDisabled, out.AuthenticatedData = m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData
	if edns := m.IsEdns0(); edns != nil {
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.SetUDPSize(min(max(edns.UDPSize(), plainUDP), maxAnswer))
		opt.SetDo(edns.Do())
		for _, o := range edns.Option {
			switch o.Option() {
			case dns.EDNS0COOKIE, dns.EDNS0TCPKEEPALIVE, dns.EDNS0PADDING: // between neighbours only
			default:
				opt.Option = append(opt.Option, o)
			}
		}
		out.Extra = []dns.RR{opt}
	}
	return out.Pack()
}

// exchange sends a query and waits for the answer to it. Each has a socket of its
// own, and so a port of its own; since it is connected, a server that is not there
// says so at once.
func (s *Server) exchange(ctx context.Context, network string, at server, msg []byte, try time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, try)
	defer cancel()
	c, err := s.dial(ctx, network, at)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer stop()
	if network == "tcp" {
		if err := writeStream(c, msg); err != nil {
			return nil, err
		}
		reply, err := readStream(c, dns.MaxMsgSize)
		if err == nil && !answers(reply, msg) {
			err = dns.ErrId
		}
		return reply, err
	}
	if _, err := c.Write(msg); err != nil {
		return nil, err
	}
	buf := make([]byte, maxAnswer)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		if answers(buf[:n], msg) { // else it is somebody's guess
			return buf[:n], nil
		}
	}
}

// conn is a socket that is connected.
type conn interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// server is somebody to ask, from the host's network namespace, where this process
// is, or from the switch if it is a sandbox.
type server struct {
	netip.AddrPort
	inside bool
}

func (s *Server) dial(ctx context.Context, network string, at server) (conn, error) {
	if at.inside {
		return s.dialInside(network, at.AddrPort)
	}
	var d net.Dialer
	d.SetMultipathTCP(false)
	return d.DialContext(ctx, network, at.String())
}

// dialInside does not wait for the connection: reading and writing do.
func (s *Server) dialInside(network string, at netip.AddrPort) (conn, error) {
	kind, family := unix.SOCK_DGRAM, unix.AF_INET6
	if network == "tcp" {
		kind = unix.SOCK_STREAM
	}
	var to unix.Sockaddr = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	if at.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := -1, error(net.ErrClosed)
	s.inside.do(func() { fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0) })
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return os.NewFile(uintptr(fd), at.String()), nil
}

// answers says whether a message is the answer to a query: with its id, and to its
// question, which is the same bytes in upper or lower case. An error may come
// without the question.
func answers(reply, sent []byte) bool {
	if len(reply) < header || reply[0] != sent[0] || reply[1] != sent[1] || reply[2]&0x80 == 0 {
		return false
	}
	end := header
	for sent[end] != 0 {
		end += 1 + int(sent[end])
	}
	const typeAndClass = 4
	if binary.BigEndian.Uint16(reply[4:]) == 0 {
		return cannotTell(reply)
	}
	full := end + 1 + typeAndClass
	if binary.BigEndian.Uint16(reply[4:]) != 1 || len(reply) < full || string(reply[end:full]) != string(sent[end:full]) {
		return false
	}
	for i := header; i < end; i++ {
		if lower(reply[i]) != lower(sent[i]) {
			return false
		}
	}
	return true
}

// lower leaves the lengths of labels alone: they are below 64.
func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// fit makes a server's answer one for the client: with its id, and as much of it
// as it takes.
func fit(q *query, msg []byte) []byte {
	binary.BigEndian.PutUint16(msg, q.msg.Id)
	hasQuestion := binary.BigEndian.Uint16(msg[4:]) == 1
	if len(msg) <= q.limit && hasQuestion {
		return msg
	}
	m := new(dns.Msg)
	if m.Unpack(msg) == nil && hasQuestion {
		m.Compress = true
		m.Truncate(q.limit)
		if short, err := m.Pack(); err == nil && len(short) <= q.limit {
			return short
		}
	}
	// The client learns the error, or that it has to come by TCP.
	r := new(dns.Msg)
	r.SetReply(q.msg)
	r.Rcode, r.Truncated, r.RecursionAvailable = int(msg[3]&0xf), hasQuestion, true
	short, err := r.Pack()
	if err != nil {
		return bare(headerOf(q.msg), dns.RcodeServerFailure)
	}
	return short
}
