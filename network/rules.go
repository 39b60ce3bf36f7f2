package network

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The registers of nftables: a concatenation is loaded into adjacent ones of
// four bytes. The first of them is also register 1, of sixteen.
const (
	first = 1
	four  = unix.NFT_REG32_00 + 4 // behind an interface's name
	six   = four + 2              // behind that and a MAC address
)

// Expressions, named as nft(8) does. They load into the first register, or
// compare it.

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: first} }

func payload(base expr.PayloadBase, offset, length, register uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, Base: base, Offset: offset, Len: length, DestRegister: register}
}

func link(offset, length, register uint32) expr.Any {
	return payload(expr.PayloadBaseLLHeader, offset, length, register)
}

func network(offset, length, register uint32) expr.Any {
	return payload(expr.PayloadBaseNetworkHeader, offset, length, register)
}

func transport(offset, length, register uint32) expr.Any {
	return payload(expr.PayloadBaseTransportHeader, offset, length, register)
}

func is(data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: data}
}

func isNot(data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: data}
}

func in(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: first, SetName: s.Name, SetID: s.ID}
}

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }

func jump(chain *nftables.Chain) expr.Any {
	return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain.Name}
}

func reject(code uint8) expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: code}
}

// within compares addresses of the network header at offset with a prefix.
func within(offset uint32, p netip.Prefix) rule {
	addr := p.Masked().Addr().AsSlice()
	mask := make([]byte, len(addr))
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	size := uint32(len(addr))
	return rule{network(offset, size, first),
		&expr.Bitwise{SourceRegister: first, DestRegister: first, Len: size, Mask: mask, Xor: make([]byte, size)}, is(addr...)}
}

// rule is a list of expressions; the first that does not match ends it.
type rule []expr.Any

// all is several lists as one rule.
func all(parts ...rule) rule {
	var r rule
	for _, p := range parts {
		r = append(r, p...)
	}
	return r
}

// From the headers of Ethernet, ARP, IPv4, IPv6, ICMPv6, TCP and UDP: offsets,
// and values in network order.
const (
	etherSource = 6
	etherType   = 12
	arpMAC      = 8 // of the sender
	arpIP       = 14
	ip4Source   = 12
	ip4Dest     = 16
	ip6Source   = 8
	ip6Dest     = 24
	sourcePort  = 0
	destPort    = 2
	icmpType    = 0
	tcpFlags    = 13
	ndTarget    = 8

	icmpEcho, icmp6Echo             = 8, 128
	ndSolicit, ndAdvert             = 135, 136
	ndRouter, ndRedirect, mldReport = 134, 137, 143
	dns                             = 53
)

func ether(kind uint16) rule { return rule{link(etherType, 2, first), is(byte(kind>>8), byte(kind))} }

func proto(p byte) rule { return rule{meta(expr.MetaKeyL4PROTO), is(p)} }

func icmp6(kind byte) rule {
	return all(proto(unix.IPPROTO_ICMPV6), rule{transport(icmpType, 1, first), is(kind)})
}

func port(offset uint32, p uint16) rule {
	return rule{transport(offset, 2, first), is(byte(p>>8), byte(p))}
}

func ifname(name string) []byte {
	return append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)
}

