package view

import (
	"maps"
	"net/netip"
	"strconv"

	"sbx/api"
)

// networkObject is what docker network inspect prints, with the names and the order
// of Docker's API.
type networkObject struct {
	Name       string
	ID         string `json:"Id"`
	Created    string
	Scope      string
	Driver     string
	EnableIPv4 bool
	EnableIPv6 bool
	IPAM       ipam
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigFrom configFrom
	ConfigOnly bool
	Containers map[string]member // by id
	Options    map[string]string
	Labels     map[string]string
}

// Id lets templates use the name that the JSON has. Docker takes both.
func (n networkObject) Id() string { return n.ID }

type ipam struct {
	Driver  string
	Options map[string]string
	Config  []ipamSubnet
}

type ipamSubnet struct {
	Subnet  string
	IPRange string `json:",omitempty"`
	Gateway string
}

type configFrom struct{ Network string }

// member is a sandbox that is on the network.
type member struct {
	Name        string
	MacAddress  string
	IPv4Address string // with the length of the prefix
	IPv6Address string
}

// InspectedNetwork is a network for Inspect. The sandboxes are asked who is on it.
func InspectedNetwork(n Network, boxes []api.Sandbox) Object {
	out := networkObject{
		Name: n.Name, ID: n.ID, Created: stamp(n.Created), Scope: networkScope, Driver: n.Driver,
		EnableIPv4: true, EnableIPv6: n.IPv6, Internal: n.Internal,
		IPAM:       ipam{Driver: "default", Options: map[string]string{}, Config: []ipamSubnet{}},
		Containers: map[string]member{}, Options: networkOptions(n), Labels: maps.Clone(n.Labels),
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	for _, s := range n.Subnets {
		out.IPAM.Config = append(out.IPAM.Config, ipamSubnet{Subnet: s.Prefix.String(), IPRange: prefixText(s.Range), Gateway: addrText(s.Gateway)})
	}
	for _, b := range boxes {
		for _, j := range b.Networks {
			if j.Network == n.Name {
				out.Containers[b.Config.ID] = member{
					Name: b.Config.Name, MacAddress: j.MAC,
					IPv4Address: prefixText(netip.PrefixFrom(j.IP, j.Bits)), IPv6Address: prefixText(netip.PrefixFrom(j.IP6, j.Bits6)),
				}
			}
		}
	}
	return Object{out}
}

// networkOptions are those that were given, and in Docker's words what else is true
// of the network.
func networkOptions(n Network) map[string]string {
	out := map[string]string{"com.docker.network.bridge.name": n.Bridge, "com.docker.network.driver.mtu": strconv.Itoa(n.MTU)}
	if n.Isolate {
		out["com.docker.network.bridge.enable_icc"] = "false"
	}
	maps.Copy(out, n.Options)
	return out
}

// addrText is empty for no address.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
