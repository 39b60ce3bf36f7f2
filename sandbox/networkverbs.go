package sandbox

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/network"
)

func (c *conversation) createNetwork(r *api.NetworkCreate) error {
	n, err := c.s.network()
	if err != nil {
		return err
	}
	if known, err := n.swtch.Find(r.Name); err == nil && known.Name == r.Name && r.Ignore {
		return c.done(known.Name + "\n")
	}
	spec := network.Network{
		Name: r.Name, Driver: r.Driver, IPv6: r.IPv6, Internal: r.Internal, Isolate: r.Isolate, Labels: r.Labels, Options: r.Options,
	}
	if spec.Subnets, err = subnets(r); err != nil {
		return err
	}
	made, err := n.swtch.Create(spec)
	if err != nil {
		return err
	}
	c.s.noteNetwork("create", made.ID, made.Name, "")
	return c.done(made.ID + "\n")
}

// subnets puts gateways and ranges to the subnets that they are in.
func subnets(r *api.NetworkCreate) ([]network.Subnet, error) {
	const op = "create network"
	var list []network.Subnet
	for _, text := range r.Subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, api.Errorf(op, r.Name, "%q is no subnet", text).WithHint("write it as 10.90.1.0/24")
		}
		list = append(list, network.Subnet{Prefix: p})
	}
	at := func(a netip.Addr) *network.Subnet {
		i := slices.IndexFunc(list, func(s network.Subnet) bool { return s.Prefix.Contains(a) })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	for _, text := range r.Gateways {
		a, err := netip.ParseAddr(text)
		if err != nil || at(a) == nil {
			return nil, api.Errorf(op, r.Name, "the gateway %q is in none of the subnets", text)
		}
		at(a).Gateway = a
	}
	for _, text := range r.Ranges {
		p, err := netip.ParsePrefix(text)
		if err != nil || at(p.Addr()) == nil {
			return nil, api.Errorf(op, r.Name, "the range %q is in none of the subnets", text)
		}
		at(p.Addr()).Range = p
	}
	return list, nil
}

func (c *conversation) removeNetworks(r *api.NetworkRemove) error {
	n, err := c.s.network()
	if err != nil {
		return err
	}
	return c.each(r.Names, func(name string) error {
		known, err := n.swtch.Find(name)
		if err != nil && r.Force {
			return nil
		}
		if err == nil {
			err = n.remove(known.Name)
		}
		if err != nil {
			return err
		}
		c.s.noteNetwork("destroy", known.ID, known.Name, "")
		return nil
	})
}

// remove removes a network that nobody uses, and its responder.
func (n *networks) remove(name string) error {
	if err := n.swtch.Remove(name); err != nil {
		return err
	}
	return n.names.Unlisten(name)
}

// named finds the network and the sandbox of a request.
func (s *Supervisor) named(net, sandbox string) (*networks, network.Network, *box, error) {
	n, err := s.network()
	if err != nil {
		return nil, network.Network{}, nil, err
	}
	known, err := n.swtch.Find(net)
	if err != nil {
		return nil, known, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(sandbox)
	return n, known, b, err
}

// connectNetwork puts a sandbox on one more network, at once if it runs.
func (c *conversation) connectNetwork(r *api.NetworkConnect) error {
	s := c.s
	n, known, b, err := s.named(r.Attachment.Network, r.Sandbox)
	if err != nil {
		return err
	}
	r.Attachment.Network = known.Name
	b.wiring.Lock()
	defer b.wiring.Unlock()
	if err := s.mayConnect(b, known.Name); err != nil {
		return err
	}
	err = s.rewire(n, b, func(j *joined, netns *os.File) error {
		return n.join(b, netns, &r.Attachment, nextInterface(j), j)
	})
	if err == nil {
		err = s.configure(b, func(net *api.Net) { net.Endpoints = append(net.Endpoints, r.Attachment) })
	}
	if err != nil {
		// Else the next try would find it connected already.
		undo := s.rewire(n, b, func(j *joined, netns *os.File) error { return n.unjoin(b, netns, known.Name, j) })
		return errors.Join(err, undo)
	}
	s.noteNetwork("connect", known.ID, known.Name, b.config.ID)
	return c.done("")
}

func (s *Supervisor) mayConnect(b *box, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !wantsNetwork(&b.config):
		return api.Errorf("connect to network "+name, b.config.Name, "it was made with --network %s", b.config.Isolation.Network)
	case slices.Contains(networksOf(&b.config), name):
		return api.Errorf("connect to network "+name, b.config.Name, "it is on that network already")
	}
	return nil
}

// networksOf are the networks that a sandbox is configured for.
func networksOf(c *api.Config) []string {
	var list []string
	for _, w := range wishes(c) {
		list = append(list, w.Network)
	}
	return list
}

