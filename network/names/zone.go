package names

import (
	"net/netip"
	"slices"
	"strings"
)

// Network is a bridge that the responder serves.
type Network struct {
	Name     string
	Device   string         // the bridge in the switch; "" accepts queries from every device
	Gateways []netip.Addr   // where to listen
	Subnets  []netip.Prefix // of the network; a query from elsewhere is dropped, if there are any
	// Named networks know their sandboxes by name; the default network does not.
	Named bool
	// Internal networks have no way out, not even by names: DNS would be one.
	Internal bool
}

// Sandbox is a sandbox on one network.
type Sandbox struct {
	ID string
	// Names are its name, which is the one that its address resolves to, its
	// aliases, host name and short id.
	Names []string
	Addrs []netip.Addr // on this network
	// DNS are the servers of its --dns, asked in place of the host's. They are
	// asked from the host, where loopback is the host's, but for those that are in
	// one of our networks.
	DNS []netip.Addr
	// Search are domains below which its network's names are found as well. The
	// host's own domains do not belong here: a sandbox called www would hide the
	// real one.
	Search []string
	// Host is what host.sbx.internal means to it; nothing: what it means to all.
	Host []netip.Addr
}

// member is a sandbox on a network.
type member struct {
	Sandbox
	network *network
}

// network is a Network and who is on it. Server.mu guards all but the fields of
// Network, which do not change.
type network struct {
	Network
	members map[string]*member   // by sandbox
	names   map[string][]*member // in lower case
	addrs   map[netip.Addr]*member
	sockets []socket
}

func newNetwork(n Network) *network {
	return &network{Network: n, members: map[string]*member{}, names: map[string][]*member{}, addrs: map[netip.Addr]*member{}}
}

// Set makes a sandbox known on a network, in place of what was known before. A
// sandbox that is on the default network alone and has no servers of its own
// need not be set.
//
// It is no error that the network is not listened on yet.
func (s *Server) Set(network string, sb Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.networks[network]
	if n == nil {
		n = newNetwork(Network{Name: network})
		s.networks[network] = n
	}
	s.remove(n, sb.ID)
	sb.Names, sb.Addrs, sb.DNS = slices.Clone(sb.Names), slices.Clone(sb.Addrs), slices.Clone(sb.DNS)
	sb.Host = slices.Clone(sb.Host)
	m := &member{Sandbox: sb, network: n}
	m.Search = make([]string, 0, len(sb.Search))
	for _, domain := range sb.Search {
		m.Search = append(m.Search, canonical(domain))
	}
	n.members[sb.ID] = m
	for _, name := range sb.Names {
		if name = canonical(name); name != "" && !slices.Contains(n.names[name], m) {
			n.names[name] = append(n.names[name], m)
		}
	}
	for i, a := range m.Addrs {
		m.Addrs[i] = a.Unmap()
		n.addrs[m.Addrs[i]] = m
	}
	s.sandboxes[sb.ID] = append(s.sandboxes[sb.ID], m)
	slices.SortFunc(s.sandboxes[sb.ID], func(a, b *member) int { return strings.Compare(a.network.Name, b.network.Name) })
}

// Remove forgets a sandbox on a network.
func (s *Server) Remove(network, sandbox string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.networks[network]; n != nil {
		s.remove(n, sandbox)
	}
}

func (s *Server) remove(n *network, sandbox string) {
	m := n.members[sandbox]
	if m == nil {
		return
	}
	delete(n.members, sandbox)
	is := func(o *member) bool { return o == m }
	for _, name := range m.Names {
		name = canonical(name)
		if left := slices.DeleteFunc(n.names[name], is); len(left) > 0 {
			n.names[name] = left
		} else {
			delete(n.names, name)
		}
	}
	for _, a := range m.Addrs {
		if n.addrs[a] == m {
			delete(n.addrs, a)
		}
	}
	if left := slices.DeleteFunc(s.sandboxes[sandbox], is); len(left) > 0 {
		s.sandboxes[sandbox] = left
	} else {
		delete(s.sandboxes, sandbox)
	}
}

// canonical is a name as it is compared: of a name that is written with or
// without the last dot, in lower case. Only ASCII has cases in the DNS.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// asker is who sent a query, and what it may know.
type asker struct {
	key      clientKey
	networks []*network // the one it asked first, then the others it is on
	search   []string
	dns      []netip.Addr
	host     []netip.Addr
	outside  bool // may ask for names out there
}

// asker identifies the source of a query. It says false for one who cannot be on
// the network. Server.mu is held.
func (s *Server) asker(n *network, from netip.Addr) (asker, bool) {
	m := n.addrs[from]
	if m == nil {
		in := func(p netip.Prefix) bool { return p.Contains(from) }
		if len(n.Subnets) > 0 && !slices.ContainsFunc(n.Subnets, in) {
			return asker{}, false
		}
		return asker{key: clientKey{addr: from}, networks: []*network{n}, host: s.host, outside: !n.Internal}, true
	}
	a := asker{key: clientKey{sandbox: m.ID}, networks: []*network{n}, search: m.Search, dns: m.DNS, host: s.host, outside: !n.Internal}
	if len(m.Host) > 0 {
		a.host = m.Host
	}
	for _, o := range s.sandboxes[m.ID] {
		if o != m {
			a.networks = append(a.networks, o.network)
			a.outside = a.outside || !o.network.Internal
		}
	}
	return a, true
}

// find gives the sandboxes that a name stands for, of the first network that has
// it. Server.mu is held.
func (a asker) find(name string) []*member {
	if found := a.exactly(name); found != nil {
		return found
	}
	if rest, ok := strings.CutSuffix(name, "."+ownDomain); ok {
		return a.exactly(rest)
	}
	for _, domain := range a.search {
		if rest, ok := strings.CutSuffix(name, "."+domain); ok && domain != "" && !strings.Contains(rest, ".") {
			if found := a.exactly(rest); found != nil {
				return found
			}
		}
	}
	return nil
}

// exactly knows NAME and NAME.NETWORK.
func (a asker) exactly(name string) []*member {
	for _, n := range a.networks {
		if !n.Named {
			continue
		}
		if found := n.names[name]; len(found) > 0 {
			return found
		}
		if rest, ok := strings.CutSuffix(name, "."+canonical(n.Name)); ok && len(n.names[rest]) > 0 {
			return n.names[rest]
		}
	}
	return nil
}
