package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/undo"
)

// Options say where things are.
type Options struct {
	Dir     string         // of the records, NAME.json
	NetNS   *os.File       // the switch; it may be closed after Open
	MTU     int            // of the way out, and so the largest of a network
	Device  string         // the way out; it need not be there
	Aliases []netip.Prefix // addresses behind the way out that stand for the host
	// Shortcut is a device of ours that sandboxes may send to as they may to the way
	// out, and that may send to them, slirp/out. It need not be there; "" is none.
	Shortcut string
	// Used names the sandboxes, also those that do not run, that would miss a
	// network. It may be nil.
	Used func(network string) []string
}

// Switch is the network namespace with all bridges. Its methods may be called
// from several goroutines.
type Switch struct {
	o      Options
	ipv6   bool // the kernel has it
	fixed  bool // /proc/sys/net cannot be written to
	thread *thread

	mu     sync.Mutex
	rt     *rtnl
	tables *tables
	nets   map[string]*bridge
	ports  map[string]*Endpoint // by their interface in the switch
	closed bool
}

// bridge is a network at work.
type bridge struct {
	*Network
	index int // 0 until it is there
	ports int
	pools map[bool]*pool    // by IPv6
	macs  map[string]string // MAC: whose
}

func newBridge(n *Network) *bridge {
	b := &bridge{Network: n, pools: map[bool]*pool{}, macs: map[string]string{}}
	for _, s := range n.Subnets {
		b.pools[s.Gateway.Is6()] = newPool(s)
	}
	b.macs[b.hardware().String()] = theGateway
	return b
}

// hardware is the MAC address of the gateway.
func (b *bridge) hardware() net.HardwareAddr { return macOf(b.subnet(false).Gateway) }

// Open reads the records and sets up the switch: settings and rules, no bridges.
// Recover must be called before anything is attached.
func Open(o Options) (s *Switch, err error) {
	const op = "open the switch"
	s = &Switch{o: o, ipv6: hasIPv6(), ports: map[string]*Endpoint{}, nets: map[string]*bridge{}}
	records, err := load(o.Dir)
	if err != nil {
		return nil, err
	}
	for name, n := range records {
		s.nets[name] = newBridge(n)
	}
	home, err := unix.FcntlInt(o.NetNS.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, api.Wrap(op, o.NetNS.Name(), err)
	}
	netns := os.NewFile(uintptr(home), o.NetNS.Name())
	if s.thread, err = newThread(netns); err != nil {
		return nil, errors.Join(api.Wrap(op, "", err), netns.Close())
	}
	if err := s.thread.at(nil, s.openInside); err != nil {
		return nil, errors.Join(api.Wrap(op, "", err), s.Close())
	}
	if err := s.tables.install(o.Device, o.Shortcut, o.Aliases); err != nil {
		return nil, errors.Join(withHint(api.Wrap("set up nftables in the switch", "", err), why(err)), s.Close())
	}
	return s, nil
}

func (s *Switch) openInside() (err error) {
	if s.rt, err = openRtnl(); err != nil {
		return err
	}
	if s.tables, err = newTables(); err != nil {
		return err
	}
	return s.setUp()
}

func withHint(e *api.Error, hint string) *api.Error {
	if hint == "" || e.Hint != "" {
		return e
	}
	return e.WithHint("%s", hint)
}

// Close leaves everything in the kernel as it is.
func (s *Switch) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	if s.rt != nil {
		errs = append(errs, s.rt.close())
	}
	if s.tables != nil {
		errs = append(errs, s.tables.conn.CloseLasting())
	}
	s.thread.close()
	return errors.Join(append(errs, s.thread.home.Close())...)
}

