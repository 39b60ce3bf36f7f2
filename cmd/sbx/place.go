package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

// placeFlags say what a sandbox is on a network.
type placeFlags struct {
	aliases      []string
	ip, ip6, mac string
}

// add adds the flags. That of the alias has two names.
func (f *placeFlags) add(fs *pflag.FlagSet, alias string) {
	fs.Var((*list)(&f.aliases), alias, "another `NAME` on the network")
	fs.StringVar(&f.ip, "ip", "", "IPv4 `ADDRESS` on the network")
	fs.StringVar(&f.ip6, "ip6", "", "IPv6 `ADDRESS` on the network")
	fs.StringVar(&f.mac, "mac-address", "", "`ADDRESS` of the interface: 02:42:0a:58:00:05")
}

func (f *placeFlags) empty() bool {
	return len(f.aliases) == 0 && f.ip == "" && f.ip6 == "" && f.mac == ""
}

// put adds the flags to what --network says of the network itself.
func (f *placeFlags) put(a *api.Attachment, alias string) error {
	conflict := ""
	switch {
	case len(f.aliases) > 0 && len(a.Aliases) > 0:
		conflict = alias + " and per-network alias"
	case f.ip != "" && a.IP != "":
		conflict = "--ip and per-network IPv4 address"
	case f.ip6 != "" && a.IP6 != "":
		conflict = "--ip6 and per-network IPv6 address"
	case f.mac != "" && a.MAC != "":
		conflict = "--mac-address and per-network MAC address"
	}
	if conflict != "" {
		return &flagError{"conflicting options: cannot specify both " + conflict}
	}
	for _, name := range f.aliases {
		if err := setAlias(a, name); err != nil {
			return invalid(alias, name, err.Error())
		}
	}
	for _, wish := range []struct {
		flag, value string
		set         func(*api.Attachment, string) error
	}{{"--ip", f.ip, setIP4}, {"--ip6", f.ip6, setIP6}, {"--mac-address", f.mac, setMAC}} {
		if wish.value == "" {
			continue
		}
		if err := wish.set(a, wish.value); err != nil {
			return invalid(wish.flag, wish.value, err.Error())
		}
	}
	return nil
}

// Docker's words for what needs a network made by a user.
const (
	addressNeedsNetwork = "user specified IP address is supported on user defined networks only: make one with 'sbx network create'"
	aliasNeedsNetwork   = "network-scoped alias is supported only for containers in user defined networks: make one with 'sbx network create'"
)

// misplaced says what is wrong with the flags where there is no network.
func (f *placeFlags) misplaced() error {
	switch {
	case f.mac != "":
		return &flagError{"conflicting options: mac-address and the network mode"}
	case len(f.aliases) > 0:
		return &flagError{aliasNeedsNetwork}
	}
	return &flagError{addressNeedsNetwork}
}

// settleDefault checks what is wanted of the default network. Where that is nothing
// and there is no other one, no entry is needed.
func settleDefault(n *api.Net) error {
	for _, a := range n.Endpoints {
		switch {
		case a.Network != api.DefaultNetwork:
		case a.IP != "" || a.IP6 != "":
			return &flagError{addressNeedsNetwork}
		case len(a.Aliases) > 0:
			return &flagError{aliasNeedsNetwork}
		case len(n.Endpoints) == 1 && a.MAC == "" && a.Ifname == "":
			n.Endpoints = nil
		}
	}
	return nil
}
