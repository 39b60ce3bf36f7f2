package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"
)

// tables are the tables of nftables(8) in the switch, one for frames and one for
// packets. The rules never change while the supervisor runs; who may do what is
// in the sets.
type tables struct {
	conn         *nftables.Conn
	bridge, inet *nftables.Table
	all          []*nftables.Set

	// What a port may say it is: interface . MAC . address, and interface . MAC
	// for those with IPv6.
	ip4, ip6, mac *nftables.Set

	bridges  *nftables.Set // all
	out      *nftables.Set // bridges with a way out
	within   *nftables.Set // pairs of the same bridge, where members may talk
	gateway4 *nftables.Set // bridge . its own address
	gateway6 *nftables.Set
	host4    *nftables.Set // sandboxes that may reach the host's loopback
	host6    *nftables.Set

	// Who asks for names, and how much of its share is left: interface . address.
	// The rules fill these themselves.
	asked4, asked6 *nftables.Set

	spoof, port4, port6                       *nftables.Chain
	input, gateway, forward, outward, leaving *nftables.Chain
	asking                                    *nftables.Chain
}

// tableName is that of all tables of ours.
const tableName = "sbx"

// member is an element of a set.
type member struct {
	set *nftables.Set
	key string // the bytes
}

// newTables needs to be called in the switch.
func newTables() (*tables, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, err
	}
	t := &tables{conn: conn}
	t.bridge = &nftables.Table{Name: tableName, Family: nftables.TableFamilyBridge}
	t.inet = &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
	set := func(table *nftables.Table, name string, parts ...nftables.SetDatatype) *nftables.Set {
		// The library counts in a variable of its own, which is not locked.
		s := &nftables.Set{Table: table, Name: name, KeyType: parts[0], ID: uint32(len(t.all) + 1)}
		if s.KeyType == nftables.TypeIFName {
			s.KeyByteOrder = binaryutil.NativeEndian // for nft(8), which would show no name
		}
		if len(parts) > 1 {
			s.KeyType, s.Concatenation = nftables.MustConcatSetType(parts...), true
		}
		t.all = append(t.all, s)
		return s
	}
	name, mac, ip4, ip6 := nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIPAddr, nftables.TypeIP6Addr
	t.ip4, t.ip6 = set(t.bridge, "ip4", name, mac, ip4), set(t.bridge, "ip6", name, mac, ip6)
	t.mac = set(t.bridge, "mac", name, mac)
	t.bridges, t.out = set(t.inet, "bridges", name), set(t.inet, "out", name)
	t.within = set(t.inet, "within", name, name)
	t.gateway4, t.gateway6 = set(t.inet, "gateway4", name, ip4), set(t.inet, "gateway6", name, ip6)
	t.host4, t.host6 = set(t.inet, "host4", ip4), set(t.inet, "host6", ip6)
	t.asked4, t.asked6 = t.shares("asked4", ip4), t.shares("asked6", ip6)
	t.chains()
	return t, nil
}

// shares is a set of what each address on a bridge has used. An element goes when
// its address has been quiet for a while. The set is not one of all, which hold
// what the switch has put there.
func (t *tables) shares(name string, address nftables.SetDatatype) *nftables.Set {
	const (
		most  = 1 << 16 // more than there are sandboxes
		apart = 1000    // from the numbers of all: one for each length of an address
	)
	return &nftables.Set{
		Table: t.inet, Name: name, ID: apart + address.Bytes, KeyType: nftables.MustConcatSetType(nftables.TypeIFName, address), Concatenation: true,
		Dynamic: true, HasTimeout: true, Timeout: 10 * time.Second, Size: most,
	}
}

func (t *tables) chains() {
	drop, accept := nftables.ChainPolicyDrop, nftables.ChainPolicyAccept
	base := func(table *nftables.Table, name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority,
		policy nftables.ChainPolicy) *nftables.Chain {
		return &nftables.Chain{Table: table, Name: name, Type: kind, Hooknum: hook, Priority: priority, Policy: &policy}
	}
	filter, nat := nftables.ChainTypeFilter, nftables.ChainTypeNAT
	normal := nftables.ChainPriorityFilter
	t.spoof = base(t.bridge, "spoof", filter, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(-300), drop)
	t.port4 = &nftables.Chain{Table: t.bridge, Name: "port4"}
	t.port6 = &nftables.Chain{Table: t.bridge, Name: "port6"}
	t.input = base(t.inet, "input", filter, nftables.ChainHookInput, normal, drop)
	t.gateway = &nftables.Chain{Table: t.inet, Name: "gateway"}
	t.asking = &nftables.Chain{Table: t.inet, Name: "asking"}
	t.forward = base(t.inet, "forward", filter, nftables.ChainHookForward, normal, drop)
	t.outward = &nftables.Chain{Table: t.inet, Name: "outward"}
	t.leaving = base(t.inet, "leaving", nat, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, accept)
}

