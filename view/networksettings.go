package view

import (
	"slices"
	"strconv"
	"strings"

	"sbx/api"
)

// networkSettings has the addresses on the default network beside those of each, as
// Docker's API before version 1.52.
type networkSettings struct {
	SandboxKey          string // path of the network namespace
	Ports               map[string][]portBinding
	Gateway             string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	MacAddress          string
	Networks            map[string]endpoint
}

type endpoint struct {
	IPAMConfig          *ipamWish // addresses that were asked for
	Aliases             []string
	MacAddress          string
	NetworkID           string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	DNSNames            []string
}

type ipamWish struct {
	IPv4Address string `json:",omitempty"`
	IPv6Address string `json:",omitempty"`
}

// networkMode is the first network of those that the sandbox was made with, or what
// it has instead of one.
func networkMode(s *api.Spec) string {
	switch mode := s.Isolation.Network; {
	case mode != "" && mode != api.DefaultNetwork:
		return mode
	case len(s.Net.Endpoints) > 0:
		return s.Net.Endpoints[0].Network
	}
	return api.DefaultNetwork
}

// onBridges says that the sandbox may be on networks.
func onBridges(s *api.Spec) bool {
	return s.Isolation.Network == "" || s.Isolation.Network == api.DefaultNetwork
}

// networkNames are the networks that a sandbox is on while it runs, else those that
// it will be on.
func networkNames(box *api.Sandbox) []string {
	spec := &box.Config.Spec
	mode := networkMode(spec)
	switch {
	case strings.HasPrefix(mode, "container:"):
		return nil
	case !onBridges(spec):
		return []string{mode}
	}
	var names []string
	if box.Status.Alive() {
		for _, j := range box.Networks {
			names = append(names, j.Network)
		}
		return names
	}
	for _, a := range spec.Net.Endpoints {
		names = append(names, a.Network)
	}
	if names == nil && !spec.Net.Nowhere {
		names = []string{mode}
	}
	return names
}

func newNetworkSettings(box *api.Sandbox) networkSettings {
	out := networkSettings{Ports: publicPorts(box), Networks: map[string]endpoint{}}
	if box.Status.Alive() && box.Status.PID != 0 {
		out.SandboxKey = "/proc/" + strconv.Itoa(box.Status.PID) + "/ns/net"
	}
	for _, name := range networkNames(box) {
		out.Networks[name] = newEndpoint(box, name)
	}
	e := out.Networks[api.DefaultNetwork]
	out.Gateway, out.IPAddress, out.IPPrefixLen, out.MacAddress = e.Gateway, e.IPAddress, e.IPPrefixLen, e.MacAddress
	out.IPv6Gateway, out.GlobalIPv6Address, out.GlobalIPv6PrefixLen = e.IPv6Gateway, e.GlobalIPv6Address, e.GlobalIPv6PrefixLen
	return out
}

// newEndpoint joins what was wanted of a network with what the sandbox got.
func newEndpoint(box *api.Sandbox, name string) endpoint {
	var e endpoint
	cfg := &box.Config
	for _, a := range cfg.Net.Endpoints {
		if a.Network != name {
			continue
		}
		e.Aliases, e.MacAddress = a.Aliases, a.MAC
		if a.IP != "" || a.IP6 != "" {
			e.IPAMConfig = &ipamWish{IPv4Address: a.IP, IPv6Address: a.IP6}
		}
	}
	for _, j := range box.Networks {
		if j.Network != name {
			continue
		}
		e.Aliases, e.MacAddress, e.NetworkID = j.Aliases, j.MAC, j.NetworkID
		e.Gateway, e.IPv6Gateway = addrText(j.Gateway), addrText(j.Gateway6)
		e.IPAddress, e.GlobalIPv6Address = addrText(j.IP), addrText(j.IP6)
		if j.IP.IsValid() {
			e.IPPrefixLen = j.Bits
		}
		if j.IP6.IsValid() {
			e.GlobalIPv6PrefixLen = j.Bits6
		}
	}
	if onBridges(&cfg.Spec) && name != api.DefaultNetwork {
		e.DNSNames = append(append([]string{cfg.Name}, e.Aliases...), shortID(cfg.ID))
		if h := hostname(*cfg); h != "" {
			e.DNSNames = append(e.DNSNames, h)
		}
		e.DNSNames = distinct(e.DNSNames)
	}
	return e
}

func distinct(words []string) []string {
	var list []string
	for _, w := range words {
		if !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list
}
