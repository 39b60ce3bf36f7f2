package network

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// ping sends one echo request and waits for the answer.
func ping(from *place, to string) error {
	return from.do(func() error {
		network, kind, proto := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), 1
		reply := icmp.Type(ipv4.ICMPTypeEchoReply)
		if strings.Contains(to, ":") {
			network, kind, reply, proto = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
		}
		c, err := icmp.ListenPacket(network, "")
		if err != nil {
			return err
		}
		defer c.Close()
		m := icmp.Message{Type: kind, Body: &icmp.Echo{ID: 7, Seq: 1, Data: []byte("are you there")}}
		data, err := m.Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(data, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
			return err
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		buf := make([]byte, 1500)
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return err
			}
			got, err := icmp.ParseMessage(proto, buf[:n])
			if err != nil {
				return err
			}
			switch got.Type {
			case reply:
				return nil
			case ipv4.ICMPTypeDestinationUnreachable, ipv6.ICMPTypeDestinationUnreachable:
				return unix.EHOSTUNREACH
			}
		}
	})
}

func TestSandboxesReachEachOther(t *testing.T) {
	w := newWorld(t)
	a, b := w.box(Default), w.box("default")
	// At once: the first packet must not get lost.
	start := time.Now()
	w.yes("first ping", ping(a.place, b.IP.String()))
	t.Log("first ping took", time.Since(start))
	for _, ip := range []netip.Addr{b.IP, b.IP6} {
		w.reach("ping", a.place, ip.String())
		w.yes("udp", udp(a.place, b.place, ip.String(), 0))
		seen, err := tcp(a.place, b.place, ip.String())
		w.yes("tcp", err)
		if own := map[bool]netip.Addr{false: a.IP, true: a.IP6}[ip.Is6()]; seen != own.String() {
			t.Errorf("seen as %s, is %s", seen, own)
		}
	}
	if !strings.HasPrefix(a.MAC, "02:42:") || a.Ifname != "eth0" || a.IP == b.IP || a.Gateway != b.Gateway {
		t.Errorf("%+v\n%+v", a.Endpoint, b.Endpoint)
	}
	for _, gateway := range []netip.Addr{a.Gateway, a.Gateway6} {
		w.reach("ping of the gateway", a.place, gateway.String())
	}
}

func TestWayOut(t *testing.T) {
	w := newWorld(t)
	a := w.box(Default)
	for there, own := range map[string]string{internet: onTap, internet6: onTap6} {
		w.reach("ping "+there, a.place, there)
		seen, err := tcp(a.place, w.outside, there)
		w.yes("tcp "+there, err)
		if seen != own {
			t.Errorf("outside sees %s, not %s", seen, own)
		}
	}
	trusted := w.box(Default, func(e *Endpoint) { e.HostLoopback = true })
	for _, host := range []string{alias, alias6} {
		w.no("the host's loopback "+host, ping(a.place, host))
		_, err := tcp(a.place, w.outside, host)
		w.no("the host's loopback by TCP "+host, err)
		w.reach("the host's loopback, allowed, "+host, trusted.place, host)
	}
	// From outside nobody gets in, not even somebody with a route.
	w.outside.must(func() error { return configure("out", "10.0.2.77/24") })
	w.outside.must(func() error { return routeTo(w.prefix(Default), onTap) })
	w.no("from outside", ping(w.outside, a.IP.String()))
	w.no("the switch from outside", ping(w.outside, onTap))
}

func (w *world) prefix(name string) netip.Prefix {
	n, err := w.Find(name)
	if err != nil {
		w.Fatal(err)
	}
	return n.subnet(false).Prefix
}

// The switch itself is nothing but a gateway and a resolver.
func TestSwitchIsClosed(t *testing.T) {
	w := newWorld(t)
	a := w.box(Default)
	other := w.create(Network{Name: "other", IPv6: true})
	for _, ip := range []netip.Addr{a.Gateway, a.Gateway6} {
		w.yes("DNS", udp(a.place, w.home, ip.String(), 53))
		w.no("another port", udp(a.place, w.home, ip.String(), 54))
		start := time.Now()
		_, err := tcp(a.place, w.home, ip.String())
		if !errors.Is(err, unix.ECONNREFUSED) || time.Since(start) > patience/2 {
			t.Errorf("TCP to the gateway: %v after %v", err, time.Since(start))
		}
	}
	for _, s := range other.Subnets {
		w.no("the gateway of another network", ping(a.place, s.Gateway.String()))
		w.no("DNS of another network", udp(a.place, w.home, s.Gateway.String(), 53))
	}
	for _, own := range []string{onTap, onTap6} {
		w.no("the way out itself", ping(a.place, own))
	}
	// Published ports: from the switch to a sandbox.
	_, err := tcp(w.home, a.place, a.IP.String())
	w.yes("from the switch", err)
}

