package network

import (
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/undo"
)

// Endpoint is the interface of a sandbox on a network. What Attach is not told it
// chooses; what it returns goes into the sandbox's state, for Recover.
type Endpoint struct {
	Sandbox     string   `json:"sandbox"` // id
	SandboxName string   `json:"sandboxName,omitempty"`
	Network     string   `json:"network"` // name
	Aliases     []string `json:"aliases,omitempty"`

	Ifname     string     `json:"ifname"` // in the sandbox: eth0, ...
	Host       string     `json:"host"`   // in the switch
	MAC        string     `json:"mac"`
	IP         netip.Addr `json:"ip"`
	IP6        netip.Addr `json:"ip6,omitzero"`
	PrefixLen  int        `json:"prefixLen"`
	PrefixLen6 int        `json:"prefixLen6,omitempty"`
	Gateway    netip.Addr `json:"gateway"` // of the network, also where there is no way out
	Gateway6   netip.Addr `json:"gateway6,omitzero"`

	DefaultRoute bool `json:"defaultRoute,omitempty"` // asked for; a network without a way out gives none
	HostLoopback bool `json:"hostLoopback,omitempty"` // may use Options.Aliases
}

// owner is the sandbox in a message.
func (e *Endpoint) owner() string {
	if e.SandboxName != "" {
		return e.SandboxName
	}
	return e.Sandbox[:min(12, len(e.Sandbox))]
}

// mostPorts is what the kernel allows a bridge, less than BR_MAX_PORTS by one.
const mostPorts = 1023

// portPrefix begins the names of the interfaces in the switch.
const portPrefix = "v-"

// Attach gives the sandbox in the network namespace netns an interface on a
// network: chosen are an address, a MAC address that goes with it, and the name
// of the interface. When it returns, both sides are up and packets pass. The
// loopback interface is the sandbox's own business.
//
// The switch's user namespace must own that of the sandbox.
func (s *Switch) Attach(netns *os.File, e Endpoint) (_ Endpoint, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(e.Network)
	if err != nil {
		return Endpoint{}, err
	}
	if err := s.up(b); err != nil {
		return Endpoint{}, err
	}
	if err := s.setUpWayOut(); err != nil {
		return Endpoint{}, api.Wrap("connect to network", b.Name, err)
	}
	var steps undo.Stack
	defer steps.Unwind(&err)
	if err := s.assign(b, &e); err != nil {
		return Endpoint{}, err
	}
	steps.Add("assign addresses", func() error { return s.drop(&e) })
	wanted, err := s.tables.ofPort(&e)
	if err != nil {
		return Endpoint{}, err
	}
	if err := s.change(nil, wanted); err != nil {
		return Endpoint{}, err
	}
	if err := s.plug(b, netns, &e); err != nil {
		return Endpoint{}, api.Wrap("connect to network "+b.Name, e.owner(), err)
	}
	return e, nil
}

