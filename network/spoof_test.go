package network

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func itoa(i int) string { return strconv.Itoa(i) }

func routeTo(p netip.Prefix, gateway string) error {
	_, dst, err := net.ParseCIDR(p.Masked().String())
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{Dst: dst, Gw: net.ParseIP(gateway)})
}

// frame is one of Ethernet. Its payload ends with a mark, by which the receiver
// knows it.
func frame(to, from net.HardwareAddr, kind uint16, payload []byte) []byte {
	f := append(slices.Clone(to), from...)
	return append(binary.BigEndian.AppendUint16(f, kind), payload...)
}

func arp(op byte, mac net.HardwareAddr, ip netip.Addr, about netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, 0, op}
	p = append(append(p, mac...), ip.AsSlice()...)
	return append(append(p, make([]byte, 6)...), about.AsSlice()...)
}

func packet4(from, to netip.Addr, proto byte, payload []byte) []byte {
	h := make([]byte, 20)
	h[0], h[8], h[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)+markSize))
	copy(h[12:], from.AsSlice())
	copy(h[16:], to.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, payload...)
}

func packet6(from, to netip.Addr, proto byte, payload []byte) []byte {
	h := make([]byte, 40)
	h[0], h[6], h[7] = 0x60, proto, 255
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)+markSize))
	copy(h[8:], from.AsSlice())
	copy(h[24:], to.AsSlice())
	return append(h, payload...)
}

func datagram(from, to uint16) []byte {
	h := binary.BigEndian.AppendUint16(nil, from)
	h = binary.BigEndian.AppendUint16(h, to)
	return binary.BigEndian.AppendUint16(h, 8+markSize)[:6:6]
}

func udpHeader(from, to uint16) []byte { return append(datagram(from, to), 0, 0) }

func neighbour(kind byte, target netip.Addr) []byte {
	return append([]byte{kind, 0, 0, 0, 0x20, 0, 0, 0}, target.AsSlice()...)
}

// extended puts an extension header, of destination options, before the payload.
func extended(proto byte, payload []byte) []byte {
	return append([]byte{proto, 0, 1, 4, 0, 0, 0, 0}, payload...)
}

const markSize = 8

func mark(i int) []byte { return fmt.Appendf(nil, "#mark%03d", i)[:markSize] }

// attempt is a frame, and whether it may pass.
type attempt struct {
	name string
	pass bool
	data []byte
}

