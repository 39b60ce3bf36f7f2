package network

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// linkInfo begins a message about an interface, by its number if that is known.
func linkInfo(r request, index int, up bool) {
	info := nl.NewIfInfomsg(unix.AF_UNSPEC)
	info.Index = int32(index)
	if up {
		info.Flags, info.Change = unix.IFF_UP, unix.IFF_UP
	}
	r.AddData(info)
}

func number(v int) []byte { return nl.Uint32Attr(uint32(v)) }

func text(s string) []byte { return nl.ZeroTerminated(s) }

// addBridge makes a bridge that is down. Its own MAC address is fixed, or it
// would change with its ports. Multicast is not filtered: without somebody who
// asks for members, that loses IPv6 neighbours.
func addBridge(name string, mac net.HardwareAddr, mtu int) request {
	r := newRequest("make bridge "+name, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	linkInfo(r, 0, false)
	r.add(unix.IFLA_IFNAME, text(name))
	r.add(unix.IFLA_ADDRESS, mac)
	r.add(unix.IFLA_MTU, number(mtu))
	kind := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	kind.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	kind.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_BR_MCAST_SNOOPING, []byte{0})
	r.AddData(kind)
	return r
}

// pair is a veth: one end a port of a bridge, the other in a sandbox.
type pair struct {
	host    string // in the switch
	bridge  int    // index
	isolate bool   // from other ports that are
	name    string // in the sandbox
	netns   int    // file descriptor of the sandbox's namespace
	mac     net.HardwareAddr
	mtu     int
}

// add makes both ends at once, down. One queue is enough for veth, which has no
// lock; the kernel would make one for each processor.
func (p *pair) add() request {
	r := newRequest("make interface "+p.name, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	linkInfo(r, 0, false)
	r.add(unix.IFLA_IFNAME, text(p.host))
	r.add(unix.IFLA_MASTER, number(p.bridge))
	kind := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	kind.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := kind.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, text(p.name))
	peer.AddRtAttr(unix.IFLA_ADDRESS, p.mac)
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, number(p.netns))
	r.AddData(kind)
	for kind, value := range map[int]int{unix.IFLA_MTU: p.mtu, unix.IFLA_NUM_TX_QUEUES: 1, unix.IFLA_NUM_RX_QUEUES: 1} {
		r.add(kind, number(value))
		peer.AddRtAttr(kind, number(value))
	}
	return r
}

// raise sets the switch's end up.
func (p *pair) raise(ipv6 bool) request {
	r := newRequest("raise interface "+p.host, unix.RTM_NEWLINK, 0)
	linkInfo(r, 0, true)
	r.add(unix.IFLA_IFNAME, text(p.host))
	if p.isolate {
		kind := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		kind.AddRtAttr(nl.IFLA_INFO_SLAVE_KIND, nl.NonZeroTerminated("bridge"))
		kind.AddRtAttr(nl.IFLA_INFO_SLAVE_DATA, nil).AddRtAttr(nl.IFLA_BRPORT_ISOLATED, []byte{1})
		r.AddData(kind)
	}
	if ipv6 {
		noAutomaticAddress(r)
	}
	return r
}

// raise sets an interface up.
func raise(name string, index, mtu int, ipv6 bool) request {
	r := newRequest("raise interface "+name, unix.RTM_NEWLINK, 0)
	linkInfo(r, index, true)
	r.add(unix.IFLA_MTU, number(mtu))
	if ipv6 {
		noAutomaticAddress(r)
	}
	return r
}

// noAutomaticAddress keeps the kernel from choosing a link-local address: ports
// need none, others get theirs from us, without a second of checking that it is
// free.
func noAutomaticAddress(r request) {
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	spec.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{nl.IN6_ADDR_GEN_MODE_NONE})
	r.AddData(spec)
}

// remove deletes an interface, and with it the other end.
func remove(name string) request {
	r := newRequest("remove interface "+name, unix.RTM_DELLINK, 0)
	linkInfo(r, 0, false)
	r.add(unix.IFLA_IFNAME, text(name))
	return r
}

// state asks for an interface; see awaken.
func state(name string) request {
	r := newRequest("look at interface "+name, unix.RTM_GETLINK, 0)
	linkInfo(r, 0, false)
	r.add(unix.IFLA_IFNAME, text(name))
	const skipStatistics = 1 << 3 // RTEXT_FILTER_SKIP_STATS
	r.add(unix.IFLA_EXT_MASK, number(skipStatistics))
	return r
}

// address gives an interface an address, without asking whether it is free: it is.
func address(index int, a netip.Prefix) request {
	r := newRequest("add address "+a.String(), unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	family, flags := unix.AF_INET, 0
	if a.Addr().Is6() {
		family, flags = unix.AF_INET6, unix.IFA_F_NODAD
	}
	msg := nl.NewIfAddrmsg(family)
	msg.Index, msg.Prefixlen = uint32(index), uint8(a.Bits())
	r.AddData(msg)
	r.add(unix.IFA_LOCAL, a.Addr().AsSlice())
	r.add(unix.IFA_ADDRESS, a.Addr().AsSlice())
	if a.Addr().Is4() {
		r.add(unix.IFA_BROADCAST, lastOf(a).AsSlice())
	}
	r.add(unix.IFA_FLAGS, number(flags))
	return r
}

// defaultRoute sends everything else to a gateway. An earlier one is replaced.
func defaultRoute(index int, gateway netip.Addr) request {
	r := newRequest("add the default route by "+gateway.String(), unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	msg := nl.NewRtMsg()
	msg.Family = unix.AF_INET
	if gateway.Is6() {
		msg.Family = unix.AF_INET6
	}
	r.AddData(msg)
	r.add(unix.RTA_GATEWAY, gateway.AsSlice())
	r.add(unix.RTA_OIF, number(index))
	return r
}

// dump asks for all interfaces.
func dump() request {
	r := newRequest("list interfaces", unix.RTM_GETLINK, unix.NLM_F_DUMP)
	linkInfo(r, 0, false)
	return r
}

// dumped is an interface in an answer to dump or state.
type dumped struct {
	name  string
	kind  string // bridge, veth, ...
	index int
	works bool
}

func parseLink(body []byte) (dumped, error) {
	if len(body) < unix.SizeofIfInfomsg {
		return dumped{}, unix.EBADMSG
	}
	d := dumped{index: int(int32(binary.NativeEndian.Uint32(body[4:])))}
	attrs, err := nl.ParseRouteAttr(body[unix.SizeofIfInfomsg:])
	if err != nil {
		return d, err
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			d.name = nl.BytesToString(a.Value)
		case unix.IFLA_OPERSTATE:
			const up = 6 // RFC 2863
			d.works = len(a.Value) == 1 && a.Value[0] == up
		case unix.IFLA_LINKINFO:
			info, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return d, err
			}
			for _, i := range info {
				if i.Attr.Type == nl.IFLA_INFO_KIND {
					d.kind = nl.BytesToString(append(i.Value, 0))
				}
			}
		}
	}
	return d, nil
}
