package network

import (
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Where /proc/sys cannot be written to, rtnetlink still sets what IPv4 needs of one
// interface. IPv6 has no such way: nothing is forwarded.

// Numbers of settings of an interface, linux/ip.h.
const (
	devconfForwarding        = 1  // IPV4_DEVCONF_FORWARDING
	devconfAcceptRedirects   = 4  // IPV4_DEVCONF_ACCEPT_REDIRECTS
	devconfSendRedirects     = 6  // IPV4_DEVCONF_SEND_REDIRECTS
	devconfRPFilter          = 8  // IPV4_DEVCONF_RP_FILTER
	devconfAcceptSourceRoute = 9  // IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE
	devconfARPIgnore         = 19 // IPV4_DEVCONF_ARP_IGNORE
)

// devconf does for one interface what settings do for all. Those of the kernel that
// are for all and cannot be written can make it stricter; what they allow beyond it are
// the redirects that the switch sends.
func devconf(name string) request {
	r := newRequest("configure interface "+name, unix.RTM_NEWLINK, 0)
	linkInfo(r, 0, false)
	r.add(unix.IFLA_IFNAME, text(name))
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	conf := spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF, nil)
	for kind, value := range map[int]int{
		devconfForwarding: 1, devconfRPFilter: 1, devconfARPIgnore: 1,
		devconfAcceptRedirects: 0, devconfSendRedirects: 0, devconfAcceptSourceRoute: 0,
	} {
		conf.AddRtAttr(kind, number(value))
	}
	r.AddData(spec)
	return r
}

// setUp makes the settings of the switch.
func (s *Switch) setUp() error {
	// The way out first: with forwarding the kernel forgets the router otherwise.
	err := write(append([]setting{hearRouters(s.o.Device, true), strict(s.o.Device)}, settings...)...)
	if s.fixed = errors.Is(err, errFixed); s.fixed {
		return nil // see devconf; the rules expect frames, too
	}
	return err
}

// setUpBridge makes those of a bridge that is new.
func (s *Switch) setUpBridge(name string) error {
	if !s.fixed {
		return s.thread.at(nil, func() error { return write(hearRouters(name, false)) })
	}
	return s.rt.do(devconf(name))
}

// setUpWayOut is for a way out that comes later than the switch, or comes back.
func (s *Switch) setUpWayOut() error {
	if !s.fixed || s.o.Device == "" {
		return nil
	}
	if err := s.rt.do(devconf(s.o.Device)); !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}

// OnlyIPv4 says that networks have no IPv6, though the kernel has it.
func (s *Switch) OnlyIPv4() bool { return s.ipv6 && s.fixed }

// routes6 says whether a network can have IPv6.
func (s *Switch) routes6() bool { return s.ipv6 && !s.fixed }
