package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// left lists the interfaces of ours in the switch, and counts the elements.
func (w *world) left() (links []string, elements int) {
	w.Helper()
	w.home.must(func() error {
		rt, err := openRtnl()
		if err != nil {
			return err
		}
		defer rt.close()
		all, err := rt.links()
		for _, l := range all {
			if l.kind == "bridge" || strings.HasPrefix(l.name, portPrefix) {
				links = append(links, l.name)
			}
		}
		return err
	})
	for _, s := range w.tables.all {
		list, err := w.tables.conn.GetSetElements(s)
		if err != nil {
			w.Fatal(err)
		}
		elements += len(list)
	}
	return links, elements
}

func (w *world) empty() {
	w.Helper()
	if links, elements := w.left(); len(links) != 0 || elements != 0 {
		w.Errorf("left %v and %d elements", links, elements)
	}
}

func TestDetachLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.yes("up", w.Up(Default))
	links, elements := w.left()
	a := w.box(Default, func(e *Endpoint) { e.HostLoopback = true })
	if l, n := w.left(); len(l) != len(links)+1 || n != elements+6 {
		t.Errorf("attached: %v, %d elements more", l, n-elements)
	}
	w.yes("detach", w.Detach(a.Endpoint))
	if l, n := w.left(); len(l) != len(links) || n != elements {
		t.Errorf("left: %v, %d elements more", l, n-elements)
	}
	w.no("detach twice", w.Detach(a.Endpoint))
	if b := w.nets[Default]; b.ports != 0 || len(b.macs) != 1 || len(b.pools[false].taken) != 1 || len(b.pools[true].taken) != 1 {
		t.Errorf("left: %+v", b)
	}
	if len(w.Endpoints()) != 0 {
		t.Error("left:", w.Endpoints())
	}
}

func TestForget(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "mine"})
	a, b := w.box(Default), w.box(Default)
	if _, err := w.Attach(b.netns, Endpoint{Sandbox: b.Sandbox, Network: "mine"}); err != nil {
		t.Fatal(err)
	}
	w.yes("forget", w.Forget(b.Sandbox))
	// It still has its interface, which is mute now.
	w.no("ping", ping(b.place, a.IP.String()))
	w.yes("forget", w.Forget(a.Sandbox))
	w.yes("forget again", w.Forget(a.Sandbox))
	w.yes("remove", w.Remove("mine"))
	if _, n := w.left(); n != 5 { // the default network's own
		t.Errorf("%d elements", n)
	}
}

func TestAttachTakesWhatIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "mine", Subnets: []Subnet{subnet("10.66.1.0/24", ""), subnet("fd66::/64", "")}})
	a := w.box("mine", func(e *Endpoint) {
		e.IP, e.IP6, e.MAC, e.Ifname = addr("10.66.1.50"), addr("fd66::50"), "02:AA:00:00:00:01", "net0"
	})
	if a.IP != addr("10.66.1.50") || a.IP6 != addr("fd66::50") || a.MAC != "02:aa:00:00:00:01" || a.Ifname != "net0" || a.PrefixLen != 24 {
		t.Errorf("%+v", a.Endpoint)
	}
	b := w.box("mine")
	w.reach("ping", b.place, "10.66.1.50")
	w.reach("ping", b.place, "fd66::50")
	w.create(Network{Name: "four"})
	links, elements := w.left()
	c := newPlace(t)
	for want, e := range map[string]Endpoint{
		"taken by " + a.SandboxName:            {Network: "mine", IP: a.IP},
		"taken by " + a.SandboxName + ": ":     {Network: "mine", IP6: a.IP6},
		"taken by " + a.SandboxName + ": choo": {Network: "mine", MAC: a.MAC},
		"taken by the gateway":                 {Network: "mine", IP: addr("10.66.1.1")},
		"not in the subnet":                    {Network: "mine", IP: addr("10.66.2.1")},
		"broadcast":                            {Network: "mine", IP: addr("10.66.1.255")},
		"for many receivers":                   {Network: "mine", MAC: "01:02:03:04:05:06"},
		"is none":                              {Network: "mine", MAC: "\x1b[2J"},
		"has no IPv6":                          {Network: "four", IP6: addr("fd66::9")},
		"there is none":                        {Network: "nobody\x1b"},
		"no name for an interface":             {Network: "mine", Ifname: "a/b"},
		"file exists":                          {Network: "mine", Ifname: "lo"},
	} {
		e.Sandbox = "c"
		_, err := w.Attach(c.netns, e)
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%+v: %v, want %q", e, err, want)
		}
	}
	if _, err := w.Attach(a.netns, Endpoint{Sandbox: a.Sandbox, Network: "mine"}); err == nil || !strings.Contains(err.Error(), "already, as net0") {
		t.Error(err)
	}
	if l, n := w.left(); len(l) != len(links) || n != elements || len(w.Endpoints()) != 2 {
		t.Errorf("errors left %v, %d more elements, %v", l, n-elements, w.Endpoints())
	}
	if n := len(w.nets["mine"].pools[false].taken); n != 3 {
		t.Errorf("%d addresses are taken", n)
	}
}

