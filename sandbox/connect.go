package sandbox

import (
	"cmp"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/undo"
	"sbx/network"
	"sbx/slirp/ports"
)

// joined is what a running sandbox has of the network. It is kept in the runtime
// directory, for the next supervisor: it does not outlive the sandbox.
type joined struct {
	Mode      string             `json:"mode,omitempty"` // of a way out of its own, which is no network that has a name
	Endpoints []network.Endpoint `json:"endpoints,omitempty"`
	IDs       []string           `json:"ids,omitempty"`   // of the networks
	Ports     []int              `json:"ports,omitempty"` // numbers of ports.Table
	Published []api.Port         `json:"published,omitempty"`
}

// networks are the endpoints as others are told.
func (j *joined) networks() []api.Joined {
	var list []api.Joined
	for i, e := range j.Endpoints {
		list = append(list, api.Joined{
			Network: cmp.Or(j.Mode, e.Network), NetworkID: cmp.Or(j.Mode, j.IDs[i]), Aliases: e.Aliases, Ifname: e.Ifname, Host: e.Host, MAC: e.MAC,
			IP: e.IP, IP6: e.IP6, Bits: e.PrefixLen, Bits6: e.PrefixLen6, Gateway: e.Gateway, Gateway6: e.Gateway6,
		})
	}
	return list
}

func (s *Supervisor) joinedFile(id string) string {
	return filepath.Join(s.Dirs.RunOf(id), "network.json")
}

// wantsNetwork says whether a sandbox is on any bridge.
func wantsNetwork(c *api.Config) bool {
	return c.Isolation.Network == "" || c.Isolation.Network == api.DefaultNetwork
}

// wishes are the networks that a sandbox is to be on.
func wishes(c *api.Config) []api.Attachment {
	if len(c.Net.Endpoints) == 0 && !c.Net.Nowhere {
		return []api.Attachment{{Network: api.DefaultNetwork}}
	}
	return c.Net.Endpoints
}

// completeNetworks writes the networks' names for what may be ids.
func (s *Supervisor) completeNetworks(c *api.Config) error {
	if c.Net.HostLoopback && wantsNetwork(c) {
		if err := s.wayOutWorks(); err != nil {
			return err
		}
	}
	if len(c.Net.Endpoints) == 0 {
		return nil
	}
	n, err := s.network()
	if err != nil {
		return err
	}
	for i := range c.Net.Endpoints {
		known, err := n.swtch.Find(c.Net.Endpoints[i].Network)
		if err != nil {
			return withCode(err, api.ExitFault)
		}
		c.Net.Endpoints[i].Network = known.Name
	}
	return nil
}

// withCode gives an error another exit status.
func withCode(err error, code int) error {
	var e *api.Error
	if !errors.As(err, &e) {
		return err
	}
	coded := *e
	return coded.WithCode(code)
}

// connect puts a sandbox that is about to start on its networks and publishes its
// ports. It waits until the sandbox's network namespace is there. The caller holds
// b.wiring.
func (s *Supervisor) connect(b *box, l *link) (err error) {
	if !wantsNetwork(&b.config) && !wantsWayOut(&b.config) {
		return nil
	}
	var undo undo.Stack
	defer undo.Unwind(&err)
	var j joined
	if wantsWayOut(&b.config) {
		j.Mode = b.config.Isolation.Network
		undo.Add("end the way out", func() error { return s.endWayOut(b.config.ID) })
	}
	n, err := s.networkOf(&b.config)
	if err != nil {
		return err
	}
	if err := s.awaitSlot(l); err != nil {
		return err
	}
	undo.Add("disconnect", func() error {
		s.mu.Lock()
		b.net = j
		s.mu.Unlock()
		return s.disconnect(b)
	})
	for i, w := range wishes(&b.config) {
		if err := n.join(b, l.netns, &w, i, &j); err != nil {
			return err
		}
	}
	if err := s.publish(n, b.config.ID, published(&b.config), &j); err != nil {
		return err
	}
	if wantsWayOut(&b.config) {
		if err := s.wayOutBegun(b); err != nil {
			return err
		}
	}
	s.mu.Lock()
	b.net = j
	s.mu.Unlock()
	if err := s.saveJoined(b); err != nil {
		return err
	}
	s.noteJoined("connect", &b.config, &j)
	undo.Release()
	return nil
}

