package slirp

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HostAddrs are the addresses of the host that sandboxes reach it by, through
// either driver: those that it uses itself towards the outside, or else the first
// that is neither loopback nor link-local. The zero value is none. What listens on
// the host's loopback interface only is not reached by them. It must be called
// in the host's network namespace; the addresses change with the host's network.
func HostAddrs() (v4, v6 netip.Addr, err error) {
	if v4, err = hostAddr(netlink.FAMILY_V4, "192.0.2.1"); err != nil {
		return v4, v6, err
	}
	v6, err = hostAddr(netlink.FAMILY_V6, "2001:db8::1")
	return v4, v6, err
}

// hostAddr asks for the way to an address for documentation: the default route,
// and nothing is sent.
func hostAddr(family int, outside string) (netip.Addr, error) {
	routes, err := netlink.RouteGet(netip.MustParseAddr(outside).AsSlice())
	if err == nil && len(routes) > 0 {
		if a, ok := netip.AddrFromSlice(routes[0].Src); ok && a.Unmap().IsGlobalUnicast() {
			return a.Unmap(), nil
		}
	}
	addrs, err := netlink.AddrList(nil, family)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, addr := range addrs {
		if a, ok := netip.AddrFromSlice(addr.IP); ok && a.Unmap().IsGlobalUnicast() && addr.Flags&unix.IFA_F_TENTATIVE == 0 {
			return a.Unmap(), nil
		}
	}
	return netip.Addr{}, nil
}