// attempts of a, next to b.
func attempts(a, b *box) []attempt {
	own, mac := hw(a.MAC), hw(b.MAC)
	broadcast := hw("ff:ff:ff:ff:ff:ff")
	forged := hw("02:42:de:ad:be:ef")
	gateway := macOf(a.Gateway)
	zero, zero6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	stranger, stranger6 := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")
	ll := linkLocal(own)
	const v4, v6, arpType, tcpProto, udpProto, icmpProto = 0x0800, 0x86dd, 0x0806, 6, 17, 58
	plain := udpHeader(1000, 2000)
	p4 := func(from netip.Addr, payload []byte) []byte { return packet4(from, b.IP, udpProto, payload) }
	p6 := func(from netip.Addr, proto byte, payload []byte) []byte { return packet6(from, b.IP6, proto, payload) }
	vlan := append([]byte{0, 5, 8, 0}, p4(a.IP, plain)...)
	return []attempt{
		{"IPv4", true, frame(mac, own, v4, p4(a.IP, plain))},
		{"IPv4 with a forged MAC", false, frame(mac, forged, v4, p4(a.IP, plain))},
		{"IPv4 as the neighbour", false, frame(mac, own, v4, p4(b.IP, plain))},
		{"IPv4 with the neighbour's MAC and address", false, frame(mac, mac, v4, p4(b.IP, plain))},
		{"IPv4 as the gateway", false, frame(mac, own, v4, p4(a.Gateway, plain))},
		{"IPv4 with the gateway's MAC", false, frame(mac, gateway, v4, p4(a.Gateway, plain))},
		{"IPv4 from a stranger", false, frame(mac, own, v4, p4(stranger, plain))},
		{"IPv4 from nobody", false, frame(mac, own, v4, p4(zero, plain))},
		{"DHCP offer", false, frame(mac, own, v4, p4(a.IP, udpHeader(67, 68)))},
		{"DHCP offer from another port", false, frame(broadcast, own, v4, p4(a.IP, udpHeader(1067, 68)))},
		{"DHCP relay", false, frame(mac, own, v4, p4(a.IP, udpHeader(67, 67)))},

		{"ARP request", true, frame(broadcast, own, arpType, arp(1, own, a.IP, b.IP))},
		{"ARP reply", true, frame(mac, own, arpType, arp(2, own, a.IP, b.IP))},
		{"ARP as the gateway", false, frame(mac, own, arpType, arp(2, own, a.Gateway, b.IP))},
		{"ARP as the neighbour", false, frame(broadcast, own, arpType, arp(1, own, b.IP, a.Gateway))},
		{"ARP with a forged MAC inside", false, frame(mac, own, arpType, arp(2, forged, a.IP, b.IP))},
		{"ARP with a forged MAC outside", false, frame(mac, forged, arpType, arp(2, own, a.IP, b.IP))},
		{"ARP with a forged MAC", false, frame(mac, forged, arpType, arp(2, forged, a.IP, b.IP))},
		{"ARP of something else", false, frame(mac, own, arpType, append([]byte{0, 6}, arp(2, own, a.IP, b.IP)[2:]...))},

		{"IPv6", true, frame(mac, own, v6, p6(a.IP6, udpProto, plain))},
		{"IPv6, link-local", true, frame(mac, own, v6, p6(ll, udpProto, plain))},
		{"IPv6 with a forged MAC", false, frame(mac, forged, v6, p6(a.IP6, udpProto, plain))},
		{"IPv6 as the neighbour", false, frame(mac, own, v6, p6(b.IP6, udpProto, plain))},
		{"IPv6 as the gateway", false, frame(mac, own, v6, p6(a.Gateway6, udpProto, plain))},
		{"IPv6 from a stranger", false, frame(mac, own, v6, p6(stranger6, udpProto, plain))},
		{"IPv6, another link-local", false, frame(mac, own, v6, p6(linkLocal(mac), udpProto, plain))},
		{"IPv6 from nobody", false, frame(mac, own, v6, p6(zero6, udpProto, plain))},
		{"neighbour solicitation", true, frame(mac, own, v6, p6(a.IP6, icmpProto, neighbour(135, b.IP6)))},
		{"neighbour advertisement", true, frame(mac, own, v6, p6(a.IP6, icmpProto, neighbour(136, a.IP6)))},
		{"neighbour advertisement for another", false, frame(mac, own, v6, p6(a.IP6, icmpProto, neighbour(136, b.IP6)))},
		{"neighbour advertisement for the gateway", false, frame(mac, own, v6, p6(ll, icmpProto, neighbour(136, a.Gateway6)))},
		{"the same behind an extension", false, frame(mac, own, v6, p6(ll, 60, extended(icmpProto, neighbour(136, a.Gateway6))))},
		{"is my address free", true, frame(mac, own, v6, p6(zero6, icmpProto, neighbour(135, a.IP6)))},
		{"is yours", false, frame(mac, own, v6, p6(zero6, icmpProto, neighbour(135, b.IP6)))},
		{"router advertisement", false, frame(mac, own, v6, p6(ll, icmpProto, []byte{134, 0, 0, 0, 64, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}))},
		{"the same behind an extension", false, frame(mac, own, v6, p6(ll, 60, extended(icmpProto, []byte{134, 0, 0, 0, 64, 0, 1, 0})))},
		{"redirect", false, frame(mac, own, v6, p6(ll, icmpProto, []byte{137, 0, 0, 0, 0, 0, 0, 0}))},
		{"echo", true, frame(mac, own, v6, p6(a.IP6, icmpProto, []byte{128, 0, 0, 0, 0, 0, 0, 0}))},
		{"DHCPv6 advertise", false, frame(mac, own, v6, p6(ll, udpProto, udpHeader(547, 546)))},
		{"DHCPv6 from another port", false, frame(mac, own, v6, p6(ll, udpProto, udpHeader(1547, 546)))},

		{"VLAN", false, frame(mac, own, 0x8100, vlan)},
		{"VLAN of a provider", false, frame(mac, own, 0x88a8, vlan)},
		{"LLDP", false, frame(mac, own, 0x88cc, nil)},
		{"802.1X", false, frame(mac, own, 0x888e, nil)},
		{"spanning tree", false, frame(hw("01:80:c2:00:00:00"), own, 39, []byte{0x42, 0x42, 3})},
		{"PPPoE", false, frame(mac, own, 0x8864, nil)},
		{"MPLS", false, frame(mac, own, 0x8847, nil)},
	}
}

