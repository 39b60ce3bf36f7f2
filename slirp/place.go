package slirp

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// place is where the switch is connected: the networks of IPv4 and IPv6 that it
// has in common with the helper. Of the host's own networks it must be none, or
// sandboxes could not reach what is there.
type place struct{ v4, v6 netip.Prefix }

// The first are what slirp4netns has by itself; virtual machines are often there,
// too. The others are no private networks, and not of the Internet either.
var (
	places4 = []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24"), netip.MustParsePrefix("198.18.254.0/24"), netip.MustParsePrefix("100.127.254.0/24")}
	places6 = []netip.Prefix{netip.MustParsePrefix("fd00::/64"), netip.MustParsePrefix("fd5b:7804:2100::/64")}
)

// usual is the place where it does not matter.
var usual = place{places4[0], places6[0]}

// findPlace takes the first networks that the host does not use.
func findPlace() place {
	used, err := hostNetworks()
	if err != nil {
		used = nil // the usual ones are rarely wrong
	}
	return place{free(places4, used), free(places6, used)}
}

// free is the first that overlaps with nothing, or just the first.
func free(of, used []netip.Prefix) netip.Prefix {
candidates:
	for _, p := range of {
		for _, u := range used {
			if u.Overlaps(p) {
				continue candidates
			}
		}
		return p
	}
	return of[0]
}

// hostNetworks are the routes of the host, in all its tables, but for those to
// everywhere.
func hostNetworks() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if r.Dst == nil {
				continue
			}
			a, ok := netip.AddrFromSlice(r.Dst.IP)
			bits, _ := r.Dst.Mask.Size()
			// A VPN that takes everything often does so in two or four halves.
			const aDefault = 3
			if ok && bits > aDefault {
				list = append(list, netip.PrefixFrom(a.Unmap(), bits))
			}
		}
	}
	return list, nil
}

// address is that of the switch.
func (p place) address() netip.Addr { return nth(p.v4, 100) }

// gatewayNumber is where slirp4netns has its gateways, as number in the network.
const gatewayNumber = 2

// gateway is the helper's.
func (p place) gateway() netip.Addr { return nth(p.v4, gatewayNumber) }

func (p place) address6() netip.Addr { return nth(p.v6, 0x100) }

func (p place) gateway6() netip.Addr { return nth(p.v6, gatewayNumber) }

// nth is an address within a network whose last two bytes are free for it.
func nth(p netip.Prefix, n uint16) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	b[len(b)-1] |= byte(n)
	b[len(b)-2] |= byte(n >> 8)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// networks are the prefixes, for the outlet's record.
func (p place) networks() []netip.Prefix { return []netip.Prefix{p.v4, p.v6} }
