package main

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// networkCreateFlags are those of network create, but for what is sent as it is.
type networkCreateFlags struct {
	subnets, gateways, ranges []string
	labels, options           []string
}

func newCreateNetwork() command {
	var o api.NetworkCreate
	var f networkCreateFlags
	return command{
		name: "network create", group: groupNetworks, args: "NETWORK", min: 1, max: 1, names: wantNothing,
		short: "make a network, on which sandboxes find each other by name",
		examples: `sbx network create lab
sbx network create --subnet 10.90.1.0/24 --gateway 10.90.1.254 --ipv6 lab
sbx network create --internal --isolate quarantine`,
		flags: func(fs *pflag.FlagSet) {
			fs.StringVarP(&o.Driver, "driver", "d", api.DefaultNetwork, "`bridge` is the only driver")
			fs.Var((*list)(&f.subnets), "subnet", "`PREFIX` of its addresses, one each for IPv4 and IPv6: 10.90.1.0/24")
			fs.Var((*list)(&f.gateways), "gateway", "`ADDRESS` of its gateway (default: the first of the subnet)")
			fs.Var((*list)(&f.ranges), "ip-range", "`PREFIX` in the subnet, to choose addresses from")
			fs.BoolVar(&o.IPv6, "ipv6", false, "also IPv6, with addresses of its own if no subnet is given")
			fs.BoolVar(&o.Internal, "internal", false, "no way out")
			fs.BoolVar(&o.Isolate, "isolate", false, "sandboxes on it do not reach each other")
			fs.Var((*list)(&f.labels), "label", "`KEY[=VALUE]` to find the network by")
			fs.VarP((*list)(&f.options), "opt", "o", "`com.docker.network.driver.mtu=N` of its interfaces")
			fs.BoolVar(&o.Ignore, "ignore", false, "no error if there is a network of that name")
		},
		run: func(s streams, args []string) error {
			o.Name = args[0]
			if err := f.fill(&o); err != nil {
				return err
			}
			_, err := ask(s, api.VerbNetworkCreate, o)
			return err
		},
	}
}

func (f *networkCreateFlags) fill(o *api.NetworkCreate) error {
	switch {
	case !isName(o.Name):
		return invalid("network", o.Name, "expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit")
	case o.Driver != api.DefaultNetwork:
		return &flagError{"--driver " + quote(o.Driver) + " is not supported yet: bridge is the only one for an ordinary user"}
	}
	if err := f.addresses(o); err != nil {
		return err
	}
	var err error
	if o.Labels, err = labels(nil, f.labels); err != nil {
		return err
	}
	for _, opt := range f.options {
		if err := networkCreateOption(o, opt); err != nil {
			return err
		}
	}
	return nil
}

// addresses checks that each gateway and each range has a subnet of its own.
func (f *networkCreateFlags) addresses(o *api.NetworkCreate) error {
	var subnets []netip.Prefix
	for _, text := range f.subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return invalid("--subnet", text, "expected an address and the length of the prefix, like 10.90.1.0/24")
		}
		for _, other := range subnets {
			if other.Addr().Is4() == p.Addr().Is4() {
				return invalid("--subnet", text, "a network has one subnet of IPv4 and one of IPv6")
			}
		}
		subnets = append(subnets, p)
		o.Subnets = append(o.Subnets, p.String())
	}
	taken := map[string]bool{}
	within := func(flag, text string, a netip.Addr) error {
		for _, p := range subnets {
			if !p.Contains(a) {
				continue
			}
			if taken[flag+p.String()] {
				return invalid(flag, text, "the subnet "+p.String()+" has one already")
			}
			taken[flag+p.String()] = true
			return nil
		}
		return invalid(flag, text, "no matching subnet: give it with --subnet")
	}
	for _, text := range f.gateways {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return invalid("--gateway", text, "it is not an IP address")
		}
		if err := within("--gateway", text, a); err != nil {
			return err
		}
		o.Gateways = append(o.Gateways, a.String())
	}
	for _, text := range f.ranges {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return invalid("--ip-range", text, "expected an address and the length of the prefix, like 10.90.1.128/25")
		}
		if err := within("--ip-range", text, p.Addr()); err != nil {
			return err
		}
		o.Ranges = append(o.Ranges, p.String())
	}
	return nil
}

const noBridgeName = "the bridge is in a network namespace of sbx's own, where its name is of no use"

// networkCreateOption reads one --opt KEY=VALUE.
func networkCreateOption(o *api.NetworkCreate, opt string) error {
	key, value, _ := strings.Cut(opt, "=")
	why := ""
	switch key {
	case "com.docker.network.driver.mtu", "mtu":
		if n, err := strconv.ParseUint(value, 10, 16); err != nil || n == 0 {
			return invalid("--opt", opt, "expected a number of bytes")
		}
		if o.Options == nil {
			o.Options = map[string]string{}
		}
		o.Options[key] = value
		return nil
	case "com.docker.network.bridge.enable_icc", "isolate":
		yes, err := strconv.ParseBool(value)
		if err != nil {
			return invalid("--opt", opt, "expected true or false")
		}
		o.Isolate = o.Isolate || yes == (key == "isolate")
		return nil
	case "com.docker.network.bridge.name", "com.docker.network.container_iface_prefix":
		why = noBridgeName
	case "com.docker.network.bridge.host_binding_ipv4":
		why = "the address is said with each port: -p ADDRESS:HOSTPORT:PORT"
	case "com.docker.network.bridge.enable_ip_masquerade", "com.docker.network.bridge.gateway_mode_ipv4",
		"com.docker.network.bridge.gateway_mode_ipv6", "com.docker.network.bridge.inhibit_ipv4", "vlan", "parent", "mode", "metric":
		why = "an ordinary user's network leads out as the user's own traffic, or with --internal not at all"
	default:
		return invalid("--opt", opt, "expected com.docker.network.driver.mtu=BYTES")
	}
	return refused("--opt "+key, why)
}
