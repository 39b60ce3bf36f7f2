package sandbox

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"sbx/api"
	"sbx/network"
	"sbx/network/etc"
	"sbx/network/names"
	"sbx/slirp"
	"sbx/slirp/out"
	"sbx/slirp/ports"
)

// networks is what the supervisor has of the network: the bridges in the switch,
// who answers for names, and the published ports. It is opened when a sandbox
// first wants any of it, or one that runs has it.
type networks struct {
	mu      sync.Mutex
	swtch   *network.Switch
	names   *names.Server
	ports   *ports.Table
	watcher *etc.Watcher
	hosts   *etc.HostWatcher
	host    []byte       // the host's resolv.conf
	reach   []netip.Addr // the host, as sandboxes reach it; none without a way out

	loopback []netip.Addr // its loopback interface, as those reach it that may

	listening sync.Mutex // held while the responder begins to serve a network

	ways    sync.Mutex
	wayOuts map[string]*wayOut // by sandbox
}

const resolvConf = "/etc/resolv.conf"

// network opens the switch, and takes over the sandboxes that are on it.
func (s *Supervisor) network() (*networks, error) {
	n := &s.nets
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.swtch != nil {
		return n, nil
	}
	netns, err := os.Open(s.Dirs.Switch())
	if err != nil {
		return nil, api.Wrap("open the network", s.Dirs.Switch(), cause(err))
	}
	defer netns.Close()
	aliases, err := slirp.ReadNetworks(s.Dirs.Run)
	if err != nil {
		return nil, api.Wrap("read the way out", "", err)
	}
	sw, err := network.Open(network.Options{
		Dir: s.Dirs.Networks(), NetNS: netns, MTU: slirp.MTU, Device: slirp.Device, Shortcut: out.Device,
		Aliases: aliases, Used: s.wantNetwork,
	})
	if err != nil {
		return nil, err
	}
	live := s.connected()
	// It does what it can; who is without a network now is told in the log.
	if err := sw.Recover(live); err != nil {
		s.Log.Warn("recover the networks", "error", err)
	}
	fail := func(err error) (*networks, error) {
		if err := sw.Close(); err != nil {
			s.Log.Warn("close the switch", "error", err)
		}
		return nil, err
	}
	n.reach, n.loopback = s.hostAddrs(), slirp.Outlet{Networks: aliases}.Loopback()
	responder, err := names.Open(netns, names.Options{Host: n.reach})
	if err != nil {
		return fail(err)
	}
	table, err := ports.Open(ports.Options{Run: s.Dirs.Run, Switch: s.Dirs.Switch(), Log: s.Log})
	if err == nil && n.watcher == nil {
		n.watcher, n.host, err = etc.Watch(resolvConf, s.resolversChanged)
	}
	if err == nil && n.hosts == nil {
		n.hosts, err = etc.WatchHost(slirp.OutletFile(s.Dirs.Run), s.hostChanged)
	}
	if err != nil {
		if err := responder.Close(); err != nil {
			s.Log.Warn("close the responder", "error", err)
		}
		return fail(err)
	}
	n.swtch, n.names, n.ports = sw, responder, table
	for i := range live {
		if err := n.know(&live[i], s.boxOf(live[i].Sandbox), n.reach); err != nil {
			s.Log.Warn("answer for names", "network", live[i].Network, "error", err)
		}
	}
	s.forgetPorts(table)
	time.AfterFunc(leadDelay, s.leadOut)
	return n, nil
}

// leadDelay is when the process for connections to the outside is started: the first
// sandbox does not wait for it.
const leadDelay = 200 * time.Millisecond

// leadOut makes TCP connections take the short way out where there is a way out at all.
// Where it cannot be had, they go through pasta as everything else does.
func (s *Supervisor) leadOut() {
	s.nets.mu.Lock()
	table := s.nets.ports
	s.nets.mu.Unlock()
	if table == nil {
		return
	}
	way, err := slirp.ReadOutlet(s.Dirs.Run)
	if err == nil && way.Driver != slirp.None {
		err = table.LeadOut(s.ctx, way.Networks)
	}
	if err != nil && s.ctx.Err() == nil && !errors.Is(err, os.ErrClosed) {
		s.Log.Warn("all connections to the outside go through "+way.Driver, "error", err)
	}
}

// hostAddrs are what host.sbx.internal means.
func (s *Supervisor) hostAddrs() []netip.Addr {
	out, err := slirp.ReadOutlet(s.Dirs.Run)
	if err != nil {
		s.Log.Warn("read the way out", "error", err)
	}
	if out.Driver == slirp.None {
		return nil
	}
	return s.ownAddrs()
}