// bridgeRules decide what may come out of a sandbox. The chain drops: only what
// a port was given, by its name, as MAC and as addresses, is let through, so
// that nobody can speak for a neighbour or for the gateway.
func (t *tables) bridgeRules() {
	drop, accept := rule{verdict(expr.VerdictDrop)}, rule{verdict(expr.VerdictAccept)}
	port4, port6 := t.port4, t.port6
	from := func(more ...expr.Any) rule { // interface . MAC . more
		return append(rule{meta(expr.MetaKeyIIFNAME), link(etherSource, 6, four)}, more...)
	}
	// Some protocol, which a header that cannot be parsed has not. 255 is reserved.
	parsed := rule{meta(expr.MetaKeyL4PROTO), isNot(0xff)}

	// The hardware and protocol types and lengths are those of IPv4 on Ethernet.
	t.add(t.spoof, ether(unix.ETH_P_ARP), rule{network(0, 6, first), is(0, 1, 8, 0, 6, 4)},
		from(network(arpIP, 4, six), in(t.ip4)),
		rule{meta(expr.MetaKeyIIFNAME), network(arpMAC, 6, four), network(arpIP, 4, six), in(t.ip4)}, accept)
	t.add(t.spoof, ether(unix.ETH_P_IP), from(network(ip4Source, 4, six), in(t.ip4)), rule{jump(port4)})
	t.add(t.spoof, ether(unix.ETH_P_IPV6), from(network(ip6Source, 16, six), in(t.ip6)), rule{jump(port6)})
	// Before an address is in use: is it somebody else's already?
	unset := all(ether(unix.ETH_P_IPV6), rule{network(ip6Source, 16, first), is(make([]byte, 16)...)})
	t.add(t.spoof, unset, icmp6(ndSolicit), from(transport(ndTarget, 16, six), in(t.ip6)), accept)
	t.add(t.spoof, unset, from(in(t.mac)), icmp6(mldReport), accept)

	// Nobody here is a DHCP server. A first fragment has the whole UDP header.
	t.add(port4, proto(unix.IPPROTO_UDP), port(sourcePort, 67), drop)
	t.add(port4, proto(unix.IPPROTO_UDP), port(destPort, 68), drop)
	t.add(port4, parsed, accept)
	t.add(port6, proto(unix.IPPROTO_UDP), port(sourcePort, 547), drop)
	t.add(port6, proto(unix.IPPROTO_UDP), port(destPort, 546), drop)
	// Nor a router. The kernel does not accept these messages in fragments.
	t.add(port6, icmp6(ndRouter), drop)
	t.add(port6, icmp6(ndRedirect), drop)
	t.add(port6, icmp6(ndAdvert), from(transport(ndTarget, 16, six), in(t.ip6)), accept)
	t.add(port6, icmp6(ndAdvert), drop)
	t.add(port6, parsed, accept)
}

// What one address may ask the responder at most: queries by UDP and connections.
// The rate is what the responder itself answers to a sandbox (network/names). What
// is beyond that must not reach its socket, where it would be in the way of others:
// so many as may come at once fit into it (net.core.rmem_max, which is 212992 as a
// rule; the kernel takes twice that, and a query for 768 bytes).
const (
	asksPerSecond = 2000
	asksAtOnce    = 500
)

// askingRules stand before the rule for what is known: to the kernel, what comes
// from a port that has had an answer is.
func (t *tables) askingRules(sandbox rule) {
	const syn, ack = 0x02, 0x10
	opens := rule{transport(tcpFlags, 1, first),
		&expr.Bitwise{SourceRegister: first, DestRegister: first, Len: 1, Mask: []byte{syn | ack}, Xor: []byte{0}}, is(syn)}
	t.add(t.input, proto(unix.IPPROTO_UDP), port(destPort, dns), sandbox, rule{jump(t.asking)})
	t.add(t.input, proto(unix.IPPROTO_TCP), port(destPort, dns), opens, sandbox, rule{jump(t.asking)})
	for _, f := range []struct {
		family      byte
		source, len uint32
		set         *nftables.Set
	}{{unix.NFPROTO_IPV4, ip4Source, 4, t.asked4}, {unix.NFPROTO_IPV6, ip6Source, 16, t.asked6}} {
		over := &expr.Limit{Type: expr.LimitTypePkts, Rate: asksPerSecond, Unit: expr.LimitTimeSecond, Burst: asksAtOnce, Over: true}
		t.add(t.asking, rule{meta(expr.MetaKeyNFPROTO), is(f.family), meta(expr.MetaKeyIIFNAME), network(f.source, f.len, four),
			&expr.Dynset{SrcRegKey: first, SetName: f.set.Name, SetID: f.set.ID, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{over}},
			verdict(expr.VerdictDrop)})
	}
}