func TestNetworksAreSeparate(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "one", IPv6: true})
	w.create(Network{Name: "two", IPv6: true})
	a, b, c := w.box("one"), w.box("two"), w.box("one")
	for _, ip := range []netip.Addr{b.IP, b.IP6} {
		w.no("ping", ping(a.place, ip.String()))
		_, err := tcp(a.place, b.place, ip.String())
		w.no("tcp", err)
		w.no("udp", udp(a.place, b.place, ip.String(), 0))
	}
	w.reach("ping in one", a.place, c.IP.String())
	// One sandbox may be on both.
	e, err := w.Attach(a.netns, Endpoint{Sandbox: a.Sandbox, Network: "two"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Ifname != "eth1" {
		t.Error("second interface is", e.Ifname)
	}
	w.reach("ping on two", a.place, b.IP.String())
	w.reach("ping on one", a.place, c.IP.String())
	w.reach("the way out", a.place, internet)
	// The way out goes over to the one that is left.
	w.yes("detach", w.Detach(a.Endpoint))
	w.no("the way out without a route", ping(a.place, internet))
	if e, err = w.Route(a.netns, e); err != nil || !e.DefaultRoute {
		t.Error(err)
	}
	w.reach("the way out by two", a.place, internet)
}

func TestInternal(t *testing.T) {
	w := newWorld(t)
	n := w.create(Network{Name: "inner", IPv6: true, Internal: true})
	a, b := w.box("inner"), w.box("inner")
	w.reach("ping", a.place, b.IP.String())
	w.reach("ping IPv6", a.place, b.IP6.String())
	w.yes("DNS", udp(a.place, w.home, a.Gateway.String(), 53))
	for _, there := range []string{internet, internet6} {
		w.no("outside", ping(a.place, there))
	}
	// Nor if somebody inside makes the route that is missing.
	a.must(func() error {
		return errors.Join(via(n.Subnets[0].Gateway.String()), via(n.Subnets[1].Gateway.String()))
	})
	for _, there := range []string{internet, internet6, alias} {
		w.no("outside with a route", ping(a.place, there))
	}
}

func TestIsolate(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "apart", IPv6: true, Isolate: true})
	a, b := w.box("apart"), w.box("apart")
	for _, ip := range []netip.Addr{b.IP, b.IP6} {
		w.no("ping", ping(a.place, ip.String()))
	}
	w.reach("the way out", a.place, internet)
	w.reach("the gateway", a.place, a.Gateway.String())
	// Nor by way of the gateway.
	a.must(func() error { return routeTo(netip.PrefixFrom(b.IP, 32), a.Gateway.String()) })
	w.no("ping through the gateway", ping(a.place, b.IP.String()))
}

func TestMTU(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "small", Options: map[string]string{"com.docker.network.driver.mtu": "1400"}})
	for network, want := range map[string]int{Default: 65520, "small": 1400} {
		b := w.box(network)
		b.must(func() error {
			i, err := net.InterfaceByName("eth0")
			if err == nil && i.MTU != want {
				t.Errorf("%s: %d, want %d", network, i.MTU, want)
			}
			return err
		})
		w.home.must(func() error {
			n, err := w.Find(network)
			if err != nil {
				return err
			}
			i, err := net.InterfaceByName(n.Bridge)
			if err == nil && i.MTU != want {
				t.Errorf("bridge of %s: %d, want %d", network, i.MTU, want)
			}
			return err
		})
	}
}

// A sandbox whose namespaces belong to a user namespace below ours.
func TestNestedUserNamespace(t *testing.T) {
	w := newWorld(t)
	cmd := command(asSandbox, unix.CLONE_NEWUSER|unix.CLONE_NEWNET)
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hold.Close()
		_ = cmd.Wait()
	})
	netns, err := os.Open("/proc/" + itoa(cmd.Process.Pid) + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer netns.Close()
	e, err := w.Attach(netns, Endpoint{Sandbox: "nested", Network: Default, DefaultRoute: true})
	if err != nil {
		t.Fatal(err)
	}
	w.reach("ping", w.home, e.IP.String())
	w.reach("ping IPv6", w.home, e.IP6.String())
}

// checksum is that of the Internet.
func checksum(b []byte) (sum uint16) {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// With br_netfilter, frames between members are seen as packets that are forwarded.
func TestBridgeNetfilter(t *testing.T) {
	w := newWorld(t)
	const file = procNet + "/bridge/bridge-nf-call-iptables"
	w.home.must(func() error {
		value, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			t.Skip("br_netfilter is not loaded")
		}
		if string(value) != "0\n" {
			t.Errorf("%s is %q", file, value)
		}
		// As if it had been loaded later.
		return errors.Join(err, os.WriteFile(file, []byte("1"), 0))
	})
	a, b := w.box(Default), w.box(Default)
	w.reach("ping", a.place, b.IP.String())
	w.create(Network{Name: "apart", Isolate: true})
	c, d := w.box("apart"), w.box("apart")
	w.no("ping", ping(c.place, d.IP.String()))
}