// Networks are all that are recorded, by name. The default one is among them once
// Find has been asked for it.
func (s *Switch) Networks() []Network {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Network
	for _, b := range s.nets {
		list = append(list, *b.Network)
	}
	slices.SortFunc(list, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Endpoints are the interfaces that sandboxes have now, by sandbox and name.
func (s *Switch) Endpoints() []Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Endpoint
	for _, e := range s.ports {
		list = append(list, *e)
	}
	slices.SortFunc(list, func(a, b Endpoint) int {
		if c := strings.Compare(a.Sandbox, b.Sandbox); c != 0 {
			return c
		}
		return strings.Compare(a.Ifname, b.Ifname)
	})
	return list
}

// Find takes a name, an id, or the unique beginning of an id. The default network
// is recorded when it is first looked for.
func (s *Switch) Find(nameOrID string) (Network, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(nameOrID)
	if err != nil {
		return Network{}, err
	}
	return *b.Network, nil
}

func (s *Switch) find(ref string) (*bridge, error) {
	if ref == "default" || ref == "" {
		ref = Default
	}
	if b := s.nets[ref]; b != nil {
		return b, nil
	}
	if ref == Default {
		return s.createDefault()
	}
	var found *bridge
	for _, b := range s.nets {
		if !strings.HasPrefix(b.ID, ref) {
			continue
		}
		if found != nil {
			return nil, api.Errorf("find network", printable(ref), "several ids begin so").WithHint("use the name, or more of the id")
		}
		found = b
	}
	if found == nil {
		return nil, api.Errorf("find network", printable(ref), "there is none").WithHint("see sbx network ls, or make it with sbx network create")
	}
	return found, nil
}

// Up makes the bridge of a network, with its addresses, if it is not there yet.
// Attach does that too; who listens on the gateway may want it earlier.
func (s *Switch) Up(network string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(network)
	if err != nil {
		return err
	}
	return s.up(b)
}

func (s *Switch) up(b *bridge) error {
	if b.index != 0 {
		return nil
	}
	if err := s.raiseBridge(b); err != nil {
		return api.Wrap("set up network", b.Name, err)
	}
	return nil
}

// raiseBridge makes the bridge, or takes over the one that is there.
func (s *Switch) raiseBridge(b *bridge) (err error) {
	var steps undo.Stack
	defer steps.Unwind(&err)
	index, err := s.rt.index(b.Bridge)
	if errors.Is(err, unix.ENODEV) {
		if err := s.rt.do(addBridge(b.Bridge, b.hardware(), b.MTU)); err != nil {
			return err
		}
		steps.Add("make bridge", func() error { return s.rt.do(remove(b.Bridge)) })
		index, err = s.rt.index(b.Bridge)
	}
	if err != nil {
		return err
	}
	if err := s.setUpBridge(b.Bridge); err != nil {
		return err
	}
	todo := []request{raise(b.Bridge, index, b.MTU, s.ipv6)}
	for _, n := range b.Subnets {
		todo = append(todo, address(index, netip.PrefixFrom(n.Gateway, n.Prefix.Bits())))
	}
	if b.subnet(true) != nil {
		todo = append(todo, address(index, netip.PrefixFrom(linkLocal(b.hardware()), 64)))
	}
	if err := s.rt.do(todo...); err != nil {
		return err
	}
	b.index = index
	if err := s.change(nil, s.tables.ofNetwork(b.Network)); err != nil {
		b.index = 0
		return err
	}
	return nil
}

// Remove refuses the default network, and one that somebody uses.
func (s *Switch) Remove(name string) error {
	const op = "remove network"
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == Default || name == "default" || name == "" {
		return api.Errorf(op, Default, "it is the default network")
	}
	b, err := s.find(name)
	if err != nil {
		return err
	}
	var users []string
	for _, e := range s.ports {
		if e.Network == b.Name {
			users = append(users, e.owner())
		}
	}
	if s.o.Used != nil {
		users = append(users, s.o.Used(b.Name)...)
	}
	slices.Sort(users)
	if users = slices.Compact(users); len(users) > 0 {
		return api.Errorf(op, b.Name, "in use by %s", some(users)).WithHint("remove these sandboxes, or sbx network disconnect %s", b.Name)
	}
	if err := s.rt.do(remove(b.Bridge)); err != nil && !errors.Is(err, unix.ENODEV) {
		return api.Wrap(op, b.Name, err)
	}
	if err := b.erase(s.o.Dir); err != nil {
		return api.Wrap(op, b.Name, err)
	}
	delete(s.nets, b.Name)
	if b.index == 0 {
		return nil
	}
	return s.change(s.tables.ofNetwork(b.Network), nil)
}

// some is a list of names for a sentence.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "others")
	}
	return strings.Join(names, ", ")
}

// change alters the sets. If that cannot be done because somebody else has
// touched them, they are all brought back to what they should be.
func (s *Switch) change(remove, add []member) error {
	err := s.tables.change(remove, add)
	if errors.Is(err, unix.ENOENT) {
		err = s.settle()
	}
	if err != nil {
		return withHint(api.Wrap("change nftables in the switch", "", err), why(err))
	}
	return nil
}

// settle sets all elements from what is attached.
func (s *Switch) settle() error {
	var wanted []member
	for _, b := range s.nets {
		if b.index != 0 {
			wanted = append(wanted, s.tables.ofNetwork(b.Network)...)
		}
	}
	for _, e := range s.ports {
		list, err := s.tables.ofPort(e)
		if err != nil {
			return err
		}
		wanted = append(wanted, list...)
	}
	return s.tables.settle(wanted)
}
