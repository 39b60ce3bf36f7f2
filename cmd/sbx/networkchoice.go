package main

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"sbx/api"
)

// networkChoice is one --network: a mode, or a network and what is wanted of it.
type networkChoice struct {
	api.Attachment
	mode     string // of Isolation
	loopback bool
	mtu      int // of a way out of its own; 0: the usual one
}

func (c *networkChoice) bridge() bool { return c.mode == api.DefaultNetwork }

// parseNetwork reads NAME, podman's NAME:KEY=VALUE,..., and Docker's
// name=NAME,KEY=VALUE,... What follows pasta: may be as pasta(1) has it, too.
func parseNetwork(flag, text string) (networkChoice, error) {
	c := networkChoice{Attachment: api.Attachment{Network: text}}
	colon, equals := strings.IndexByte(text, ':'), strings.IndexByte(text, '=')
	options := ""
	switch {
	case strings.HasPrefix(text, "container:"):
		c.mode = text
		if text == "container:" {
			return c, invalid(flag, text, "expected container:NAME")
		}
		return c, nil
	case strings.HasPrefix(text, "ns:"):
		return c, invalid(flag, text, "sbx joins no namespace by its path: use container:NAME")
	case equals >= 0 && (colon < 0 || equals < colon):
		c.Network, options = "", text
	case colon >= 0:
		c.Network, options = text[:colon], text[colon+1:]
		if options == "" {
			return c, invalid(flag, text, "an option is missing behind the colon")
		}
	}
	if options != "" {
		fields, ok := splitCSV(options)
		if !ok {
			return c, invalid(flag, text, "not comma separated key=value")
		}
		if c.Network == "pasta" {
			fields = pastaFields(fields)
		}
		for _, field := range fields {
			key, value, set := strings.Cut(field, "=")
			if err := c.set(strings.ToLower(strings.TrimSpace(key)), value, set); err != nil {
				return c, invalid(flag, text, err.Error())
			}
		}
	}
	if err := c.settle(); err != nil {
		return c, invalid(flag, text, err.Error())
	}
	return c, nil
}

// settle finds the mode of a name.
func (c *networkChoice) settle() error {
	switch c.Network {
	case "none", "host", "pasta", "slirp4netns":
		c.mode = c.Network
		a := c.Attachment
		if len(a.Aliases) > 0 || a.IP+a.IP6+a.MAC+a.Ifname != "" {
			return errors.New(c.Network + " is not a network: nothing of one can be chosen")
		}
		if c.loopback && !c.ownWay() {
			return errors.New(c.Network + " has no gateway to reach the host's loopback by")
		}
		if c.mtu != 0 && !c.ownWay() {
			return errors.New(c.Network + " has no MTU to choose")
		}
		return nil
	case "default":
		c.Network = api.DefaultNetwork
	}
	c.mode = api.DefaultNetwork
	if c.mtu != 0 {
		return errors.New("the MTU of a network is chosen when it is made: sbx network create -o mtu=" + strconv.Itoa(c.mtu))
	}
	if !isName(c.Network) {
		return errors.New("expected the name of a network, none, host, pasta, slirp4netns or container:NAME")
	}
	return nil
}

// set takes one option.
func (c *networkChoice) set(key, value string, set bool) error {
	if key == "allow-host-loopback" || key == "allow_host_loopback" {
		c.loopback = true
		if !set {
			return nil
		}
		var err error
		if c.loopback, err = strconv.ParseBool(value); err != nil {
			return errors.New(key + "=" + quote(value) + " is neither true nor false")
		}
		return nil
	}
	if key == "mtu" {
		var err error
		// IPv6 needs 1280; the devices do not take more than 65520.
		if c.mtu, err = strconv.Atoi(value); err != nil || c.mtu < 1280 || c.mtu > 65520 {
			return errors.New("mtu=" + quote(value) + ": expected 1280 to 65520")
		}
		return nil
	}
	switch key {
	case "name", "alias", "ip", "ip6", "mac-address", "mac", "interface_name":
		if value == "" {
			return errors.New(key + " needs a value")
		}
	}
	a := &c.Attachment
	switch key {
	case "name":
		a.Network = value
	case "alias":
		return setAlias(a, value)
	case "ip":
		if strings.Contains(value, ":") {
			return setIP6(a, value) // podman has one key for both
		}
		return setIP4(a, value)
	case "ip6":
		return setIP6(a, value)
	case "mac-address", "mac":
		return setMAC(a, value)
	case "interface_name":
		return setIfname(a, value)
	default:
		return networkOption(key)
	}
	return nil
}