// join puts a sandbox on one network.
func (n *networks) join(b *box, netns *os.File, w *api.Attachment, i int, j *joined) error {
	known, err := n.swtch.Find(w.Network)
	if err != nil {
		return err
	}
	e, err := n.attach(b, netns, w, i, !slices.ContainsFunc(j.Endpoints, n.leadsOut))
	if err != nil {
		return err
	}
	j.Endpoints, j.IDs = append(j.Endpoints, e), append(j.IDs, known.ID)
	return n.know(&e, b, n.reached())
}

// attach makes the interface number i of a sandbox, for its default route if out.
func (n *networks) attach(b *box, netns *os.File, w *api.Attachment, i int, out bool) (network.Endpoint, error) {
	e := network.Endpoint{
		Sandbox: b.config.ID, SandboxName: b.config.Name, Network: w.Network, Aliases: w.Aliases,
		Ifname: "eth" + strconv.Itoa(i), MAC: w.MAC, DefaultRoute: out, HostLoopback: b.config.Net.HostLoopback,
	}
	if w.Ifname != "" {
		e.Ifname = w.Ifname
	}
	for text, to := range map[string]*netip.Addr{w.IP: &e.IP, w.IP6: &e.IP6} {
		if text == "" {
			continue
		}
		var err error
		if *to, err = netip.ParseAddr(text); err != nil {
			return e, api.Wrap("connect to network "+w.Network, b.config.Name, err)
		}
	}
	return n.swtch.Attach(netns, e)
}

// target is where the ports of a sandbox lead.
type target struct {
	to, to6 netip.Addr
	plain   bool
}

// target is on the network that leads out, if there is one: answers must come back
// by the bridge that they go by for the client's address to be shown.
func (n *networks) target(j *joined) target {
	if len(j.Endpoints) == 0 {
		return target{}
	}
	i := slices.IndexFunc(j.Endpoints, n.leadsOut)
	e := j.Endpoints[max(i, 0)]
	return target{e.IP, e.IP6, i < 0}
}

// leadsOut says that the default route of a sandbox goes there.
func (n *networks) leadsOut(e network.Endpoint) bool { return e.DefaultRoute && !n.internal(e.Network) }

// publish forwards the host's ports to the sandbox, if it is on a network.
func (s *Supervisor) publish(n *networks, owner string, list []api.Port, j *joined) error {
	t := n.target(j)
	if !t.to.IsValid() {
		return nil
	}
	for _, p := range list {
		f := ports.Forward{Proto: p.Proto, Port: p.HostPort, Owner: owner, Plain: t.plain, To: netip.AddrPortFrom(t.to, p.Port)}
		if t.to6.IsValid() {
			f.To6 = netip.AddrPortFrom(t.to6, p.Port)
		}
		if p.Host != "" {
			a, err := netip.ParseAddr(p.Host)
			if err != nil {
				return api.Wrap("publish", p.Host, err)
			}
			f.Host = a
		}
		id, port, err := s.publishOne(n, f, p.HostLast)
		if err != nil {
			return err
		}
		p.HostPort = port
		j.Ports, j.Published = append(j.Ports, id), append(j.Published, p)
	}
	return nil
}

// republish leads the ports of a running sandbox to where it is now: the address
// that it had may soon be another's.
func (s *Supervisor) republish(n *networks, c *api.Config, j *joined) error {
	list := j.Published
	if len(j.Ports) == 0 {
		list = published(c)
	}
	errs := []error{s.unpublish(n.ports, j.Ports)}
	j.Ports, j.Published = nil, nil
	return errors.Join(append(errs, s.publish(n, c.ID, list, j))...)
}

