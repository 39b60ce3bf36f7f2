package main

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// networkFlags say which networks the sandbox is on, and what of it is reached from
// outside.
type networkFlags struct {
	networks []string
	placeFlags
	dns, dnsSearch, dnsOptions []string
	addHosts                   []string
	publish, expose            []string
	publishAll                 bool
}

func (f *networkFlags) add(fs *pflag.FlagSet) {
	fs.Var((*list)(&f.networks), "network", "`NETWORK` to be on, LAB or LAB:ip=...,alias=...; or none, host, pasta, slirp4netns, container:NAME")
	f.placeFlags.add(fs, "network-alias")
	fs.Var((*list)(&f.dns), "dns", "`ADDRESS` of a name server, instead of the host's")
	fs.Var((*list)(&f.dnsSearch), "dns-search", "`DOMAIN` to look names up in; . for none")
	fs.Var((*list)(&f.dnsOptions), "dns-option", "`OPTION` of the resolver, see resolv.conf(5)")
	fs.Var((*list)(&f.addHosts), "add-host", "`NAME:ADDRESS` for /etc/hosts; host-gateway is the host's address")
	fs.VarP((*list)(&f.publish), "publish", "p", "`[[ADDRESS:]HOSTPORT:]PORT[/udp]` make a port reachable at the host; also ranges")
	fs.BoolVarP(&f.publishAll, "publish-all", "P", false, "publish all exposed ports at free ports")
	fs.Var((*list)(&f.expose), "expose", "`PORT[/udp]` that the program serves; also ranges")
}

// given says that there is anything to read.
func (f *networkFlags) given() bool {
	lists := len(f.networks) + len(f.dns) + len(f.dnsSearch) + len(f.dnsOptions) + len(f.addHosts) + len(f.publish) + len(f.expose)
	return lists > 0 || f.publishAll || !f.empty()
}

// network gives the mode for Isolation, and the rest.
func (f *networkFlags) network(hostname string) (mode string, n api.Net, err error) {
	if !f.given() {
		return "", n, nil
	}
	if mode, err = f.attach(&n); err != nil {
		return "", n, err
	}
	n.PublishAll = f.publishAll
	if n.Ports, err = publishedPorts(f.publish); err != nil {
		return "", n, err
	}
	if n.Expose, err = exposedPorts(f.expose); err != nil {
		return "", n, err
	}
	if err := f.names(&n); err != nil {
		return "", n, err
	}
	return mode, n, f.check(mode, n, hostname)
}

// attach reads --network, and puts what the other flags say of a network on the
// first one.
func (f *networkFlags) attach(n *api.Net) (mode string, err error) {
	for _, text := range f.networks {
		c, err := parseNetwork("--network", text)
		switch {
		case err != nil:
			return "", err
		case len(f.networks) > 1 && !c.bridge():
			return "", invalid("--network", text, "conflicting options: cannot attach both user-defined and non-user-defined network-modes")
		case slices.ContainsFunc(n.Endpoints, func(a api.Attachment) bool { return a.Network == c.Network }):
			return "", invalid("--network", text, "network "+quote(c.Network)+" is specified multiple times")
		}
		n.HostLoopback = n.HostLoopback || c.loopback
		n.MTU = c.mtu
		if mode = c.mode; c.bridge() {
			n.Endpoints = append(n.Endpoints, c.Attachment)
		}
	}
	if f.empty() {
		return mode, settleDefault(n)
	}
	if mode != "" && mode != api.DefaultNetwork {
		return "", f.misplaced()
	}
	if len(n.Endpoints) == 0 {
		n.Endpoints = []api.Attachment{{Network: api.DefaultNetwork}}
	}
	if err := f.put(&n.Endpoints[0], "--network-alias"); err != nil {
		return "", err
	}
	return api.DefaultNetwork, settleDefault(n)
}

// names reads what the sandbox looks names up by.
func (f *networkFlags) names(n *api.Net) error {
	for _, text := range f.dns {
		a, err := netip.ParseAddr(text)
		if err != nil || !isPlain(text) {
			return invalid("--dns", text, "it is not an IP address")
		}
		n.DNS = append(n.DNS, a.String())
	}
	for _, words := range []struct {
		flag string
		list []string
	}{{"--dns-search", f.dnsSearch}, {"--dns-option", f.dnsOptions}} {
		for _, w := range words.list {
			if w == "" || !isPlain(w) {
				return invalid(words.flag, w, "expected one word; give the flag once for each")
			}
		}
	}
	n.DNSSearch, n.DNSOptions = f.dnsSearch, f.dnsOptions
	for _, text := range f.addHosts {
		line, err := parseAddHost(text)
		if err != nil {
			return err
		}
		n.AddHosts = append(n.AddHosts, line)
	}
	return nil
}

// parseAddHost reads NAME:ADDRESS, or NAME=ADDRESS, and gives the first form.
func parseAddHost(text string) (string, error) {
	name, address := text, ""
	if i := strings.IndexAny(text, ":="); i > 0 {
		name, address = text[:i], text[i+1:]
	}
	switch {
	case address == "":
		return "", invalid("--add-host", text, "expected NAME:ADDRESS or NAME:host-gateway")
	case !isPlain(name) || len(name) > 255 || strings.Contains(name, "#"):
		return "", invalid("--add-host", text, quote(name)+" is not a name")
	case address == "host-gateway":
		return name + ":" + address, nil
	}
	if in, ok := strings.CutPrefix(address, "["); ok && strings.HasSuffix(in, "]") {
		address = strings.TrimSuffix(in, "]")
	}
	a, err := netip.ParseAddr(address)
	if err != nil || !isPlain(address) {
		return "", invalid("--add-host", text, quote(address)+" is not an IP address")
	}
	return name + ":" + a.String(), nil
}

// isPlain says that a text is printable ASCII without blanks: one word of one line
// of a file.
func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// check refuses what the mode leaves no room for, in Docker's words where it
// refuses the same.
func (f *networkFlags) check(mode string, n api.Net, hostname string) error {
	published := len(n.Ports) > 0 || n.PublishAll
	if strings.HasPrefix(mode, "container:") {
		switch {
		case hostname != "":
			return &flagError{"conflicting options: hostname and the network mode"}
		case len(n.DNS)+len(n.DNSSearch)+len(n.DNSOptions) > 0:
			return &flagError{"conflicting options: dns and the network mode"}
		case len(n.AddHosts) > 0:
			return &flagError{"conflicting options: custom host-to-IP mapping and the network mode"}
		case published:
			return &flagError{"conflicting options: port publishing and the container type network mode"}
		case len(n.Expose) > 0:
			return &flagError{"conflicting options: port exposing and the container type network mode"}
		}
	}
	switch {
	case published && mode == "host":
		return &flagError{"--publish and --network host exclude each other: what the program listens on is the host's own already"}
	case published && mode == "none":
		return &flagError{"--publish and --network none exclude each other: there is no way in"}
	}
	return nil
}