// What fails half-way is undone.
func TestAttachUndoes(t *testing.T) {
	w := newWorld(t)
	w.yes("up", w.Up(Default))
	links, elements := w.left()
	// Not a network namespace at all.
	bad := newPlace(t)
	bad.netns.Close()
	if _, err := w.Attach(bad.netns, Endpoint{Sandbox: "bad", Network: Default}); err == nil {
		t.Fatal("attached to nothing")
	}
	if l, n := w.left(); len(l) != len(links) || n != elements || len(w.ports) != 0 || w.nets[Default].ports != 0 {
		t.Errorf("left %v, %d elements more", l, n-elements)
	}
}

func TestNoAddressesLeft(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "tiny", Subnets: []Subnet{subnet("10.66.1.0/30", "")}})
	a := w.box("tiny")
	p := newPlace(t)
	if _, err := w.Attach(p.netns, Endpoint{Sandbox: "p", Network: "tiny"}); err == nil || !strings.Contains(err.Error(), "all are taken") {
		t.Error(err)
	}
	w.yes("forget", w.Forget(a.Sandbox))
	if _, err := w.Attach(p.netns, Endpoint{Sandbox: "p", Network: "tiny"}); err != nil {
		t.Error(err)
	}
}

func TestTooManyPorts(t *testing.T) {
	w := newWorld(t)
	w.yes("up", w.Up(Default))
	w.nets[Default].ports = mostPorts
	_, err := w.Attach(newPlace(t).netns, Endpoint{Sandbox: "p", Network: Default})
	if err == nil || !strings.Contains(err.Error(), "1023 sandboxes") {
		t.Error(err)
	}
}

// The two-hundredth costs what the first does.
func TestManySandboxes(t *testing.T) {
	w := newWorld(t)
	w.yes("up", w.Up(Default))
	const many = 200
	var places []*place
	for range many {
		places = append(places, newPlace(t))
	}
	var took []time.Duration
	var last Endpoint
	for i, p := range places {
		start := time.Now()
		e, err := w.Attach(p.netns, Endpoint{Sandbox: fmt.Sprint("box", i), Network: Default, DefaultRoute: true})
		if err != nil {
			t.Fatal(err)
		}
		took, last = append(took, time.Since(start)), e
	}
	middle := func(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }
	t.Logf("attach: first 20 %v, last 20 %v, median %v, least %v", middle(took[:20]), middle(took[many-20:]), middle(took), slices.Min(took))
	w.reach("ping", places[0], last.IP.String())
	links, _ := w.left()
	if len(links) != many+1 {
		t.Errorf("%d interfaces", len(links))
	}
	// As many are taken over by the next supervisor.
	live := w.Endpoints()
	start := time.Now()
	w.reopen()
	w.yes("recover", w.Recover(live))
	t.Log("open and recover took", time.Since(start))
	w.reach("ping", places[0], last.IP.String())
	start = time.Now()
	for i := range many {
		w.yes("forget", w.Forget(fmt.Sprint("box", i)))
	}
	t.Log("forget took", time.Since(start)/many)
	w.yes("recover", w.Recover(nil))
	if links, _ := w.left(); len(links) != 1 {
		t.Errorf("left %v", links)
	}
}