func hw(s string) net.HardwareAddr {
	mac, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return mac
}

// raw opens a packet socket on eth0.
func raw(p *place) (fd int) {
	p.t.Helper()
	p.must(func() (err error) {
		all := int(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)))
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		eth, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: eth.Index})
	})
	p.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// heard gives the marks that arrive up to the last one.
func heard(t *testing.T, fd, last int) map[int]bool {
	got := map[int]bool{}
	buf := make([]byte, 2048)
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			t.Fatalf("after %d frames: %v", len(got), err)
		}
		at := bytes.LastIndex(buf[:n], []byte("#mark"))
		if at < 0 {
			continue
		}
		i, err := strconv.Atoi(string(buf[at+5 : at+markSize]))
		if err != nil {
			t.Fatal(err)
		}
		if i == last {
			return got
		}
		got[i] = true
	}
	t.Fatal("the last frame did not arrive")
	return nil
}

func TestForgedFramesAreDropped(t *testing.T) {
	w := newWorld(t)
	a, b := w.box(Default), w.box(Default)
	out, in := raw(a.place), raw(b.place)
	list := attempts(a, b)
	last := len(list)
	list = append(list, list[0]) // honest
	for i, one := range list {
		data := append(slices.Clone(one.data), mark(i)...)
		if n := len(data); n < 60 { // the smallest frame; the mark stays last
			data = slices.Insert(data, n-markSize, make([]byte, 60-n)...)
		}
		if _, err := unix.Write(out, data); err != nil {
			t.Fatal(one.name, err)
		}
	}
	got := heard(t, in, last)
	for i, one := range list[:last] {
		if got[i] != one.pass {
			t.Errorf("%s: arrived %v, want %v", one.name, got[i], one.pass)
		}
	}
	if t.Failed() {
		return
	}
	// The neighbour's tables are what they should be: both still reach each other,
	// and the way out.
	w.reach("ping", b.place, a.IP.String())
	w.reach("ping", b.place, a.Gateway.String())
	w.reach("outside", b.place, internet)
}

// A sandbox that gives itself another address is alone with it.
func TestAddressOfOnesOwnChoice(t *testing.T) {
	w := newWorld(t)
	a, b := w.box(Default), w.box(Default)
	free := b.IP.Next()
	a.must(func() error { return configure("eth0", free.String()+"/22") })
	w.no("ping", ping(b.place, free.String()))
	w.reach("the true one", b.place, a.IP.String())
	// Another MAC address silences it.
	a.must(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, hw("02:42:00:00:00:01"))
	})
	w.no("ping with another MAC address", ping(a.place, b.IP.String()))
}

func TestIfnameIsWhole(t *testing.T) {
	if got := ifname(strings.Repeat("x", 15)); len(got) != 16 || got[15] != 0 {
		t.Errorf("%q", got)
	}
}