// add puts a rule at the end of a chain.
func (t *tables) add(c *nftables.Chain, parts ...rule) {
	t.conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: all(parts...)})
}

// install makes the tables, or brings those of an earlier supervisor up to date,
// in one step: there is no moment without rules. The sets keep what they have.
func (t *tables) install(device, shortcut string, aliases []netip.Prefix) error {
	t.conn.AddTable(t.bridge)
	t.conn.AddTable(t.inet)
	for _, s := range append(slices.Clone(t.all), t.asked4, t.asked6) {
		if err := t.conn.AddSet(s, nil); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
	}
	for _, c := range []*nftables.Chain{t.spoof, t.port4, t.port6, t.input, t.gateway, t.asking, t.forward, t.outward, t.leaving} {
		t.conn.AddChain(c)
		t.conn.FlushChain(c)
	}
	t.bridgeRules()
	t.inetRules(device, shortcut, aliases)
	return t.conn.Flush()
}

// chunk bounds the elements of a message: attributes end at 64 KiB.
const chunk = 256

// change takes elements away and adds others, in one step if there are few.
func (t *tables) change(remove, add []member) error {
	err := t.each(remove, t.conn.SetDeleteElements)
	if err == nil {
		err = t.each(add, t.conn.SetAddElements)
	}
	return errors.Join(err, t.conn.Flush())
}

// each calls f for the elements of each set, in messages of a bounded size.
func (t *tables) each(members []member, f func(*nftables.Set, []nftables.SetElement) error) error {
	for _, s := range t.all {
		var elements []nftables.SetElement
		for _, m := range members {
			if m.set == s {
				elements = append(elements, nftables.SetElement{Key: []byte(m.key)})
			}
		}
		for part := range slices.Chunk(elements, chunk) {
			if err := f(s, part); err != nil {
				return fmt.Errorf("set %s: %w", s.Name, err)
			}
			if len(part) < chunk {
				continue
			}
			// A batch has to fit into the socket's buffer.
			if err := t.conn.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle makes the sets hold wanted, and nothing else.
func (t *tables) settle(wanted []member) error {
	want := map[member]bool{}
	for _, m := range wanted {
		want[m] = true
	}
	var stale []member
	for _, s := range t.all {
		have, err := t.conn.GetSetElements(s)
		if err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
		for _, e := range have {
			m := member{s, string(e.Key)}
			if want[m] {
				delete(want, m)
			} else {
				stale = append(stale, m)
			}
		}
	}
	var missing []member
	for m := range want {
		missing = append(missing, m)
	}
	return t.change(stale, missing)
}

// key is the concatenation of its parts, each padded to words of four bytes.
func key(parts ...[]byte) string {
	var b bytes.Buffer
	for _, p := range parts {
		b.Write(p)
		b.Write(make([]byte, -len(p)&3))
	}
	return b.String()
}

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// ofNetwork are the elements that a network needs.
func (t *tables) ofNetwork(n *Network) []member {
	name := ifname(n.Bridge)
	list := []member{{t.bridges, key(name)}}
	if !n.Internal {
		list = append(list, member{t.out, key(name)})
	}
	if !n.Isolate {
		list = append(list, member{t.within, key(name, name)})
	}
	for _, s := range n.Subnets {
		set := t.gateway4
		if s.Gateway.Is6() {
			set = t.gateway6
		}
		list = append(list, member{set, key(name, s.Gateway.AsSlice())})
	}
	return list
}

// ofPort are the elements that a sandbox needs.
func (t *tables) ofPort(e *Endpoint) ([]member, error) {
	mac, err := parseMAC(e.MAC)
	if err != nil {
		return nil, err
	}
	name := ifname(e.Host)
	list := []member{{t.ip4, key(name, mac, e.IP.AsSlice())}}
	if e.HostLoopback {
		list = append(list, member{t.host4, key(e.IP.AsSlice())})
	}
	if !e.IP6.IsValid() {
		return list, nil
	}
	list = append(list, member{t.mac, key(name, mac)},
		member{t.ip6, key(name, mac, e.IP6.AsSlice())}, member{t.ip6, key(name, mac, linkLocal(mac).AsSlice())})
	if e.HostLoopback {
		list = append(list, member{t.host6, key(e.IP6.AsSlice())})
	}
	return list, nil
}

// why gives the remedy for what the kernel says about nftables.
func why(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return "the switch belongs to another user namespace"
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.ENOENT):
		return "the kernel lacks nftables: an administrator can run modprobe -a nf_tables nft_ct nft_limit nft_masq nft_reject_inet"
	}
	return ""
}