func TestAtOnce(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "mine", IPv6: true})
	var wait sync.WaitGroup
	for i := range 16 {
		p := newPlace(t)
		wait.Go(func() {
			for range 3 {
				e, err := w.Attach(p.netns, Endpoint{Sandbox: fmt.Sprint(i), Network: "mine"})
				if err != nil {
					t.Error(err)
					return
				}
				if err := ping(p, e.Gateway.String()); err != nil {
					t.Error(err)
				}
				if err := w.Detach(e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	w.yes("remove", w.Remove("mine"))
	w.empty()
}

func TestRecover(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "mine", IPv6: true})
	w.create(Network{Name: "gone"})
	a, b, c := w.box("mine"), w.box("mine"), w.box("gone")
	w.box(Default)
	live := []Endpoint{a.Endpoint, b.Endpoint, c.Endpoint, {Sandbox: "ghost", Network: "mine", Host: "v-ghost", MAC: a.MAC, IP: addr("10.1.1.1")}}
	// One that the supervisor had not got to write down, and damage.
	var odd netip.Addr
	lost := w.box("mine")
	odd = lost.IP
	if err := w.tables.change([]member{{w.tables.bridges, key(ifname(w.nets["mine"].Bridge))}}, []member{{w.tables.host4, key(odd.AsSlice())}}); err != nil {
		t.Fatal(err)
	}
	if err := w.nets["gone"].erase(w.o.Dir); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	w.reach("ping before", a.place, b.IP.String())
	err := w.Recover(live)
	for _, want := range []string{"network gone " + c.SandboxName, "network mine ghost"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	w.reach("ping", a.place, b.IP.String())
	w.reach("ping IPv6", a.place, b.IP6.String())
	w.no("ping of the lost one", ping(a.place, lost.IP.String()))
	// sbx0 and the bridge of mine, a and b; the elements of these.
	if links, n := w.left(); len(links) != 4 || n != 2*5+2*4 {
		t.Errorf("left %v and %d elements", links, n)
	}
	if d := w.box("mine"); d.IP == a.IP || d.IP == b.IP || d.MAC == a.MAC {
		t.Errorf("%+v", d)
	}
	// A switch that is new, as after the end of the machine: networks come back.
	if err := w.Switch.Close(); err != nil {
		t.Fatal(err)
	}
	w.home, w.Switch = newPlace(t), nil
	w.o.NetNS = w.home.netns
	w.reopen()
	w.no("recover what is not there", w.Recover([]Endpoint{a.Endpoint}))
	w.reach("ping", w.box("mine").place, w.box("mine").IP.String())
}

// Somebody with nft has emptied the sets.
func TestSetsAreMended(t *testing.T) {
	w := newWorld(t)
	a, b := w.box(Default), w.box(Default)
	for _, s := range w.tables.all {
		w.tables.conn.FlushSet(s)
	}
	if err := w.tables.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	w.no("ping", ping(a.place, b.IP.String()))
	c := w.box(Default)
	w.yes("forget", w.Forget(c.Sandbox))
	w.yes("forget", w.Forget(b.Sandbox))
	w.reach("ping of the gateway", a.place, a.Gateway.String())
}

// Nothing of the supervisor is left in the namespace of a sandbox.
func TestThreadGoesHome(t *testing.T) {
	w := newWorld(t)
	w.box(Default)
	var here, there unix.Stat_t
	if err := w.thread.at(nil, func() error { return unix.Stat("/proc/thread-self/ns/net", &here) }); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fstat(int(w.home.netns.Fd()), &there); err != nil || here.Ino != there.Ino {
		t.Errorf("in %d, not in %d: %v", here.Ino, there.Ino, err)
	}
	// The process as others see it has not moved.
	if err := unix.Stat("/proc/self/ns/net", &here); err != nil || here.Ino == there.Ino {
		t.Errorf("the main thread is in the switch: %v", err)
	}
}
