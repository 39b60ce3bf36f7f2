package names

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"sbx/network/etc"
)

const (
	// maxAnswer is how long an answer by UDP may be, in bytes, whatever a client
	// says; longer ones come by TCP.
	maxAnswer = 4096
	// patience is how long all tries together may take: a C library has given up
	// by then.
	patience = 10 * time.Second
	// resting is how long a server that has not answered comes last.
	resting = 30 * time.Second
	// tryFor is the time for one try, in seconds, where resolv.conf does not say.
	// It is less than the usual 5, which a client's own patience does not outlast:
	// a dead first server would then make every name unknown.
	tryFor = 2
	// mostServers is how many servers are asked, and mostSilent how many are
	// remembered to be silent.
	mostServers, mostSilent = 8, 64
)

// upstream knows whom to ask.
type upstream struct {
	path string        // of the host's resolv.conf
	next atomic.Uint32 // whom to start with, with the option rotate

	mu     sync.Mutex
	stamp  stamp
	conf   etc.Resolv
	silent map[netip.Addr]time.Time // until when
}

// stamp tells one state of a file from another.
type stamp struct {
	info os.FileInfo
	read bool
}

func newUpstream(path string) *upstream {
	if path == "" {
		path = "/etc/resolv.conf"
	}
	return &upstream{path: path, silent: map[netip.Addr]time.Time{}}
}

// resolv reads the host's file, if it is not the one that was read before. A file
// that cannot be read is an empty one: as without the responder.
func (u *upstream) resolv() etc.Resolv {
	info, err := os.Stat(u.path)
	if err != nil {
		info = nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stamp.read && same(u.stamp.info, info) {
		return u.conf
	}
	data, err := etc.Read(u.path)
	if err != nil {
		data = nil
	}
	u.conf, u.stamp = etc.Parse(data), stamp{info, true}
	clear(u.silent) // another network, perhaps
	return u.conf
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// servers orders those to ask: the ones that are known to be silent last.
func (u *upstream) servers(list []netip.Addr, rotate bool) []netip.Addr {
	if len(list) == 0 {
		list = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})} // resolv.conf(5)
	}
	list = list[:min(len(list), mostServers)]
	start := 0
	if rotate {
		start = int(u.next.Add(1) % uint32(len(list)))
	}
	var good, bad []netip.Addr
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range list {
		a := list[(start+i)%len(list)]
		if until, silent := u.silent[a]; silent && now.Before(until) {
			bad = append(bad, a)
		} else {
			good = append(good, a)
		}
	}
	return append(good, bad...)
}

// note remembers whether a server has answered.
func (u *upstream) note(a netip.Addr, answered bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if answered {
		delete(u.silent, a)
		return
	}
	if len(u.silent) >= mostSilent {
		clear(u.silent)
	}
	u.silent[a] = time.Now().Add(resting)
}

// forward asks the servers one after the other, as often as resolv.conf says, and
// gives the answer for the client: the first that is one. If all that say
// something say that they cannot tell, it is the first of those.
func (s *Server) forward(ctx context.Context, q *query) (reply []byte) {
	defer func() { // as in take: an answer is bytes from elsewhere as well
		if recover() != nil {
			reply = pack(q.msg, answer{rcode: dns.RcodeServerFailure}, q.limit)
		}
	}()
	conf := s.upstream.resolv()
	list, own := s.own(q.asker.dns)
	if len(list) == 0 {
		list = conf.Servers
	}
	try := time.Duration(conf.Number("timeout", tryFor, 1, 30)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var excuse []byte
	for range conf.Number("attempts", 2, 1, 5) {
		servers := s.upstream.servers(list, conf.Has("rotate"))
		refusing := 0
		for _, a := range servers {
			msg, err := s.ask(ctx, server{netip.AddrPortFrom(a, port), own[a]}, q, try, conf.Has("use-vc"))
			if ctx.Err() == nil {
				s.upstream.note(a, err == nil)
			}
			switch {
			case err != nil && !isTimeout(err):
				refusing++
			case err == nil && !cannotTell(msg):
				return fit(q, msg)
			case err == nil && excuse == nil:
				excuse = msg
			}
		}
		// To ask again helps against a lost packet, not against a clear word.
		if excuse != nil || refusing == len(servers) || ctx.Err() != nil {
			break
		}
	}
	if excuse != nil {
		return fit(q, excuse)
	}
	return pack(q.msg, answer{rcode: dns.RcodeServerFailure}, q.limit)
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

// cannotTell are the answers of a server that another may do better than.
func cannotTell(msg []byte) bool {
	switch int(msg[3] & 0xf) {
	case dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented, dns.RcodeFormatError:
		return true
	}
	return false
}
