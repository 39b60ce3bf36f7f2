package names

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"sbx/network/etc"
)

const (
	ownDomain = "sbx.internal"
	// ttl is how long an answer of ours may be kept, in seconds: not long, since a
	// sandbox that is started again may have another address.
	ttl = 1
	// ednsSize is what we say that we take by UDP, in bytes: what fits a packet
	// everywhere (DNS flag day 2020).
	ednsSize = 1232
)

// The names that mean the host.
var hostNames = etc.HostNames()

// answer is one of ours.
type answer struct {
	rcode int
	rrs   []dns.RR
}

// local answers a question, or says that somebody else has to. Server.mu is held.
func (s *Server) local(a asker, q dns.Question) (answer, bool) {
	if refused(q) {
		return answer{rcode: dns.RcodeRefused}, true
	}
	name := canonical(q.Name)
	if slices.Contains(hostNames, name) {
		if len(a.host) == 0 {
			return answer{rcode: dns.RcodeNameError}, true
		}
		return addresses(q, a.host), true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761
		return addresses(q, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}), true
	}
	if p, exact, ok := reverse(name); ok {
		if ans, ours := s.pointer(a, q, p, exact); ours {
			return ans, true
		}
	} else if found := a.find(name); len(found) > 0 {
		var addrs []netip.Addr
		for _, m := range found {
			addrs = append(addrs, m.Addrs...)
		}
		return addresses(q, addrs), true
	}
	if !a.outside || name == ownDomain || strings.HasSuffix(name, "."+ownDomain) {
		return answer{rcode: dns.RcodeNameError}, true
	}
	return answer{}, false
}

// refused are questions that nobody in a sandbox has business to ask: transfers,
// everything at once, and what is no type of a record. RFC 6895, 3.1: 128 to 255
// are such.
func refused(q dns.Question) bool {
	return q.Qclass != dns.ClassINET || q.Qtype == dns.TypeOPT || q.Qtype == dns.TypeNone || q.Qtype >= 128 && q.Qtype <= 255
}

// addresses are those of the family that is asked for, in no order, so that
// several sandboxes with one name share the work.
func addresses(q dns.Question, addrs []netip.Addr) answer {
	var ans answer
	for _, a := range addrs {
		h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: ttl}
		switch {
		case q.Qtype == dns.TypeA && a.Is4():
			ans.rrs = append(ans.rrs, &dns.A{Hdr: h, A: a.AsSlice()})
		case q.Qtype == dns.TypeAAAA && a.Is6():
			ans.rrs = append(ans.rrs, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
	}
	rand.Shuffle(len(ans.rrs), func(i, j int) { ans.rrs[i], ans.rrs[j] = ans.rrs[j], ans.rrs[i] })
	return ans
}

// pointer answers for an address in reverse. What is in a network of ours is ours
// whoever asks, and is not told to others.
func (s *Server) pointer(a asker, q dns.Question, p netip.Prefix, exact bool) (answer, bool) {
	ours := false
	for _, n := range s.networks {
		ours = ours || slices.ContainsFunc(n.Subnets, func(sub netip.Prefix) bool {
			return p.Bits() >= sub.Bits() && sub.Contains(p.Addr())
		})
	}
	if exact && p.IsSingleIP() {
		for _, n := range a.networks {
			if m := n.addrs[p.Addr()]; m != nil && n.Named {
				return pointerTo(q, m), true
			}
		}
	}
	return answer{rcode: dns.RcodeNameError}, ours
}

func pointerTo(q dns.Question, m *member) answer {
	var ans answer
	for _, name := range m.Names {
		full := dns.Fqdn(canonical(name) + "." + canonical(m.network.Name))
		if _, ok := dns.IsDomainName(full); !ok || q.Qtype != dns.TypePTR {
			continue
		}
		h := dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl}
		return answer{rrs: []dns.RR{&dns.PTR{Hdr: h, Ptr: full}}}
	}
	return ans
}

// reverse reads a name below in-addr.arpa or ip6.arpa, of an address or of a part
// of one. Exact says that nothing else is in front of it, as in
// lb._dns-sd._udp.0.0.89.10.in-addr.arpa.
func reverse(name string) (p netip.Prefix, exact, ok bool) {
	if rest, is := strings.CutSuffix(name, ".in-addr.arpa"); is {
		var a [4]byte
		used, left := labels(rest, len(a), 10)
		for i, v := range used {
			a[i] = byte(v)
		}
		return netip.PrefixFrom(netip.AddrFrom4(a), 8*len(used)), !left, len(used) > 0
	}
	if rest, is := strings.CutSuffix(name, ".ip6.arpa"); is {
		var a [16]byte
		used, left := labels(rest, 2*len(a), 16)
		for i, v := range used {
			a[i/2] |= byte(v) << (4 * (1 - i%2))
		}
		return netip.PrefixFrom(netip.AddrFrom16(a), 4*len(used)), !left, len(used) > 0
	}
	return netip.Prefix{}, false, false
}

// labels reads up to most numbers from the end of a name, and says whether
// something is left. A number is a byte in base 10, a digit in base 16.
func labels(name string, most, base int) (numbers []uint64, left bool) {
	parts := strings.Split(name, ".")
	for _, part := range slices.Backward(parts) {
		if base == 16 && len(part) != 1 || len(numbers) == most {
			break
		}
		v, err := strconv.ParseUint(part, base, 8)
		if err != nil {
			break
		}
		numbers = append(numbers, v)
	}
	return numbers, len(numbers) < len(parts)
}