// assign chooses what is not given, takes it, and books the port.
func (s *Switch) assign(b *bridge, e *Endpoint) (err error) {
	op := "connect to network " + b.Name
	e.Network = b.Name
	if b.ports >= mostPorts {
		return api.Errorf(op, e.owner(), "there are %d sandboxes on it, the most that the kernel allows", b.ports).
			WithHint("make another network with sbx network create")
	}
	if err := s.name(e); err != nil {
		return api.Wrap(op, e.owner(), err)
	}
	var steps undo.Stack
	defer steps.Unwind(&err)
	choose := func(a *netip.Addr, p *pool) (err error) {
		if a.IsValid() {
			*a = a.Unmap()
			err = p.take(*a, e.owner())
		} else {
			*a, err = p.pick(e.owner())
		}
		if err == nil {
			taken := *a
			steps.Add("take address", func() error { p.release(taken); return nil })
		}
		return err
	}
	if err := choose(&e.IP, b.pools[false]); err != nil {
		return api.Wrap(op, e.owner(), err)
	}
	e.PrefixLen, e.Gateway = b.subnet(false).Prefix.Bits(), b.subnet(false).Gateway
	if v6 := b.subnet(true); v6 != nil {
		if err := choose(&e.IP6, b.pools[true]); err != nil {
			return api.Wrap(op, e.owner(), err)
		}
		e.PrefixLen6, e.Gateway6 = v6.Prefix.Bits(), v6.Gateway
	} else if e.IP6.IsValid() {
		return api.Errorf(op, e.owner(), "the network has no IPv6, for %s", e.IP6).WithHint("make one with sbx network create --ipv6")
	}
	if e.MAC == "" {
		e.MAC = macOf(e.IP).String()
	}
	mac, err := parseMAC(e.MAC)
	if err != nil {
		return err
	}
	e.MAC = mac.String()
	if by := b.macs[e.MAC]; by != "" {
		return api.Errorf("use MAC address", e.MAC, "taken by %s", by).WithHint("choose another one, or leave the choice to sbx")
	}
	s.book(b, e)
	return nil
}

// name gives both ends their names.
func (s *Switch) name(e *Endpoint) error {
	mine := map[string]bool{}
	for _, other := range s.ports {
		if other.Sandbox == e.Sandbox {
			mine[other.Ifname] = true
			if other.Network == e.Network {
				return api.Errorf("connect to network "+e.Network, e.owner(), "it is connected already, as %s", other.Ifname)
			}
		}
	}
	for i := 0; e.Ifname == ""; i++ {
		if name := "eth" + strconv.Itoa(i); !mine[name] {
			e.Ifname = name
		}
	}
	if len(e.Ifname) >= unix.IFNAMSIZ || e.Ifname == "." || e.Ifname == ".." || strings.ContainsFunc(e.Ifname, oddInName) {
		return api.Errorf("name interface", printable(e.Ifname), "no name for an interface").WithHint("up to 15 letters and digits")
	}
	for e.Host = ""; e.Host == "" || s.ports[e.Host] != nil; {
		e.Host = portPrefix + randomHex(5)
	}
	return nil
}

func oddInName(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("/:%", r) }

// book records that the endpoint exists.
func (s *Switch) book(b *bridge, e *Endpoint) {
	own := *e
	s.ports[e.Host] = &own
	b.macs[e.MAC] = e.owner()
	b.ports++
}

// plug makes the interfaces. It undoes what it did on an error.
func (s *Switch) plug(b *bridge, netns *os.File, e *Endpoint) (err error) {
	mac, err := parseMAC(e.MAC)
	if err != nil {
		return err
	}
	p := &pair{host: e.Host, bridge: b.index, isolate: b.Isolate, name: e.Ifname, netns: int(netns.Fd()), mac: mac, mtu: b.MTU}
	if err := s.rt.do(p.add(), p.raise(s.ipv6)); err != nil {
		// The first may have worked, the second not.
		if left := s.rt.do(remove(p.host)); !errors.Is(left, unix.ENODEV) {
			err = errors.Join(err, left)
		}
		return err
	}
	var steps undo.Stack
	defer steps.Unwind(&err)
	steps.Add("make interface", func() error { return s.rt.do(remove(p.host)) })
	err = s.inside(netns, func(c *rtnl) error {
		index, err := c.index(e.Ifname)
		if err != nil {
			return err
		}
		// IPv6 too begins later, unless asked: see awaken.
		todo := []request{raise(e.Ifname, index, b.MTU, s.ipv6), state(e.Ifname), address(index, netip.PrefixFrom(e.IP, e.PrefixLen))}
		if e.IP6.IsValid() {
			todo = append(todo, address(index, netip.PrefixFrom(linkLocal(mac), 64)), address(index, netip.PrefixFrom(e.IP6, e.PrefixLen6)))
		}
		if e.DefaultRoute && !b.Internal {
			todo = append(todo, defaultRoutes(index, e)...)
		}
		return c.do(todo...)
	})
	if err != nil {
		return err
	}
	if err := s.rt.awaken(p.host); err != nil || b.ports > 1 {
		return err
	}
	return s.rt.awaken(b.Bridge) // it goes up with its first port
}