// noIPv6 has the loopback address and all forms of embedded IPv4 addresses, but not the
// well-known prefix of NAT64. RFC 4291, 2.5; RFC 6052, 2.1.
var noIPv6 = netip.MustParsePrefix("::/64")

// inetRules decide what the switch takes for itself, and what it forwards.
func (t *tables) inetRules(device, shortcut string, aliases []netip.Prefix) {
	accept := rule{verdict(expr.VerdictAccept)}
	known := rule{&expr.Ct{Key: expr.CtKeySTATE, Register: first},
		&expr.Bitwise{SourceRegister: first, DestRegister: first, Len: 4, Xor: make([]byte, 4),
			Mask: native(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)},
		isNot(0, 0, 0, 0)}
	from, to := expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME
	ip4, ip6 := rule{meta(expr.MetaKeyNFPROTO), is(unix.NFPROTO_IPV4)}, rule{meta(expr.MetaKeyNFPROTO), is(unix.NFPROTO_IPV6)}
	sandbox := rule{meta(from), in(t.bridges)}

	t.add(t.input, rule{meta(from), is(ifname("lo")...)}, accept)
	t.askingRules(sandbox)
	t.add(t.input, known, accept)
	// Only a process of ours can send from there.
	t.add(t.input, rule{meta(from), is(ifname(shortcut)...)}, accept)
	// Neighbours; those of sandboxes are checked above. Routers are on the way out only.
	for _, kind := range []byte{ndSolicit, ndAdvert} {
		t.add(t.input, icmp6(kind), accept)
	}
	t.add(t.input, rule{meta(from), is(ifname(device)...)}, icmp6(ndRouter), accept)
	t.add(t.input, ip4, rule{meta(from), network(ip4Dest, 4, four), in(t.gateway4), jump(t.gateway)})
	t.add(t.input, ip6, rule{meta(from), network(ip6Dest, 16, four), in(t.gateway6), jump(t.gateway)})
	const portUnreachable, adminProhibited = unix.NFT_REJECT_ICMPX_PORT_UNREACH, unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED
	// The kernel sends few ICMP errors, but a reset for each connection.
	t.add(t.input, sandbox, proto(unix.IPPROTO_TCP), rule{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	t.add(t.input, sandbox, rule{reject(portUnreachable)})

	for _, p := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		t.add(t.gateway, proto(p), port(destPort, dns), accept)
	}
	t.add(t.gateway, proto(unix.IPPROTO_ICMP), rule{transport(icmpType, 1, first), is(icmpEcho)}, accept)
	t.add(t.gateway, icmp6(icmp6Echo), accept)

	t.add(t.forward, known, accept)
	// Where the host has loaded br_netfilter, what stays on a bridge passes here.
	t.add(t.forward, rule{meta(from), &expr.Meta{Key: to, Register: four}, in(t.within)}, accept)
	t.add(t.forward, rule{meta(from), is(ifname(shortcut)...), meta(to), in(t.bridges)}, accept)
	out := rule{meta(to), is(ifname(device)...)}
	for _, name := range []string{device, shortcut} {
		t.add(t.forward, rule{meta(to), is(ifname(name)...), meta(from), in(t.out), jump(t.outward)})
	}
	t.add(t.forward, sandbox, rule{reject(adminProhibited)})

	// An IPv4 address written as IPv6 is one to slirp4netns, 127.0.0.1 too.
	t.add(t.outward, ip6, within(ip6Dest, noIPv6), rule{reject(adminProhibited)})
	// The other side of the way out has addresses that stand for the host itself.
	for _, p := range aliases {
		family, offset, allowed, source := ip4, uint32(ip4Dest), t.host4, network(ip4Source, 4, first)
		if p.Addr().Is6() {
			family, offset, allowed, source = ip6, ip6Dest, t.host6, network(ip6Source, 16, first)
		}
		t.add(t.outward, family, within(offset, p), rule{source, in(allowed)}, accept)
		t.add(t.outward, family, within(offset, p), rule{reject(adminProhibited)})
	}
	t.add(t.outward, accept)

	t.add(t.leaving, out, rule{&expr.Masq{}})
}
