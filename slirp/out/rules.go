package out

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What leads the first packets of connections to the device, and the connections to
// the listener. Nobody else in the switch may use these.
//
// As commands, in the switch, and the same for IPv6; the routes in table 101 go with
// the device, all else stays and does nothing without it:
//
//	ip rule add pref 97 fwmark 0x5b04 lookup 102;  ip route add local default dev lo table 102
//	ip rule add pref 98 fwmark 0x5b03 lookup main suppress_prefixlength 0
//	ip rule add pref 99 fwmark 0x5b03 lookup 101;  ip route add default dev syn0 table 101
//	nft add table inet sbx-out
//	... prerouting priority raw:    (a first packet from a bridge) jump lead
//	... lead: (an address that is not for us) return
//	... lead: meta mark set 0x5b03 fib daddr . mark oif syn0 notrack accept
//	... lead: meta mark set 0
//	... prerouting priority mangle: iif syn0 (a first packet) tproxy to (the listener) ct mark set 0x5b04 meta mark set 0x5b04
//	... prerouting priority mangle: ct direction original ct mark 0x5b04 iif != syn0 meta mark set 0x5b04
//
// A packet is not tracked on its way to the device: the same one comes back as the
// first of a connection.
const (
	markLead, tableLead = 0x5b03, 101
	markHere, tableHere = 0x5b04, 102
	prefHere            = 97
	prefNear            = 98
	prefLead            = 99
	rulesName           = "sbx-out"
)

// notOurs are the destinations that take the other way, or none: they mean something
// else to the host than to a sandbox. See also network/rules.go.
var notOurs = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	// All forms of embedded IPv4 addresses but that of NAT64; link-local; multicast.
	netip.MustParsePrefix("::/64"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

var everywhere = map[int]*net.IPNet{
	netlink.FAMILY_V4: {IP: net.IPv4zero, Mask: net.CIDRMask(0, 8*net.IPv4len)},
	netlink.FAMILY_V6: {IP: net.IPv6zero, Mask: net.CIDRMask(0, 8*net.IPv6len)},
}

// installRoutes runs on a thread in the switch. It replaces what an earlier process
// has left.
func installRoutes(family, device int) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("ip link show lo: %w", err)
	}
	for _, r := range []*netlink.Route{
		{LinkIndex: lo.Attrs().Index, Table: tableHere, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST},
		{LinkIndex: device, Table: tableLead, Scope: unix.RT_SCOPE_LINK},
	} {
		r.Family, r.Dst = family, everywhere[family]
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("ip route replace default table %d: %w", r.Table, err)
		}
	}
	for _, r := range []struct {
		mark          uint32
		pref, table   int
		specificRoute bool
	}{
		{markHere, prefHere, tableHere, false}, {markLead, prefNear, unix.RT_TABLE_MAIN, true}, {markLead, prefLead, tableLead, false},
	} {
		rule := netlink.NewRule()
		rule.Family, rule.Mark, rule.Priority, rule.Table = family, r.mark, r.pref, r.table
		if r.specificRoute {
			rule.SuppressPrefixlen = 0
		}
		if err := netlink.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("ip rule add fwmark %#x lookup %d: %w", r.mark, r.table, err)
		}
	}
	return nil
}

// table are the rules of nftables while they are made.
type table struct {
	conn   *nftables.Conn
	table  *nftables.Table
	device []byte
}

const reg = 1

func equal(data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}
}

func unequal(data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: data}
}

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: reg} }

func setMark(mark uint32) []expr.Any {
	return []expr.Any{&expr.Immediate{Register: reg, Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg, SourceRegister: true}}
}

func load(base expr.PayloadBase, offset, size uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, Base: base, Offset: offset, Len: size, DestRegister: reg}
}

func masked(mask ...byte) expr.Any {
	return &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

func interfaceName(name string) []byte {
	return append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)
}

