package api

import "net/netip"

// Verbs about networks.
const (
	VerbNetworkCreate     = "network create"     // NetworkCreate
	VerbNetworkList       = "network ls"         // NetworkList
	VerbNetworkInspect    = "network inspect"    // Inspect
	VerbNetworkRemove     = "network rm"         // NetworkRemove
	VerbNetworkPrune      = "network prune"      // NetworkPrune
	VerbNetworkConnect    = "network connect"    // NetworkConnect
	VerbNetworkDisconnect = "network disconnect" // NetworkDisconnect
	VerbPort              = "port"               // PortQuery
)

// DefaultNetwork is the bridge that a sandbox is on unless it asks for something
// else. Its bridge is called sbx0.
const DefaultNetwork = "bridge"

// Net is what a sandbox wants of the network, beyond the mode in Isolation. The
// command line has checked the texts.
type Net struct {
	// Endpoints are the networks to be on, the first one with the default route.
	// None, and the mode of Isolation is "" or "bridge": the default network.
	Endpoints    []Attachment `json:"endpoints,omitempty"`
	Ports        []Port       `json:"ports,omitempty"`
	Nowhere      bool         `json:"nowhere,omitempty"`       // the last one was disconnected: not even the default network
	PublishAll   bool         `json:"publish_all,omitempty"`   // all of Expose, at free ports
	HostLoopback bool         `json:"host_loopback,omitempty"` // the loopback addresses of the host may be reached
	MTU          int          `json:"mtu,omitempty"`           // of a way out of its own; 0: the usual one
	Expose       []string     `json:"expose,omitempty"`        // "80/tcp"; in a Config, those of the image too
	DNS          []string     `json:"dns,omitempty"`           // addresses
	DNSSearch    []string     `json:"dns_search,omitempty"`    // "." alone: none, not even the host's
	DNSOptions   []string     `json:"dns_options,omitempty"`
	AddHosts     []string     `json:"add_hosts,omitempty"` // NAME:ADDRESS, or NAME:host-gateway
}

// Attachment is the wish to be on a network. What is empty is left to the network.
type Attachment struct {
	Network string   `json:"network"` // name, id, or the beginning of an id
	Aliases []string `json:"aliases,omitempty"`
	IP      string   `json:"ip,omitempty"`
	IP6     string   `json:"ip6,omitempty"`
	MAC     string   `json:"mac,omitempty"`
	Ifname  string   `json:"ifname,omitempty"` // of the interface in the sandbox
}

// Port is one published port. A range is several of them.
type Port struct {
	Host     string `json:"host,omitempty"`      // address; empty: all, of IPv4 and of IPv6
	HostPort uint16 `json:"host_port,omitempty"` // 0: one that is free
	HostLast uint16 `json:"host_last,omitempty"` // not 0: the first free one from HostPort to this
	Port     uint16 `json:"port"`
	Proto    string `json:"proto"` // tcp, udp
}

// Joined is a network that a running sandbox is on. A part of Sandbox.
type Joined struct {
	Network   string     `json:"network"`
	NetworkID string     `json:"network_id"`
	Aliases   []string   `json:"aliases,omitempty"`
	Ifname    string     `json:"ifname"`
	Host      string     `json:"host"` // the other end of the veth, in the switch
	MAC       string     `json:"mac"`
	IP        netip.Addr `json:"ip,omitzero"`
	IP6       netip.Addr `json:"ip6,omitzero"`
	Bits      int        `json:"bits,omitempty"`
	Bits6     int        `json:"bits6,omitempty"`
	Gateway   netip.Addr `json:"gateway,omitzero"`
	Gateway6  netip.Addr `json:"gateway6,omitzero"`
}

// NetworkCreate makes a network.
type NetworkCreate struct {
	Name     string            `json:"name"`
	Driver   string            `json:"driver,omitempty"`   // bridge
	Subnets  []string          `json:"subnets,omitempty"`  // one each of IPv4 and IPv6, "10.90.1.0/24"
	Gateways []string          `json:"gateways,omitempty"` // addresses, in any order: each is in a subnet of its own
	Ranges   []string          `json:"ranges,omitempty"`   // prefixes, the same
	IPv6     bool              `json:"ipv6,omitempty"`
	Internal bool              `json:"internal,omitempty"`
	Isolate  bool              `json:"isolate,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Options  map[string]string `json:"options,omitempty"` // mtu, com.docker.network.driver.mtu
	Ignore   bool              `json:"ignore,omitempty"`  // no error if it is there
}

// NetworkList is network ls.
type NetworkList struct {
	Quiet   bool     `json:"quiet,omitempty"`
	NoTrunc bool     `json:"no_trunc,omitempty"`
	Filters []string `json:"filters,omitempty"`
	Format  string   `json:"format,omitempty"`
}

// NetworkRemove removes networks.
type NetworkRemove struct {
	Names []string `json:"names"`
	Force bool     `json:"force,omitempty"` // no error if it is not there
}

// NetworkPrune removes networks that no sandbox is on.
type NetworkPrune struct {
	Filters []string `json:"filters,omitempty"`
}

// NetworkConnect puts a sandbox on one more network.
type NetworkConnect struct {
	Sandbox    string     `json:"sandbox"`
	Attachment Attachment `json:"attachment"`
}

// NetworkDisconnect takes it off.
type NetworkDisconnect struct {
	Sandbox string `json:"sandbox"`
	Network string `json:"network"`
	Force   bool   `json:"force,omitempty"`
}

// PortQuery asks where a port is published; without Port for all of them.
type PortQuery struct {
	Name string `json:"name"`
	Port string `json:"port,omitempty"` // 80 or 80/udp
}