// nextInterface is the number of an interface that is free.
func nextInterface(j *joined) int {
	for i := 0; ; i++ {
		name := "eth" + strconv.Itoa(i)
		if !slices.ContainsFunc(j.Endpoints, func(e network.Endpoint) bool { return e.Ifname == name }) {
			return i
		}
	}
}

// rewire changes what a running sandbox has of the network, in the kernel and in
// its files. One that does not run has nothing to change. The caller holds b.wiring.
func (s *Supervisor) rewire(n *networks, b *box, change func(j *joined, netns *os.File) error) error {
	s.mu.Lock()
	j, c := b.net, b.config
	j.Endpoints, j.IDs = slices.Clone(j.Endpoints), slices.Clone(j.IDs)
	var netns *os.File
	if b.live() {
		netns = b.link.netns
	}
	s.mu.Unlock()
	if netns == nil {
		return nil
	}
	s.remember(b)
	before := n.target(&j)
	err := change(&j, netns)
	if n.target(&j) != before {
		err = errors.Join(err, s.republish(n, &c, &j))
	}
	s.mu.Lock()
	b.net = j
	s.mu.Unlock()
	return errors.Join(err, s.saveJoined(b), s.updateOwnFiles(b))
}

// live says that there is, or will soon be, a program. The caller holds the lock.
func (b *box) live() bool {
	select {
	case <-b.ended:
		return false
	default:
		return b.link != nil
	}
}

// configure changes the configuration of a sandbox, for good.
func (s *Supervisor) configure(b *box, change func(*api.Net)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.removed {
		return api.Errorf("configure", b.config.Name, "it has just been removed").WithCode(1)
	}
	c := b.config
	c.Net.Endpoints = slices.Clone(wishes(&c))
	change(&c.Net)
	if err := writeJSON(b.dir+"/config.json", &c, true); err != nil {
		return dirs.DiskError("write", b.dir+"/config.json", err)
	}
	b.config = c
	return nil
}

// disconnectNetwork takes a sandbox off a network.
func (c *conversation) disconnectNetwork(r *api.NetworkDisconnect) error {
	s := c.s
	n, known, b, err := s.named(r.Network, r.Sandbox)
	if err != nil {
		return err
	}
	b.wiring.Lock()
	defer b.wiring.Unlock()
	s.mu.Lock()
	on := wantsNetwork(&b.config) && slices.Contains(networksOf(&b.config), known.Name)
	s.mu.Unlock()
	if !on {
		return api.Errorf("disconnect from network "+known.Name, b.config.Name, "it is not on that network").WithCode(1)
	}
	if err := s.rewire(n, b, func(j *joined, netns *os.File) error { return n.unjoin(b, netns, known.Name, j) }); err != nil {
		return err
	}
	if err := s.configure(b, func(net *api.Net) {
		net.Endpoints = slices.DeleteFunc(net.Endpoints, func(a api.Attachment) bool { return a.Network == known.Name })
		net.Nowhere = len(net.Endpoints) == 0
	}); err != nil {
		return err
	}
	s.noteNetwork("disconnect", known.ID, known.Name, b.config.ID)
	return c.done("")
}

// unjoin takes a running sandbox off a network. If that was its way out, the next
// one becomes it.
func (n *networks) unjoin(b *box, netns *os.File, name string, j *joined) error {
	i := slices.IndexFunc(j.Endpoints, func(e network.Endpoint) bool { return e.Network == name })
	if i < 0 {
		return nil
	}
	if err := n.swtch.Detach(j.Endpoints[i]); err != nil {
		return err
	}
	n.names.Remove(name, b.config.ID)
	j.Endpoints, j.IDs = slices.Delete(j.Endpoints, i, i+1), slices.Delete(j.IDs, i, i+1)
	i = slices.IndexFunc(j.Endpoints, func(e network.Endpoint) bool { return !n.internal(e.Network) })
	if i < 0 || slices.ContainsFunc(j.Endpoints, n.leadsOut) {
		return nil
	}
	next, err := n.swtch.Route(netns, j.Endpoints[i])
	if err == nil {
		j.Endpoints[i] = next
	}
	return err
}

// answerNetworks carries out what is about networks.
func (c *conversation) answerNetworks() (known bool, err error) {
	handle := map[string]func() error{
		api.VerbNetworkCreate:     func() error { return with(c, c.createNetwork) },
		api.VerbNetworkRemove:     func() error { return with(c, c.removeNetworks) },
		api.VerbNetworkConnect:    func() error { return with(c, c.connectNetwork) },
		api.VerbNetworkDisconnect: func() error { return with(c, c.disconnectNetwork) },
		api.VerbNetworkList:       func() error { return with(c, c.listNetworks) },
		api.VerbNetworkInspect:    func() error { return with(c, c.inspectNetworks) },
		api.VerbNetworkPrune:      func() error { return with(c, c.pruneNetworks) },
		api.VerbPort:              func() error { return with(c, c.ports) },
	}[c.packet.Kind]
	if handle == nil {
		return false, nil
	}
	return true, handle()
}
