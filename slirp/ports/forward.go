package ports

import (
	"net/netip"
	"strconv"

	"sbx/api"
)

// Protocols of a Forward.
const (
	TCP = "tcp"
	UDP = "udp"
)

// Forward is one published port.
type Forward struct {
	Proto string `json:"proto"` // TCP or UDP
	// Host is the address to listen on. The zero value is every address, by IPv4
	// and, where the host has it, by IPv6; 0.0.0.0 and :: are those of one version.
	Host netip.Addr `json:"host"`
	Port uint16     `json:"port"` // 0 is any free one of the ephemeral range
	// To is the address of the sandbox. Clients by IPv6 go to To6 if there is one.
	To    netip.AddrPort `json:"to"`
	To6   netip.AddrPort `json:"to6"`
	Owner string         `json:"owner,omitempty"` // the id of the sandbox, for messages
	// Plain is for a sandbox whose default route does not lead to the bridge that To
	// is on: its answers to a client's address would not come back to us. It sees the
	// gateway.
	Plain bool `json:"plain,omitempty"`
}

// String is as "127.0.0.1:8080/tcp"; without an address, "port 8080/tcp".
func (f Forward) String() string {
	if f.Host.IsValid() {
		return netip.AddrPortFrom(f.Host, f.Port).String() + "/" + f.Proto
	}
	return "port " + strconv.Itoa(int(f.Port)) + "/" + f.Proto
}

const opPublish = "publish"

func (f Forward) check() error {
	switch {
	case f.Proto != TCP && f.Proto != UDP:
		return api.Errorf(opPublish, f.String(), "protocol %q: only tcp and udp can be published", f.Proto)
	case f.Host.Is4In6():
		return api.Errorf(opPublish, f.String(), "an IPv4 address written as IPv6").WithHint("write %v", f.Host.Unmap())
	case !f.To.IsValid() || f.To.Port() == 0:
		return api.Errorf(opPublish, f.String(), "the sandbox has no address to publish")
	case f.To6.IsValid() && (!f.To6.Addr().Is6() || f.To6.Port() == 0):
		return api.Errorf(opPublish, f.String(), "%v is no IPv6 address and port", f.To6)
	}
	return nil
}

// target is where a client goes.
func (f Forward) target(client netip.Addr) netip.AddrPort {
	if f.To6.IsValid() && client.Is6() {
		return f.To6
	}
	return f.To
}

// addrs are the addresses to listen on; the second may be missing on the host.
func (f Forward) addrs() []netip.Addr {
	if f.Host.IsValid() {
		return []netip.Addr{f.Host}
	}
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}

// overlaps says whether both cannot be there at a time.
func (f Forward) overlaps(g Forward) bool {
	if f.Proto != g.Proto || f.Port != g.Port {
		return false
	}
	for _, a := range f.addrs() {
		for _, b := range g.addrs() {
			if a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified()) {
				return true
			}
		}
	}
	return false
}