// firsts match the first packet of a connection of one IP version.
func firsts(family byte) []expr.Any {
	kind := []expr.Any{meta(expr.MetaKeyNFPROTO), equal(family)}
	if family == unix.NFPROTO_IPV6 {
		kind = append(kind, load(expr.PayloadBaseNetworkHeader, 6, 1), equal(unix.IPPROTO_TCP))
	}
	return append(kind, meta(expr.MetaKeyL4PROTO), equal(unix.IPPROTO_TCP),
		load(expr.PayloadBaseTransportHeader, flagsAt, 1), masked(fin|syn|rst|ack), equal(syn))
}

// installRules is one transaction, on a thread in the switch.
func installRules(device string, index int, avoid []netip.Prefix, port4, port6 uint16) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t := &table{c, &nftables.Table{Family: nftables.TableFamilyINet, Name: rulesName}, interfaceName(device)}
	// Deleting what is not there is an error; adding what is there is none.
	c.AddTable(t.table)
	c.DelTable(t.table)
	c.AddTable(t.table)
	t.lead(index, avoid)
	t.take(port4, port6)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: add table %s: %w", rulesName, err)
	}
	return nil
}

func (t *table) chain(name string, priority *nftables.ChainPriority) *nftables.Chain {
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: priority})
}

func (t *table) add(c *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: all})
}

// lead is about packets to the device.
func (t *table) lead(index int, avoid []netip.Prefix) {
	lead := t.conn.AddChain(&nftables.Chain{Name: "lead", Table: t.table})
	leave := []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}
	for _, p := range append(avoid, notOurs...) {
		addr := p.Masked().Addr().AsSlice()
		family, offset := byte(unix.NFPROTO_IPV4), uint32(16)
		if p.Addr().Is6() {
			family, offset = unix.NFPROTO_IPV6, 24
		}
		t.add(lead, []expr.Any{meta(expr.MetaKeyNFPROTO), equal(family),
			load(expr.PayloadBaseNetworkHeader, offset, uint32(len(addr))), masked(net.CIDRMask(p.Bits(), 8*len(addr))...), equal(addr...)}, leave)
	}
	t.add(lead, setMark(markLead), []expr.Any{
		&expr.Fib{Register: reg, FlagDADDR: true, FlagMARK: true, ResultOIF: true}, equal(binaryutil.NativeEndian.PutUint32(uint32(index))...),
		&expr.Notrack{}, &expr.Verdict{Kind: expr.VerdictAccept}})
	t.add(lead, setMark(0))

	small := []expr.Any{meta(expr.MetaKeyLEN), &expr.Cmp{Op: expr.CmpOpLte, Register: reg, Data: binaryutil.NativeEndian.PutUint32(maxFirst)}}
	enter := t.chain("enter", nftables.ChainPriorityRaw)
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		t.add(enter, []expr.Any{meta(expr.MetaKeyIIFNAME), unequal(t.device...)}, firsts(family), small,
			[]expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: lead.Name}})
	}
}

// take is about the packets that come back from the device, and all that follow.
func (t *table) take(port4, port6 uint16) {
	take := t.chain("take", nftables.ChainPriorityMangle)
	from := []expr.Any{meta(expr.MetaKeyIIFNAME), equal(t.device...)}
	here := binaryutil.NativeEndian.PutUint32(markHere)
	for _, l := range []struct {
		family byte
		addr   netip.Addr
		port   uint16
	}{{unix.NFPROTO_IPV4, listen4, port4}, {unix.NFPROTO_IPV6, listen6, port6}} {
		if l.port == 0 {
			continue
		}
		const regAddr, regPort = 1, 2
		t.add(take, from, firsts(l.family), []expr.Any{
			&expr.Immediate{Register: regAddr, Data: l.addr.AsSlice()},
			&expr.Immediate{Register: regPort, Data: binaryutil.BigEndian.PutUint16(l.port)},
			&expr.TProxy{Family: l.family, RegAddr: regAddr, RegPort: regPort},
			&expr.Immediate{Register: reg, Data: here},
			&expr.Ct{Key: expr.CtKeyMARK, Register: reg, SourceRegister: true},
		}, setMark(markHere), []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}})
	}
	const original = 0 // IP_CT_DIR_ORIGINAL
	t.add(take, []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: reg}, equal(here...),
		&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg}, equal(original),
		meta(expr.MetaKeyIIFNAME), unequal(t.device...)}, setMark(markHere))
}
