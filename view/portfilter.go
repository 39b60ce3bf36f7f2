package view

import (
	"slices"
	"strconv"
	"strings"

	"sbx/api"
)

// portRange is the value of the filters publish and expose: PORT[-PORT][/PROTO].
type portRange struct {
	first, last uint64
	proto       string
}

func addPorts(list []portRange, key, value string) ([]portRange, error) {
	ports, proto, given := strings.Cut(value, "/")
	if !given {
		proto = "tcp"
	}
	from, to, two := strings.Cut(ports, "-")
	if !two {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || last < first {
		return nil, filterError(key+"="+value, "a port is written PORT, PORT/udp or PORT-PORT")
	}
	return append(list, portRange{first, last, strings.ToLower(proto)}), nil
}

func (r portRange) has(port uint16, proto string) bool {
	return uint64(port) >= r.first && uint64(port) <= r.last && proto == r.proto
}

// published says that a port of the host is in the range.
func (r portRange) published(box *api.Sandbox) bool {
	return slices.ContainsFunc(box.Published, func(p api.Port) bool { return r.has(p.HostPort, p.Proto) })
}

// exposed says that a port of the sandbox is.
func (r portRange) exposed(box *api.Sandbox) bool {
	for key := range exposedPorts(&box.Config.Net) {
		if r.has(splitPort(key)) {
			return true
		}
	}
	return false
}

// onNetwork takes the name of a network, or its id, of one that the sandbox is on.
func onNetwork(box *api.Sandbox, network string) bool {
	const least = 4 // digits, so that a name such as "fe" is not taken for an id
	return slices.Contains(networkNames(box), network) ||
		len(network) >= least && slices.ContainsFunc(box.Networks, func(j api.Joined) bool { return strings.HasPrefix(j.NetworkID, network) })
}
