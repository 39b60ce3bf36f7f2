package tests

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A sandbox has CAP_NET_RAW, as with Docker, and sends whatever frames it likes. A
// neighbour hears those that say the truth.
func TestNetworkForgedFrames(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "--ipv6", "lab")
	e.OK(append(append([]string{"run", "-d", "--name", "victim", "--network", "lab"}, e.probeFlags("hear")...), "busybox", probeTarget)...)
	e.awaitReady("victim")
	e.serve("evil", "--network", "lab")
	var args []string
	for _, name := range []string{"evil", "victim"} {
		for _, fact := range []string{"MacAddress", "IPAddress", "GlobalIPv6Address"} {
			args = append(args, e.joined(name, "lab", fact))
		}
	}
	args = append(args, e.joined("evil", "lab", "Gateway"), e.joined("evil", "lab", "IPv6Gateway"))
	e.does("evil", "forge", args...)
	var heard []string
	all := forgeries(testNeighbour, testNeighbour, testNeighbour.ip, testNeighbour.ip6)
	e.Eventually("the last frame has arrived", func() bool {
		heard = strings.Split(e.OK("logs", "victim"), "\n")
		return slices.Contains(heard, fmt.Sprintf("heard %03d", len(all)-1))
	})
	for i, f := range all {
		if got := slices.Contains(heard, fmt.Sprintf("heard %03d", i)); got != f.pass {
			t.Errorf("%s: arrives %v, want %v", f.name, got, f.pass)
		}
	}
	if hw := e.OK("exec", "victim", "ip", "neigh"); strings.Contains(hw, e.joined("evil", "lab", "Gateway")+" dev eth0 lladdr "+e.joined("evil", "lab", "MacAddress")) {
		t.Errorf("the gateway is somebody else: %q", hw)
	}
}

// With CAP_NET_ADMIN it can call itself what it likes, and is heard by nobody.
func TestNetworkStolenAddress(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	e.serve("victim", "--network", "lab")
	e.serve("friend", "--network", "lab")
	e.serve("evil", "--network", "lab", "--cap-add", "NET_ADMIN")
	victim, friend, own := e.ip("victim", "lab"), e.ip("friend", "lab"), e.ip("evil", "lab")
	e.OK("exec", "evil", "ip", "addr", "add", victim+"/24", "dev", "eth0")
	ping := func(from string) bool {
		t.Helper()
		return e.Run("exec", "evil", "ping", "-I", from, "-c1", "-W1", friend).Code == 0
	}
	if !ping(own) {
		t.Error("it is not heard by its own name")
	}
	if ping(victim) {
		t.Error("it is heard as its neighbour")
	}
	e.reaches("friend", true, victim)
	mac := e.joined("evil", "lab", "MacAddress")
	e.OK("exec", "evil", "ip", "link", "set", "eth0", "address", e.joined("victim", "lab", "MacAddress"))
	if ping(own) || ping(victim) {
		t.Error("it is heard with the MAC address of its neighbour")
	}
	e.reaches("friend", true, victim)
	e.OK("exec", "evil", "ip", "link", "set", "eth0", "address", mac)
	e.OK("exec", "evil", "ip", "addr", "del", victim+"/24", "dev", "eth0")
	if !ping(own) {
		t.Error("it stays unheard after it has come to its senses")
	}
}
