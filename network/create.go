package network

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// The smallest MTU of a network; IPv6 demands more than IPv4.
const (
	leastMTU  = 576
	leastMTU6 = 1280
)

// Create makes a network and its bridge. What the spec leaves open is filled in:
// the subnets, the gateway, the bridge's name, and with IPv6 a subnet of unique
// local addresses. Of Docker's options these are known: mtu, also as
// com.docker.network.driver.mtu, and isolate.
func (s *Switch) Create(spec Network) (Network, error) {
	if err := validName(spec.Name); err != nil {
		return Network{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nets[spec.Name] != nil {
		return Network{}, api.Errorf("create network", spec.Name, "it exists").WithHint("choose another name, or sbx network rm %s", spec.Name)
	}
	b, err := s.create(spec, 24)
	if err != nil {
		return Network{}, err
	}
	if err := s.up(b); err != nil {
		delete(s.nets, b.Name)
		if left := b.erase(s.o.Dir); left != nil {
			return Network{}, api.Wrap("create network", b.Name, left)
		}
		return Network{}, err
	}
	return *b.Network, nil
}

// createDefault records the default network. It has IPv6 if the kernel has.
func (s *Switch) createDefault() (*bridge, error) {
	return s.create(Network{Name: Default, Bridge: "sbx0", IPv6: s.routes6()}, defaultBits)
}

// create records a network. Bits is the prefix length of a subnet that is chosen.
func (s *Switch) create(spec Network, bits int) (*bridge, error) {
	n := spec
	n.Subnets, n.Labels, n.Options = slices.Clone(spec.Subnets), maps.Clone(spec.Labels), maps.Clone(spec.Options)
	if n.Driver == "" {
		n.Driver = "bridge"
	}
	if n.Driver != "bridge" {
		return nil, api.Errorf("create network", n.Name, "there is no driver %q", n.Driver).WithHint("the only one is bridge")
	}
	if err := n.options(); err != nil {
		return nil, err
	}
	if err := s.subnets(&n, bits); err != nil {
		return nil, err
	}
	if err := n.checkMTU(s.o.MTU); err != nil {
		return nil, err
	}
	n.ID, n.Created = randomHex(32), time.Now().UTC()
	taken := func(b *bridge) bool { return b.Bridge == n.Bridge }
	for n.Bridge == "" || slices.ContainsFunc(slices.Collect(maps.Values(s.nets)), taken) {
		n.Bridge = bridgePrefix + randomHex(3)
	}
	if err := n.save(s.o.Dir); err != nil {
		return nil, err
	}
	b := newBridge(&n)
	s.nets[n.Name] = b
	return b, nil
}

// bridgePrefix begins the names of all bridges but the default one's.
const bridgePrefix = "net-"

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	// crypto/rand.Read returns no error since Go 1.24: it ends the program.
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// options takes over what the driver's options say.
func (n *Network) options() error {
	for name, value := range n.Options {
		var err error
		switch name {
		case "mtu", "com.docker.network.driver.mtu":
			n.MTU, err = strconv.Atoi(value)
		case "isolate":
			n.Isolate, err = strconv.ParseBool(value)
		default:
			return api.Errorf("create network", n.Name, "there is no option %s", printable(name)).WithHint("known are mtu and isolate")
		}
		if err != nil {
			return api.Errorf("create network", n.Name, "option %s: %s is no value for it", name, printable(value))
		}
	}
	return nil
}

func (n *Network) checkMTU(most int) error {
	if n.MTU == 0 {
		n.MTU = most
	}
	least := leastMTU
	if n.IPv6 {
		least = leastMTU6
	}
	if n.MTU < least || n.MTU > most {
		return api.Errorf("create network", n.Name, "an MTU of %d", n.MTU).WithHint("it can be %d to %d", least, most)
	}
	return nil
}

// subnets checks those that are given, and chooses what is missing.
func (s *Switch) subnets(n *Network, bits int) error {
	busy, err := s.busy()
	if err != nil {
		return err
	}
	for i := range n.Subnets {
		subnet := &n.Subnets[i]
		if err := subnet.check(busy); err != nil {
			return err
		}
		if other := n.subnet(subnet.Prefix.Addr().Is6()); other != subnet {
			return api.Errorf("create network", n.Name, "%s and %s: one subnet each of IPv4 and IPv6 is possible", other.Prefix, subnet.Prefix)
		}
	}
	n.IPv6 = n.IPv6 || n.subnet(true) != nil
	if n.IPv6 && !s.routes6() {
		return api.Wrap("create network", n.Name, unix.EAFNOSUPPORT).WithHint("the kernel has none, or /proc/sys/net cannot be written to, as in a container")
	}
	if n.subnet(false) == nil {
		p, err := freeSubnet(bits, busy)
		if err != nil {
			return err
		}
		n.Subnets = append([]Subnet{{Prefix: p, Gateway: p.Addr().Next()}}, n.Subnets...)
	}
	if n.IPv6 && n.subnet(true) == nil {
		p := localSubnet(busy)
		n.Subnets = append(n.Subnets, Subnet{Prefix: p, Gateway: p.Addr().Next()})
	}
	return nil
}

// busy is what no new network may overlap with.
func (s *Switch) busy() ([]used, error) {
	list, err := hostRoutes()
	if err != nil {
		return nil, err
	}
	for _, p := range s.o.Aliases {
		list = append(list, used{p, "the way out"})
	}
	for _, b := range s.nets {
		for _, n := range b.Subnets {
			list = append(list, used{n.Prefix, "network " + b.Name})
		}
	}
	// Where several overlap, always name the same one: a network before a route.
	slices.SortStableFunc(list, func(a, b used) int { return strings.Compare(b.by, a.by) })
	return slices.CompactFunc(list, func(a, b used) bool { return a == b }), nil
}

// printable is what a user typed, so that it cannot disturb a terminal.
func printable(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "..."
	}
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}
