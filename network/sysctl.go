package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// setting is a file below procNet and what belongs there.
type setting struct{ name, value string }

// settings of the switch. The bridges, made later, inherit those of "default".
// The first one resets others.
var settings = []setting{
	{"ipv4/ip_forward", "1"},
	// A packet comes in where an answer to it would go out, but for the shortcut, which
	// says so itself: the larger one of both values counts.
	{"ipv4/conf/all/rp_filter", "0"}, {"ipv4/conf/default/rp_filter", "1"},
	// Nobody asks by ARP for the addresses of other networks.
	{"ipv4/conf/all/arp_ignore", "1"},
	{"ipv4/conf/all/send_redirects", "0"}, {"ipv4/conf/default/send_redirects", "0"},
	{"ipv4/conf/all/accept_redirects", "0"}, {"ipv4/conf/default/accept_redirects", "0"},
	{"ipv4/conf/all/accept_source_route", "0"},
	// The way out may come later, see hearRouters. Bridges get 0.
	{"ipv6/conf/default/accept_ra", "2"},
	{"ipv6/conf/all/forwarding", "1"},
	{"ipv6/conf/all/accept_redirects", "0"}, {"ipv6/conf/default/accept_redirects", "0"},
	// With br_netfilter, on unless switched off: frames are no packets.
	{"bridge/bridge-nf-call-arptables", "0"}, {"bridge/bridge-nf-call-iptables", "0"}, {"bridge/bridge-nf-call-ip6tables", "0"},
}

const procNet = "/proc/sys/net"

// hearRouters is about an interface: slirp4netns announces itself as the router of
// IPv6, which who is a router too hears with 2 only.
func hearRouters(name string, hear bool) setting {
	value := "0"
	if hear {
		value = "2"
	}
	return setting{"ipv6/conf/" + name + "/accept_ra", value}
}

// strict is the default for an interface that was there before.
func strict(name string) setting { return setting{"ipv4/conf/" + name + "/rp_filter", "1"} }

// errFixed is that a setting has another value than it should, and cannot be written: in
// some containers /proc/sys is read-only.
var errFixed = errors.New("/proc/sys/net cannot be written to")

// write needs to be called in the switch: whose settings these files are depends on
// who looks.
func write(settings ...setting) error {
	for _, s := range settings {
		file := filepath.Join(procNet, s.name)
		err := os.WriteFile(file, []byte(s.value), 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the kernel lacks IPv6 or br_netfilter, or there is no such interface
		}
		if err == nil {
			continue
		}
		if now, readErr := os.ReadFile(file); readErr != nil || strings.TrimSpace(string(now)) != s.value {
			return fmt.Errorf("%w: %w", errFixed, err)
		}
	}
	return nil
}

// hasIPv6 says whether the kernel does IPv6 at all.
func hasIPv6() bool {
	_, err := os.Stat(filepath.Join(procNet, "ipv6"))
	return err == nil
}
