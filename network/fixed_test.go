package network

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where nothing can be written below /proc/sys, the interfaces have what IPv4 needs, and
// networks have IPv4 only.
func TestSettingsByInterface(t *testing.T) {
	w := newWorld(t)
	w.home.must(func() error {
		return errors.Join(os.WriteFile(procNet+"/ipv4/ip_forward", []byte("0"), 0),
			os.WriteFile(procNet+"/ipv4/conf/default/rp_filter", []byte("0"), 0),
			os.WriteFile(procNet+"/ipv4/conf/all/arp_ignore", []byte("0"), 0))
	})
	w.fixed = true
	a, b := w.box(Default), w.box(Default)
	other := w.create(Network{Name: "other"})
	c := w.box("other")
	if a.IP6.IsValid() || a.Gateway6.IsValid() || other.IPv6 {
		t.Errorf("IPv6: %+v, %+v", a.Endpoint, other)
	}
	w.reach("ping", a.place, b.IP.String())
	w.reach("ping "+internet, a.place, internet)
	w.no("another network", ping(a.place, c.IP.String()))
	w.home.must(func() error {
		want := map[string]string{"forwarding": "1", "rp_filter": "1", "arp_ignore": "1", "accept_redirects": "0",
			"send_redirects": "0", "accept_source_route": "0"}
		for _, name := range []string{"sbx0", other.Bridge, w.o.Device} {
			for setting, value := range want {
				got, err := os.ReadFile(filepath.Join(procNet, "ipv4/conf", name, setting))
				if err != nil {
					return err
				}
				if strings.TrimSpace(string(got)) != value {
					t.Errorf("%s of %s is %s", setting, name, got)
				}
			}
		}
		return nil
	})
	if _, err := w.Create(Network{Name: "six", IPv6: true}); err == nil {
		t.Error("a network with IPv6, which does not leave it")
	}
}
