package main

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
)

// publishedPorts reads all --publish. No port of the host may be in two of them.
func publishedPorts(texts []string) ([]api.Port, error) {
	var ports []api.Port
	type place struct {
		host, proto string
		port        uint16
	}
	taken := map[place]bool{}
	for _, text := range texts {
		list, err := parsePublish(text)
		if err != nil {
			return nil, invalid("--publish", text, err.Error())
		}
		for _, p := range list {
			at := place{p.Host, p.Proto, p.HostPort}
			if p.HostPort != 0 && p.HostLast == 0 {
				if taken[at] {
					return nil, invalid("--publish", text, "the host's port "+portText(p.HostPort, p.Proto)+" is published twice")
				}
				taken[at] = true
			}
		}
		ports = append(ports, list...)
	}
	return ports, nil
}

func portText(port uint16, proto string) string { return strconv.Itoa(int(port)) + "/" + proto }

// parsePublish reads [[ADDRESS:]HOSTPORT:]PORT[/PROTO], where both ports may be
// ranges, and Docker's target=PORT,published=HOSTPORT,protocol=PROTO.
func parsePublish(text string) ([]api.Port, error) {
	if strings.Contains(text, "=") {
		var err error
		if text, err = publishFields(text); err != nil {
			return nil, err
		}
	}
	rest, inside := "", text
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		rest, inside = text[:i], text[i+1:]
	}
	first, last, proto, err := parsePorts(inside)
	if err != nil {
		return nil, err
	}
	address, outside := "", rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		address, outside = rest[:i], rest[i+1:]
	}
	if address, err = publishAddress(address); err != nil {
		return nil, err
	}
	var from, to uint16
	if outside != "" {
		if from, to, err = portRange(outside, 0); err != nil {
			return nil, errors.New("the host's port: " + err.Error())
		}
	}
	return spread(api.Port{Host: address, Port: first, Proto: proto}, last, from, to)
}

// spread makes a port of each in the range from p.Port to last. From and to are the
// host's, 0 for any.
func spread(p api.Port, last, from, to uint16) ([]api.Port, error) {
	if p.Port == last && from != to {
		p.HostPort, p.HostLast = from, to
		if from == 0 {
			return nil, errors.New("a range of the host's ports begins at 1")
		}
		return []api.Port{p}, nil
	}
	if from != 0 && to-from != last-p.Port {
		return nil, errors.New("invalid ranges specified for container and host Ports: " +
			strconv.Itoa(int(last-p.Port)+1) + " and " + strconv.Itoa(int(to-from)+1) + " ports")
	}
	ports := make([]api.Port, 0, int(last-p.Port)+1)
	for i := range int(last-p.Port) + 1 {
		one := p
		one.Port += uint16(i)
		if from != 0 {
			one.HostPort = from + uint16(i)
		}
		ports = append(ports, one)
	}
	return ports, nil
}

// publishFields turns Docker's long form into the short one.
func publishFields(text string) (string, error) {
	fields, ok := splitCSV(text)
	if !ok {
		return "", errors.New("not comma separated key=value")
	}
	var target, published, proto string
	for _, field := range fields {
		key, value, set := strings.Cut(field, "=")
		switch key {
		case "target":
			target = value
		case "published":
			published = value
		case "protocol":
			proto = "/" + value
		default:
			return "", errors.New("unknown option " + quote(key) + ": expected target, published or protocol")
		}
		if !set || value == "" {
			return "", errors.New(key + " needs a value")
		}
	}
	if published != "" {
		published += ":"
	}
	return published + target + proto, nil
}

func publishAddress(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if in, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(in, "]") {
		text = strings.TrimSuffix(in, "]")
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return "", errors.New("invalid IP address: " + quote(text))
	}
	return a.Unmap().String(), nil
}

// parsePorts reads PORT[-PORT][/PROTO] of a sandbox.
func parsePorts(text string) (first, last uint16, proto string, err error) {
	ports, proto, given := strings.Cut(text, "/")
	if !given {
		proto = "tcp"
	}
	switch proto = strings.ToLower(proto); proto {
	case "tcp", "udp":
	case "sctp":
		return 0, 0, "", errors.New("sctp is not supported: pasta, slirp4netns and sbx carry TCP and UDP only")
	default:
		return 0, 0, "", errors.New("invalid proto: " + quote(proto) + ": expected tcp or udp")
	}
	first, last, err = portRange(ports, 1)
	return first, last, proto, err
}

// portRange reads PORT or PORT-PORT, no less than least.
func portRange(text string, least uint64) (first, last uint16, err error) {
	from, to, two := strings.Cut(text, "-")
	if !two {
		to = from
	}
	a, err := strconv.ParseUint(from, 10, 16)
	if err != nil || a < least {
		return 0, 0, errors.New("invalid port: " + quote(from) + ": expected " + strconv.Itoa(int(least)) + " to 65535")
	}
	b, err := strconv.ParseUint(to, 10, 16)
	switch {
	case err != nil:
		return 0, 0, errors.New("invalid port: " + quote(to) + ": expected " + strconv.Itoa(int(least)) + " to 65535")
	case b < a:
		return 0, 0, errors.New("invalid range: " + quote(text) + ": it ends before it begins")
	}
	return uint16(a), uint16(b), nil
}

// exposedPorts reads all --expose as "80/tcp", each once.
func exposedPorts(texts []string) ([]string, error) {
	var list []string
	seen := map[string]bool{}
	for _, text := range texts {
		if strings.Contains(text, ":") {
			return nil, invalid("--expose", text, "invalid port format: expected PORT[-PORT][/PROTO]; --publish gives a port of the host")
		}
		first, last, proto, err := parsePorts(text)
		if err != nil {
			return nil, invalid("--expose", text, err.Error())
		}
		for port := int(first); port <= int(last); port++ {
			if p := portText(uint16(port), proto); !seen[p] {
				seen[p] = true
				list = append(list, p)
			}
		}
	}
	return slices.Clip(list), nil
}