// closeNetwork leaves everything as it is in the kernel.
func (s *Supervisor) closeNetwork() {
	n := &s.nets
	n.mu.Lock()
	sw, responder, table, watcher, hosts := n.swtch, n.names, n.ports, n.watcher, n.hosts
	n.swtch, n.watcher, n.hosts = nil, nil, nil
	n.mu.Unlock()
	if sw == nil {
		return
	}
	// Without the lock: the watch ends when nobody is told any more, and who is told
	// takes it.
	for what, close := range map[string]func() error{
		"responder": responder.Close, "ports": table.Close, "switch": sw.Close, "watch": watcher.Close,
		"watch of the host": hosts.Close,
	} {
		if err := close(); err != nil {
			s.Log.Warn("close the network", "part", what, "error", err)
		}
	}
}

// wantNetwork names the sandboxes that are configured for a network.
func (s *Supervisor) wantNetwork(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, b := range s.boxes {
		if wantsNetwork(&b.config) && slices.Contains(networksOf(&b.config), name) {
			list = append(list, b.config.Name)
		}
	}
	slices.Sort(list)
	return list
}

func (s *Supervisor) boxOf(id string) *box {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boxes[id]
}

// connected are the interfaces of the sandboxes that run.
func (s *Supervisor) connected() []network.Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []network.Endpoint
	for _, b := range s.boxes {
		if b.link != nil && !wantsWayOut(&b.config) {
			list = append(list, b.net.Endpoints...)
		}
	}
	return list
}

// know makes the responder serve the network of an endpoint, and know the sandbox
// by its names where the network has names. Reach is n.reach: the caller may hold its lock.
func (n *networks) know(e *network.Endpoint, b *box, reach []netip.Addr) error {
	if b == nil {
		return nil
	}
	net, err := n.swtch.Find(e.Network)
	if err != nil {
		return err
	}
	if err := n.serve(&net); err != nil {
		return err
	}
	c := &b.config
	servers := addresses(c.Net.DNS)
	sb := names.Sandbox{ID: c.ID, DNS: servers, Search: c.Net.DNSSearch}
	if c.Net.HostLoopback {
		sb.Host = n.hostOf(c, []network.Endpoint{*e}, reach)
	}
	sb.Names = append([]string{c.Name}, e.Aliases...)
	sb.Names = append(sb.Names, c.Hostname, shortID(c.ID))
	for _, a := range []netip.Addr{e.IP, e.IP6} {
		if a.IsValid() {
			sb.Addrs = append(sb.Addrs, a)
		}
	}
	n.names.Set(net.Name, sb)
	return nil
}

// serve makes the responder serve a network, unless it does. The first sandboxes of
// a network may be started side by side.
func (n *networks) serve(net *network.Network) error {
	n.listening.Lock()
	defer n.listening.Unlock()
	if slices.ContainsFunc(n.names.Networks(), func(k names.Network) bool { return k.Name == net.Name }) {
		return nil
	}
	serve := names.Network{
		Name: net.Name, Device: net.Bridge, Named: net.Name != api.DefaultNetwork, Internal: net.Internal,
	}
	for _, sub := range net.Subnets {
		serve.Gateways = append(serve.Gateways, sub.Gateway)
		serve.Subnets = append(serve.Subnets, sub.Prefix)
	}
	return n.names.Listen(serve)
}

// relearn makes a sandbox that has just got a name known by it, on the networks that
// it is on.
func (s *Supervisor) relearn(name string) error {
	s.mu.Lock()
	b := s.names[name]
	s.mu.Unlock()
	if b == nil {
		return nil // removed, or renamed again
	}
	b.wiring.Lock()
	defer b.wiring.Unlock()
	if err := s.updateOwnFiles(b); err != nil {
		return err
	}
	s.mu.Lock()
	ends := b.net.Endpoints
	s.mu.Unlock()
	if len(ends) == 0 {
		return nil
	}
	n, err := s.networkOf(&b.config)
	if err != nil {
		return err
	}
	var errs []error
	for i := range ends {
		errs = append(errs, n.know(&ends[i], b, n.reached()))
	}
	return errors.Join(errs...)
}

// addresses reads what the command line has checked.
func addresses(texts []string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, a)
		}
	}
	return list
}

// forgetPorts takes away the ports of sandboxes that have ended meanwhile.
func (s *Supervisor) forgetPorts(table *ports.Table) {
	for id, f := range table.List() {
		s.mu.Lock()
		owned := slices.ContainsFunc(s.owners(), func(b *box) bool { return b.net.Mode == "" && slices.Contains(b.net.Ports, id) })
		s.mu.Unlock()
		if owned {
			continue
		}
		if err := table.Remove(s.ctx, id); err != nil {
			s.Log.Warn("unpublish", "port", f.String(), "error", err)
		}
	}
}

// owners are the sandboxes that may have ports. The caller holds the lock.
func (s *Supervisor) owners() []*box {
	var list []*box
	for _, b := range s.boxes {
		if b.link != nil {
			list = append(list, b)
		}
	}
	return list
}
