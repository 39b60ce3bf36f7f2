package view

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
)

// portBinding is an end of a published port at the host. Its names are those of
// Docker's JSON.
type portBinding struct{ HostIp, HostPort string }

// Ports is docker port: where the ports of a sandbox are published, or one of them,
// "80/tcp".
//
// The error is an *api.Error for a port that is not published.
func Ports(box api.Sandbox, port string) (string, error) {
	public := publicPorts(&box)
	if port != "" {
		bindings := public[port]
		if len(bindings) == 0 {
			return "", api.Errorf("port", Safe(box.Config.Name), "no public port %s is published", strconv.Quote(port)).
				WithHint("'sbx port %s' shows those that are", Safe(box.Config.Name))
		}
		var b strings.Builder
		for _, at := range bindings {
			b.WriteString(Safe(net.JoinHostPort(at.HostIp, at.HostPort)) + "\n")
		}
		return b.String(), nil
	}
	var b strings.Builder
	for _, name := range sortedPorts(public) {
		for _, at := range public[name] {
			b.WriteString(Safe(name+" -> "+net.JoinHostPort(at.HostIp, at.HostPort)) + "\n")
		}
	}
	return b.String(), nil
}

// ends are the addresses that a port is published on: no address means all.
func ends(host string) []string {
	if host == "" {
		return []string{"0.0.0.0", "::"}
	}
	return []string{host}
}

// portKey is "80/tcp".
func portKey(port uint16, proto string) string { return strconv.Itoa(int(port)) + "/" + proto }

// publicPorts are the ports of a running sandbox: with bindings those that are
// published, with none those that are only exposed. What shares a network namespace
// has none of its own.
func publicPorts(box *api.Sandbox) map[string][]portBinding {
	out := map[string][]portBinding{}
	switch mode := box.Config.Isolation.Network; {
	case !box.Status.Alive(), mode == "host", mode == "none", strings.HasPrefix(mode, "container:"):
		return out
	}
	for _, e := range box.Config.Net.Expose {
		out[e] = nil
	}
	for _, p := range box.Published {
		key := portKey(p.Port, p.Proto)
		for _, host := range ends(p.Host) {
			out[key] = append(out[key], portBinding{host, strconv.Itoa(int(p.HostPort))})
		}
	}
	return out
}

// sortedPorts are the keys by number, then protocol.
func sortedPorts(ports map[string][]portBinding) []string {
	list := make([]string, 0, len(ports))
	for key := range ports {
		list = append(list, key)
	}
	slices.SortFunc(list, func(a, b string) int {
		na, pa := splitPort(a)
		nb, pb := splitPort(b)
		return cmp.Or(cmp.Compare(na, nb), strings.Compare(pa, pb))
	})
	return list
}

// splitPort takes "80/tcp" apart.
func splitPort(key string) (port uint16, proto string) {
	number, proto, _ := strings.Cut(key, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		n = 0 // sorts first; such a key is in nobody's configuration
	}
	return uint16(n), proto
}

// portBindings are the ports that were asked for.
func portBindings(ports []api.Port) map[string][]portBinding {
	out := map[string][]portBinding{}
	for _, p := range ports {
		host := ""
		switch {
		case p.HostLast != 0:
			host = strconv.Itoa(int(p.HostPort)) + "-" + strconv.Itoa(int(p.HostLast))
		case p.HostPort != 0:
			host = strconv.Itoa(int(p.HostPort))
		}
		key := portKey(p.Port, p.Proto)
		out[key] = append(out[key], portBinding{p.Host, host})
	}
	return out
}

// exposedPorts are those that the image, --expose and --publish name.
func exposedPorts(n *api.Net) map[string]struct{} {
	if len(n.Expose)+len(n.Ports) == 0 {
		return nil
	}
	out := map[string]struct{}{}
	for _, key := range n.Expose {
		out[key] = struct{}{}
	}
	for _, p := range n.Ports {
		out[portKey(p.Port, p.Proto)] = struct{}{}
	}
	return out
}

// portsColumn is the PORTS of ps: neighbours that are published at their own number
// are one range. docker/cli cli/command/formatter/container.go, DisplayablePorts.
func portsColumn(box *api.Sandbox) string {
	public := publicPorts(box)
	if len(public) == 0 {
		return ""
	}
	type group struct {
		ip, proto   string
		first, last uint16
	}
	groups := map[string]*group{} // the last one of each address and protocol
	var order []*group
	var moved []string
	add := func(ip string, port uint16, proto string) {
		g := groups[ip+"/"+proto]
		if g == nil || g.last+1 != port {
			g = &group{ip, proto, port, port}
			groups[ip+"/"+proto] = g
			order = append(order, g)
		}
		g.last = port
	}
	for _, key := range sortedPorts(public) {
		port, proto := splitPort(key)
		if len(public[key]) == 0 {
			add("", port, proto)
		}
		for _, at := range public[key] {
			if at.HostPort == strconv.Itoa(int(port)) {
				add(at.HostIp, port, proto)
			} else {
				moved = append(moved, net.JoinHostPort(at.HostIp, at.HostPort)+"->"+key)
			}
		}
	}
	var cells []string
	for _, g := range order {
		text := strconv.Itoa(int(g.first))
		if g.first != g.last {
			text += "-" + strconv.Itoa(int(g.last))
		}
		if g.ip != "" {
			text = net.JoinHostPort(g.ip, text) + "->" + text
		}
		cells = append(cells, text+"/"+g.proto)
	}
	return strings.Join(append(cells, moved...), ", ")
}