func defaultRoutes(index int, e *Endpoint) []request {
	list := []request{defaultRoute(index, e.Gateway)}
	if e.Gateway6.IsValid() {
		list = append(list, defaultRoute(index, e.Gateway6))
	}
	return list
}

// inside gives f a socket in the sandbox's namespace.
func (s *Switch) inside(netns *os.File, f func(*rtnl) error) error {
	var c *rtnl
	err := s.thread.at(netns, func() (err error) {
		c, err = openRtnl()
		return err
	})
	if c == nil {
		return err
	}
	if err == nil {
		err = f(c)
	}
	return errors.Join(err, c.close())
}

// Route makes the endpoint's network the way out of its sandbox, after the one
// that was it has been detached. It does nothing for a network without one.
func (s *Switch) Route(netns *os.File, e Endpoint) (Endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.ports[e.Host]
	if own == nil || own.Sandbox != e.Sandbox {
		return e, api.Errorf("set the default route", e.owner(), "not connected to network %s", e.Network)
	}
	e.DefaultRoute, own.DefaultRoute = true, true
	if b := s.nets[e.Network]; b == nil || b.Internal {
		return e, nil
	}
	err := s.inside(netns, func(c *rtnl) error {
		index, err := c.index(e.Ifname)
		if err != nil {
			return err
		}
		return c.do(defaultRoutes(index, &e)...)
	})
	if err != nil {
		return e, api.Wrap("set the default route", e.owner(), err)
	}
	return e, nil
}

// Detach takes an interface away from a sandbox, which may be running.
func (s *Switch) Detach(e Endpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.ports[e.Host]
	if own == nil || own.Sandbox != e.Sandbox {
		return api.Errorf("disconnect from network "+printable(e.Network), e.owner(), "it is not connected")
	}
	err := s.drop(own)
	// The kernel waits until nobody uses the interface: some milliseconds.
	if left := s.rt.do(remove(own.Host)); left != nil && !errors.Is(left, unix.ENODEV) {
		err = errors.Join(err, left)
	}
	if err != nil {
		return api.Wrap("disconnect from network "+e.Network, e.owner(), err)
	}
	return nil
}

// Forget frees what a sandbox had whose namespace has gone, or is about to: its
// interfaces go with that, and are mute from now on.
func (s *Switch) Forget(sandbox string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var mine []*Endpoint
	for _, e := range s.ports {
		if e.Sandbox == sandbox {
			mine = append(mine, e)
		}
	}
	if len(mine) > 0 {
		time.AfterFunc(lingering, func() { s.sweep(mine) })
	}
	return s.drop(mine...)
}

// lingering is how long interfaces may take to go by themselves.
const lingering = 2 * time.Second

// sweep removes interfaces whose sandbox has ended, and that are there still: a
// connection that was cut off in the middle of its end keeps a namespace alive for
// minutes. What is left after an error, the next supervisor removes.
func (s *Switch) sweep(gone []*Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, e := range gone {
		if s.ports[e.Host] == nil {
			_ = s.rt.do(remove(e.Host))
		}
	}
}

// drop frees addresses and takes the rules away.
func (s *Switch) drop(list ...*Endpoint) error {
	var members []member
	var errs []error
	for _, e := range list {
		if b := s.nets[e.Network]; b != nil && s.ports[e.Host] != nil {
			for _, p := range b.pools {
				p.release(e.IP)
				p.release(e.IP6)
			}
			delete(b.macs, e.MAC)
			b.ports--
		}
		delete(s.ports, e.Host)
		more, err := s.tables.ofPort(e)
		members, errs = append(members, more...), append(errs, err)
	}
	if len(members) == 0 {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, s.change(members, nil))...)
}
