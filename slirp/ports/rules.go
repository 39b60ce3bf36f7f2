package ports

import (
	"errors"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What brings the answers to a client's address back to the socket that has taken
// it, instead of out to the client. Nobody else in the switch may use these.
//
// As commands, in the switch:
//
//	ip rule add pref 100 fwmark 0x5b02 lookup 100;      ip -6 rule ...
//	ip route add local default dev lo table 100;        ip -6 route ...
//	nft add table inet sbx-ports
//	... output     priority mangle: meta mark 0x5b01 ct mark set 0x5b02
//	... prerouting priority mangle: ct direction reply ct mark 0x5b02 meta mark set 0x5b02
const (
	markOut   = 0x5b01 // SO_MARK of the sockets; no routing rule looks at it
	markBack  = 0x5b02 // of their connections, and of the packets that come back
	table     = 100
	rulesName = "sbx-ports"
)

// installRules runs on a thread in the switch. It replaces what an earlier
// process has left.
func installRules() error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		err := installRoute(family)
		if family == netlink.FAMILY_V6 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)) {
			continue // no IPv6 in this kernel
		}
		if err != nil {
			return err
		}
	}
	return installMarks()
}

func installRoute(family int) error {
	rule := netlink.NewRule()
	rule.Family, rule.Table, rule.Priority = family, table, table
	rule.Mark = markBack
	if err := netlink.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("ip rule add fwmark %#x: %w", rule.Mark, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("ip link show lo: %w", err)
	}
	everything := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 8*net.IPv4len)}
	if family == netlink.FAMILY_V6 {
		everything = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 8*net.IPv6len)}
	}
	err = netlink.RouteReplace(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Table: table, Dst: everything, Family: family,
		Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST,
	})
	if err != nil {
		return fmt.Errorf("ip route replace local default table %d: %w", table, err)
	}
	return nil
}

// installMarks is one transaction.
func installMarks() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: rulesName}
	// Deleting what is not there is an error; adding what is there is none.
	c.AddTable(t)
	c.DelTable(t)
	c.AddTable(t)
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		return c.AddChain(&nftables.Chain{Name: name, Table: t, Type: nftables.ChainTypeFilter,
			Hooknum: hook, Priority: nftables.ChainPriorityMangle})
	}
	const reg = 1
	equal := func(data []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data} }
	out, back := binaryutil.NativeEndian.PutUint32(markOut), binaryutil.NativeEndian.PutUint32(markBack)
	c.AddRule(&nftables.Rule{Table: t, Chain: chain("output", nftables.ChainHookOutput), Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg}, equal(out),
		&expr.Immediate{Register: reg, Data: back},
		&expr.Ct{Key: expr.CtKeyMARK, Register: reg, SourceRegister: true},
	}})
	const reply = 1 // IP_CT_DIR_REPLY
	c.AddRule(&nftables.Rule{Table: t, Chain: chain("prerouting", nftables.ChainHookPrerouting), Exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg}, equal([]byte{reply}),
		&expr.Ct{Key: expr.CtKeyMARK, Register: reg}, equal(back),
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg, SourceRegister: true},
	}})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: add table %s: %w", rulesName, err)
	}
	return nil
}
