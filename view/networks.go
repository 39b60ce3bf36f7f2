package view

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// Network is what lists of networks, and inspect, are made from.
type Network struct {
	ID       string // hex
	Name     string
	Driver   string
	Bridge   string // its interface
	Subnets  []Subnet
	IPv6     bool
	Internal bool
	Isolate  bool
	MTU      int
	Labels   map[string]string
	Options  map[string]string
	Created  time.Time
}

// Subnet is one of a network's.
type Subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
	Range   netip.Prefix // not valid: the whole prefix
}

const (
	networkScope  = "local"
	networksUsual = `{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}`
	networksRaw   = `network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n`
)

// Networks is docker network ls: the networks that the request selects, by name.
// The sandboxes are asked who is on them.
//
// The error is an *api.Error and names the filter or the placeholder at fault.
func Networks(all []Network, boxes []api.Sandbox, req api.NetworkList) (string, error) {
	f, err := parseNetworkFilter(req.Filters, time.Time{}, "dangling", "driver", "id", "label", "name", "scope", "type")
	if err != nil {
		return "", err
	}
	s := sheet{
		titles: header{
			"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
			"Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
		},
		usual: networksUsual, raw: networksRaw, quiet: listQuiet,
	}
	var rows []any
	for _, n := range byName(all) {
		if f.match(n, boxes) {
			rows = append(rows, &networkRow{n: n, trunc: !req.NoTrunc})
		}
	}
	return s.render(rows, req.Format, req.Quiet)
}

// Prunable are the networks that network prune removes: a user made them, no
// sandbox is or would be on them, and the filters select them.
//
// The error is an *api.Error and names the filter at fault.
func Prunable(all []Network, boxes []api.Sandbox, req api.NetworkPrune, now time.Time) ([]Network, error) {
	f, err := parseNetworkFilter(req.Filters, now, "label", "label!", "until")
	if err != nil {
		return nil, err
	}
	unused := true
	f.dangling = &unused
	var list []Network
	for _, n := range byName(all) {
		if f.match(n, boxes) {
			list = append(list, n)
		}
	}
	return list, nil
}

func byName(all []Network) []Network {
	list := slices.Clone(all)
	slices.SortFunc(list, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// builtin says that no user made the network.
func (n *Network) builtin() bool { return n.Name == api.DefaultNetwork }

// used says that a sandbox is on the network, or will be when it starts.
func (n *Network) used(boxes []api.Sandbox) bool {
	return slices.ContainsFunc(boxes, func(b api.Sandbox) bool {
		return slices.ContainsFunc(b.Networks, func(j api.Joined) bool { return j.Network == n.Name }) ||
			slices.ContainsFunc(b.Config.Net.Endpoints, func(a api.Attachment) bool { return n.named(a.Network) })
	})
}

// named says that a user may mean the network by a word: its name, its id, or the
// beginning of that.
func (n *Network) named(word string) bool {
	const least = 4 // digits, so that a name such as "fe" is not taken for an id
	return word == n.Name || len(word) >= least && strings.HasPrefix(n.ID, word)
}

// networkRow is one line of network ls. Its exported methods are Docker's
// placeholders.
type networkRow struct {
	n     Network
	trunc bool
}

func (r *networkRow) ID() string {
	if r.trunc {
		return Safe(shortID(r.n.ID))
	}
	return Safe(r.n.ID)
}

func (r *networkRow) Name() string      { return Safe(r.n.Name) }
func (r *networkRow) Driver() string    { return Safe(r.n.Driver) }
func (r *networkRow) Scope() string     { return networkScope }
func (r *networkRow) IPv4() string      { return "true" } // all of ours have it
func (r *networkRow) IPv6() string      { return strconv.FormatBool(r.n.IPv6) }
func (r *networkRow) Internal() string  { return strconv.FormatBool(r.n.Internal) }
func (r *networkRow) Labels() string    { return Safe(labelText(r.n.Labels)) }
func (r *networkRow) CreatedAt() string { return r.n.Created.Local().String() }

// Label is the value of one label.
func (r *networkRow) Label(key string) string { return Safe(r.n.Labels[key]) }

// MarshalJSON gives the object that docker network ls --format json prints.
func (r *networkRow) MarshalJSON() ([]byte, error) {
	text, err := encode(map[string]string{
		"ID": r.ID(), "Name": r.n.Name, "Driver": r.n.Driver, "Scope": r.Scope(), "IPv4": r.IPv4(), "IPv6": r.IPv6(),
		"Internal": r.Internal(), "Labels": labelText(r.n.Labels), "CreatedAt": r.CreatedAt(),
	}, "")
	return []byte(text), err
}

// labelText is labels as lists show them.
func labelText(labels map[string]string) string {
	list := make([]string, 0, len(labels))
	for k, v := range labels {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}