// ownWay says that the sandbox has a way out that it shares with nobody.
func (c *networkChoice) ownWay() bool { return c.mode == "pasta" || c.mode == "slirp4netns" }

// pastaFields gives the options of pasta(1) that are known here the form of all
// others: podman hands its users' on, "--mtu,1500" or "-m,1500" as well.
func pastaFields(fields []string) []string {
	var list []string
	for i := 0; i < len(fields); i++ {
		name, value, set := strings.Cut(fields[i], "=")
		switch strings.TrimSpace(name) {
		case "--map-gw":
			list = append(list, "allow-host-loopback")
		case "--no-map-gw":
			list = append(list, "allow-host-loopback=false")
		case "--mtu", "-m":
			if !set && i+1 < len(fields) {
				i++
				value = fields[i]
			}
			list = append(list, "mtu="+value)
		default:
			list = append(list, fields[i])
		}
	}
	return list
}

// networkOption says why an option is refused.
func networkOption(key string) error {
	switch key {
	case "driver-opt":
		return errors.New("driver-opt is not supported yet: the name of the interface is interface_name=NAME")
	case "gw-priority":
		return errors.New("gw-priority is not supported yet: the network that is named first has the default route")
	case "link-local-ip":
		return errors.New("link-local-ip is not supported yet: link-local addresses follow from the MAC address")
	}
	return errors.New("unknown option " + quote(key) + ": expected alias, ip, ip6, mac-address, interface_name or allow-host-loopback; for pasta and slirp4netns mtu or allow-host-loopback")
}

func setAlias(a *api.Attachment, alias string) error {
	if alias == "" || len(alias) > 253 || !isHostname(alias) { // 253: RFC 1035, without the last dot
		return errors.New("an alias has letters, digits, '.', '_' and '-', the first no '-' or '.'")
	}
	a.Aliases = append(a.Aliases, alias)
	return nil
}

func setIP4(a *api.Attachment, text string) error {
	ip, err := netip.ParseAddr(text)
	if err != nil || !ip.Is4() {
		return errors.New(quote(text) + " is not an IPv4 address")
	}
	a.IP = ip.String()
	return nil
}

func setIP6(a *api.Attachment, text string) error {
	ip, err := netip.ParseAddr(text)
	if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" {
		return errors.New(quote(text) + " is not an IPv6 address")
	}
	a.IP6 = ip.String()
	return nil
}

func setMAC(a *api.Attachment, text string) error {
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == '-' })
	if len(parts) != 6 || len(text) != 17 {
		return errors.New(quote(text) + " is not a MAC address: write it as 02:42:0a:58:00:05")
	}
	for i, part := range parts {
		b, err := strconv.ParseUint(part, 16, 8)
		if err != nil {
			return errors.New(quote(text) + " is not a MAC address: write it as 02:42:0a:58:00:05")
		}
		if i == 0 && b&1 != 0 {
			return errors.New("the address is for many receivers: the first byte must be even, such as 02")
		}
	}
	a.MAC = strings.ToLower(strings.Join(parts, ":"))
	return nil
}

func setIfname(a *api.Attachment, name string) error {
	const most = 15 // IFNAMSIZ, without the NUL
	if len(name) > most || name == "." || name == ".." || !isPlain(name) || strings.ContainsAny(name, "/:%") {
		return errors.New("interface_name " + quote(name) + ": expected up to 15 letters and digits")
	}
	a.Ifname = name
	return nil
}
