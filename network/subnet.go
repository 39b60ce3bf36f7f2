package network

import (
	"crypto/rand"
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// used is a range of addresses that is not free, and what for.
type used struct {
	netip.Prefix
	by string
}

// hostRoutes are the addresses that the host's network uses, in all its routing
// tables: those of VPNs have their own. The host is where the caller is.
func hostRoutes() ([]used, error) {
	var all []used
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, api.Wrap("list the host's routes", "", err)
		}
		for _, r := range routes {
			if r.Dst == nil {
				continue
			}
			a, ok := netip.AddrFromSlice(r.Dst.IP)
			bits, _ := r.Dst.Mask.Size()
			p := netip.PrefixFrom(a.Unmap(), bits)
			// A VPN that takes everything often does so in two or four halves.
			const aDefault = 3
			if ok && bits > aDefault && !p.Addr().IsMulticast() && !p.Addr().IsLinkLocalUnicast() {
				all = append(all, used{p.Masked(), "a route of the host"})
			}
		}
	}
	return all, nil
}

// collides says who uses a part of p already; "" if nobody does.
func collides(p netip.Prefix, all []used) (with string) {
	for _, u := range all {
		if u.Overlaps(p) {
			return u.by + ", " + u.Prefix.String()
		}
	}
	return ""
}

// span is a range out of which subnets are cut.
type span struct {
	within string
	bits   int
}

// The default network gets as many addresses as a bridge can have ports.
const defaultBits = 22

// spans says where to look for a free subnet. The first are rarely used by
// others: podman begins at 10.88, Docker at 172.17, home networks are 192.168.
// The last are no private addresses, but nobody's on the Internet either.
func spans(bits int) []span {
	list := []span{{"10.88.0.0/13", bits}, {"10.192.0.0/12", bits}, {"172.24.0.0/13", bits}, {"192.168.128.0/17", bits},
		{"10.0.0.0/8", bits}, {"172.16.0.0/12", bits}, {"192.168.0.0/16", bits}}
	return append(list, span{"198.18.0.0/15", bits}, span{"100.64.0.0/10", bits})
}

// freeSubnet finds a subnet of private IPv4 addresses that collides with nothing.
func freeSubnet(bits int, all []used) (netip.Prefix, error) {
	for _, s := range spans(bits) {
		within := netip.MustParsePrefix(s.within)
		for p := netip.PrefixFrom(within.Addr(), s.bits); within.Overlaps(p); p = netip.PrefixFrom(lastOf(p).Next(), s.bits) {
			if collides(p, all) == "" {
				return p, nil
			}
		}
	}
	return netip.Prefix{}, api.Errorf("choose a subnet", "", "the host's routes and other networks leave no private addresses").
		WithHint("name one with --subnet, or remove networks with sbx network prune")
}

// localSubnet makes a subnet of unique local IPv6 addresses. RFC 4193, 3.2.2.
func localSubnet(all []used) netip.Prefix {
	for {
		b := [16]byte{0xfd}
		// crypto/rand.Read returns no error since Go 1.24: it ends the program.
		_, _ = rand.Read(b[1:6])
		if p := netip.PrefixFrom(netip.AddrFrom16(b), 64); collides(p, all) == "" {
			return p
		}
	}
}

// check says what is wrong with a subnet, and fills in the gateway.
func (s *Subnet) check(all []used) error {
	const op = "use subnet"
	name := s.Prefix.String()
	a := s.Prefix.Addr()
	fewest, most := 30, 8
	if a.Is6() {
		fewest, most = 126, 32
	}
	switch {
	case !s.Prefix.IsValid():
		return api.Errorf(op, "", "not an address with a prefix length").WithHint("write it as 10.90.1.0/24 or fd12:3456:789a::/64")
	case a.Is4In6() || a.Zone() != "":
		return api.Errorf(op, name, "write it as plain IPv4 or IPv6")
	case s.Prefix.Bits() > fewest:
		return api.Errorf(op, name, "too small for a gateway and a sandbox").WithHint("/%d is the smallest", fewest)
	case s.Prefix.Bits() < most:
		return api.Errorf(op, name, "too large").WithHint("/%d is the largest", most)
	case a != s.Prefix.Masked().Addr():
		return api.Errorf(op, name, "there are bits set behind the prefix").WithHint("did you mean %s", s.Prefix.Masked())
	}
	for _, bad := range []used{
		{netip.MustParsePrefix("0.0.0.0/8"), "this host"}, {netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local addresses"}, {netip.MustParsePrefix("224.0.0.0/3"), "multicast and reserved addresses"},
		{netip.MustParsePrefix("::/16"), "special addresses"}, {netip.MustParsePrefix("fe80::/10"), "link-local addresses"},
		{netip.MustParsePrefix("ff00::/8"), "multicast addresses"},
	} {
		if bad.Overlaps(s.Prefix) {
			return api.Errorf(op, name, "it is for %s", bad.by).WithHint("choose a private one, such as 10.90.1.0/24 or fd12:3456:789a::/64")
		}
	}
	if with := collides(s.Prefix, all); with != "" {
		return api.Errorf(op, name, "overlaps with %s", with).WithHint("choose another one, or leave the choice to sbx")
	}
	return s.checkInside()
}

// checkInside looks at the gateway and the range.
func (s *Subnet) checkInside() error {
	if !s.Gateway.IsValid() {
		s.Gateway = s.Prefix.Addr().Next()
	}
	free := &pool{subnet: *s}
	switch reserved := free.reserved(s.Gateway); {
	case !s.Prefix.Contains(s.Gateway):
		return api.Errorf("use gateway", s.Gateway.String(), "not in the subnet %s", s.Prefix)
	case reserved != "":
		return api.Errorf("use gateway", s.Gateway.String(), "it is %s of %s", reserved, s.Prefix)
	case !s.Range.IsValid():
		return nil
	case s.Range != s.Range.Masked():
		return api.Errorf("use address range", s.Range.String(), "there are bits set behind the prefix").WithHint("did you mean %s", s.Range.Masked())
	case s.Range.Bits() < s.Prefix.Bits() || !s.Prefix.Contains(s.Range.Addr()):
		return api.Errorf("use address range", s.Range.String(), "not in the subnet %s", s.Prefix)
	}
	return nil
}
