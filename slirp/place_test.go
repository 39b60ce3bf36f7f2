package slirp

import (
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
)

// A virtual machine is often at 10.0.2.15: what is beside it must stay in reach.
func TestPlaceIsNotWhereTheHostIs(t *testing.T) {
	if os.Getenv(ownNetwork) == "" {
		t.Skip("needs a network namespace")
	}
	if p := findPlace(); p.v4 != places4[0] || p.v6 != places6[0] {
		t.Errorf("%+v", p)
	}
	hostRoute(t)
	link, err := netlink.LinkByName("uplink")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"10.0.2.15/24", "fd00::15/64"} {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			t.Fatal(err)
		}
	}
	if p := findPlace(); p.v4 != places4[1] || p.v6 != places6[1] {
		t.Errorf("%+v", p)
	}
}

func TestPlace(t *testing.T) {
	p := place{netip.MustParsePrefix("10.0.2.0/24"), netip.MustParsePrefix("fd00::/64")}
	for got, want := range map[netip.Addr]string{
		p.address(): "10.0.2.100", p.gateway(): "10.0.2.2", p.address6(): "fd00::100", p.gateway6(): "fd00::2",
	} {
		if got.String() != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	if got := free(places4, all); got != places4[0] {
		t.Errorf("with nothing free: %s", got)
	}
}
