package network

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Slirp4netns is the router of IPv6 by saying so, also when it is started again.
func TestRouterOnTheWayOutIsHeard(t *testing.T) {
	if !hasIPv6() {
		t.Skip("no IPv6")
	}
	w := newWorld(t)
	n := w.create(Network{Name: "lab", IPv6: true})
	w.box("lab")
	w.home.must(func() error {
		text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + n.Bridge + "/accept_ra")
		if err == nil && strings.TrimSpace(string(text)) != "0" {
			t.Errorf("a bridge hears routers: %s", text)
		}
		return err
	})
	w.home.must(func() error {
		tap, err := netlink.LinkByName("tap0")
		if err != nil {
			return err
		}
		if err := netlink.LinkDel(tap); err != nil {
			return err
		}
		la := netlink.NewLinkAttrs()
		la.Name = "tap0"
		err = netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: "out", PeerNamespace: netlink.NsFd(w.outside.netns.Fd())})
		if err != nil {
			return err
		}
		return configure("tap0", onTap+"/24")
	})
	w.outside.must(func() error { return configure("out", alias6+"/64", "fe80::2/64") })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		said := w.outside.do(advertise) // fails until the link is up
		var routes []netlink.Route
		w.home.must(func() (err error) {
			routes, err = netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{}, netlink.RT_FILTER_DST)
			return err
		})
		for _, r := range routes {
			if r.Gw.Equal(net.ParseIP("fe80::2")) {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no default route but %v, %v", routes, said)
		}
	}
}

// advertise tells everybody on the link that this is a router. RFC 4861, 4.2.
func advertise() error {
	out, err := net.InterfaceByName("out")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte(net.ParseIP("fe80::2")), ZoneId: uint32(out.Index)}); err != nil {
		return err
	}
	const lifetime = 30 // minutes
	message := []byte{ndRouter, 0, 0, 0, 64, 0, lifetime * 60 >> 8, lifetime * 60 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	return unix.Sendto(fd, message, 0, &unix.SockaddrInet6{Addr: [16]byte(net.ParseIP("ff02::1")), ZoneId: uint32(out.Index)})
}
