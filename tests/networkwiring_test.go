package tests

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// The first sandboxes of a network make its bridge and its responder, whoever comes
// first.
func TestNetworkFirstAtOnce(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	for round := range 3 {
		network := fmt.Sprintf("lab%d", round)
		e.OK("network", "create", network)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if r := e.Run("run", "--rm", "--network", network, "busybox", "true"); r.Code != 0 {
					t.Errorf("%s: status %d: %s", network, r.Code, r.Err)
				}
			})
		}
		all.Wait()
	}
}

// The way out is by a network that has one, in whatever order they are.
func TestNetworkWayOutBehindInternal(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "--internal", "inner")
	e.OK("network", "create", "lab")
	e.OK("network", "create", "more")
	p := freePorts(t, 1)
	e.serve("web", "--network", "inner", "--network", "lab", "--network", "more", "-p", fmt.Sprintf("127.0.0.1:%d:80", p))
	way := func(network string) {
		t.Helper()
		e.sees("web", "default via "+e.joined("web", network, "Gateway")+" ", "ip", "route")
		answers(t, "tcp", fmt.Sprintf("127.0.0.1:%d", p))
	}
	way("lab")
	e.OK("network", "disconnect", "lab", "web")
	way("more")
	e.OK("network", "connect", "lab", "web")
	way("more") // it stays where it is
	e.OK("network", "disconnect", "more", "web")
	way("lab")
}

// A port leads to nobody else when its sandbox has left, and goes with the sandbox
// even if that is on no network.
func TestPortsOfTheDisconnected(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "--subnet", "10.231.9.0/24", "lab")
	p := freePorts(t, 1)
	addr := fmt.Sprintf("127.0.0.1:%d", p)
	e.serve("web", "--network", "lab", "-p", fmt.Sprintf("%d:80", p))
	was := e.ip("web", "lab")
	e.OK("network", "disconnect", "lab", "web")
	e.serve("heir", "--network", "lab", "--ip", was)
	refuses(t, "tcp", addr)
	e.Is("", "port", "web")
	e.OK("rm", "-f", "heir")
	e.OK("network", "connect", "lab", "web")
	answers(t, "tcp", addr)
	e.OK("network", "disconnect", "lab", "web")
	e.OK("rm", "-f", "web")
	if !free(p, 1) {
		t.Error("the port is taken after the end")
	}
}

// What is connected while a sandbox starts is connected.
func TestNetworkConnectAtStart(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	e.OK("create", "--name", "web", "busybox", "sleep", "1000")
	var start sync.WaitGroup
	start.Go(func() { e.OK("start", "web") })
	e.OK("network", "connect", "lab", "web")
	start.Wait()
	e.Eventually("it runs", func() bool { return e.OK("inspect", "-f", "{{.State.Running}}", "web") == "true" })
	ip := e.ip("web", "lab")
	if net.ParseIP(ip) == nil || !strings.Contains(e.OK("exec", "web", "ip", "addr"), ip+"/") {
		t.Errorf("its address is %q", ip)
	}
}