func (s *Supervisor) unpublish(table *ports.Table, ids []int) error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, table.Remove(s.ctx, id))
	}
	return errors.Join(errs...)
}

func (n *networks) internal(name string) bool {
	net, err := n.swtch.Find(name)
	return err == nil && net.Internal
}

// published are the ports to forward: the ones that were named, and with -P the
// exposed ones that were not.
func published(c *api.Config) []api.Port {
	list := slices.Clone(c.Net.Ports)
	if !c.Net.PublishAll {
		return list
	}
	for _, text := range c.Net.Expose {
		number, proto, _ := strings.Cut(text, "/")
		port, err := strconv.ParseUint(number, 10, 16)
		if proto == "" {
			proto = ports.TCP
		}
		if err != nil || slices.ContainsFunc(c.Net.Ports, func(p api.Port) bool { return p.Port == uint16(port) && p.Proto == proto }) {
			continue // an image may expose anything, ranges and sctp too
		}
		if proto == ports.TCP || proto == ports.UDP {
			list = append(list, api.Port{Port: uint16(port), Proto: proto})
		}
	}
	return list
}

// publishOne takes the first port that is free, up to last.
func (s *Supervisor) publishOne(n *networks, f ports.Forward, last uint16) (id int, port uint16, err error) {
	for {
		id, port, err = n.ports.Add(s.ctx, f)
		if !errors.Is(err, unix.EADDRINUSE) || f.Port >= last {
			return id, port, s.nameOwner(err)
		}
		f.Port++
	}
}

// nameOwner gives a sandbox of ours that has a port its name: to the forwarder it
// is an id, which does not change.
func (s *Supervisor) nameOwner(err error) error {
	var e *api.Error
	if !errors.As(err, &e) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, b := range s.boxes {
		if strings.Contains(e.Msg, id) {
			named := *e
			named.Msg = strings.ReplaceAll(e.Msg, id, b.config.Name)
			return &named
		}
	}
	return err
}

// disconnect takes back what connect has done. The interfaces go with the network
// namespace. The caller holds b.wiring.
func (s *Supervisor) disconnect(b *box) error {
	s.mu.Lock()
	j, id := b.net, b.config.ID
	b.net = joined{}
	s.mu.Unlock()
	if wantsWayOut(&b.config) {
		s.noteJoined("disconnect", &b.config, &j)
		return s.endWayOut(id) // with all that is in it
	}
	n := &s.nets
	n.mu.Lock()
	sw, responder, table := n.swtch, n.names, n.ports
	n.mu.Unlock()
	// It may be on no network any more, and have ports still.
	if sw == nil || len(j.Endpoints)+len(j.Ports) == 0 {
		return nil
	}
	s.noteJoined("disconnect", &b.config, &j)
	errs := []error{s.unpublish(table, j.Ports)}
	for _, e := range j.Endpoints {
		responder.Remove(e.Network, id)
	}
	return errors.Join(append(errs, sw.Forget(id))...)
}

func readJoined(path string) (j joined, err error) {
	if err = readJSON(path, &j); err == nil && len(j.IDs) != len(j.Endpoints) {
		err = api.Errorf("read", path, "not as many ids as networks")
	}
	if err != nil {
		return joined{}, err
	}
	return j, nil
}

func (s *Supervisor) saveJoined(b *box) error {
	s.mu.Lock()
	j, id := b.net, b.config.ID
	s.mu.Unlock()
	if err := writeJSON(s.joinedFile(id), &j, false); err != nil {
		return dirs.DiskError("write", s.joinedFile(id), err)
	}
	return nil
}

// leaveNetworks is disconnect for a sandbox that has ended.
func (s *Supervisor) leaveNetworks(b *box) {
	b.wiring.Lock()
	defer b.wiring.Unlock()
	if err := s.disconnect(b); err != nil {
		s.Log.Warn("leave the networks", "id", shortID(b.config.ID), "error", err)
	}
}
