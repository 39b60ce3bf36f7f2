package network

import (
	"net/netip"
	"strings"
	"testing"
)

func subnet(prefix, rng string) Subnet {
	s := Subnet{Prefix: netip.MustParsePrefix(prefix)}
	if rng != "" {
		s.Range = netip.MustParsePrefix(rng)
	}
	s.Gateway = s.Prefix.Addr().Next()
	return s
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestPoolGivesEachOnce(t *testing.T) {
	for _, c := range []struct {
		s           Subnet
		want        int
		first, last string
	}{
		{subnet("10.1.2.0/24", ""), 253, "10.1.2.2", "10.1.2.254"},
		{subnet("10.1.2.0/30", ""), 1, "10.1.2.2", "10.1.2.2"},
		{subnet("10.1.2.0/24", "10.1.2.128/26"), 64, "10.1.2.128", "10.1.2.191"},
		{subnet("10.1.2.0/24", "10.1.2.0/30"), 2, "10.1.2.2", "10.1.2.3"},
		{subnet("10.1.2.0/24", "10.1.2.252/30"), 3, "10.1.2.252", "10.1.2.254"},
		{subnet("10.1.2.0/24", "10.1.2.1/32"), 0, "", ""}, // the gateway's
		{subnet("fd00:1::/126", ""), 2, "fd00:1::2", "fd00:1::3"},
		{subnet("0.0.0.0/30", ""), 1, "0.0.0.2", "0.0.0.2"}, // no address is before the first
	} {
		p := newPool(c.s)
		var got []netip.Addr
		for {
			a, err := p.pick("x")
			if err != nil {
				if !strings.Contains(err.Error(), "all are taken") {
					t.Error(err)
				}
				break
			}
			got = append(got, a)
		}
		if len(got) != c.want {
			t.Errorf("%v: %d addresses, want %d", c.s, len(got), c.want)
			continue
		}
		if len(got) > 0 && (got[0] != addr(c.first) || got[len(got)-1] != addr(c.last)) {
			t.Errorf("%v: %s to %s", c.s, got[0], got[len(got)-1])
		}
		seen := map[netip.Addr]bool{}
		for _, a := range got {
			if seen[a] || !c.s.Prefix.Contains(a) {
				t.Errorf("%v: %s", c.s, a)
			}
			seen[a] = true
			p.release(a)
		}
		if len(p.taken) != 1 { // the gateway
			t.Errorf("%v: left %v", c.s, p.taken)
		}
	}
}

// What was given back is the last to be given again.
func TestPoolLetsAddressesRest(t *testing.T) {
	p := newPool(subnet("10.1.2.0/28", "")) // 13 addresses
	for i := range 13 {
		a, err := p.pick("x")
		if err != nil {
			t.Fatal(err)
		}
		if want := addr("10.1.2." + itoa(2+i)); a != want {
			t.Fatalf("%s, want %s", a, want)
		}
		p.release(a)
	}
	if a, err := p.pick("x"); err != nil || a != addr("10.1.2.2") {
		t.Errorf("after all: %s %v", a, err)
	}
	// With all but one taken, that one is found.
	for range 12 {
		if _, err := p.pick("x"); err != nil {
			t.Fatal(err)
		}
	}
	p.release(addr("10.1.2.7"))
	if a, err := p.pick("x"); err != nil || a != addr("10.1.2.7") {
		t.Errorf("the only free one: %s %v", a, err)
	}
}

func TestPoolTake(t *testing.T) {
	p := newPool(subnet("10.1.2.0/24", "10.1.2.128/25"))
	if err := p.take(addr("10.1.2.9"), "web"); err != nil {
		t.Error("outside of the range:", err)
	}
	for a, want := range map[string]string{
		"10.1.2.9":   "taken by web",
		"10.1.2.1":   "taken by the gateway",
		"10.1.2.0":   "the network's own address",
		"10.1.2.255": "the broadcast address",
		"10.1.3.1":   "not in the subnet",
		"fd00::1":    "not in the subnet",
	} {
		if err := p.take(addr(a), "db"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", a, err, want)
		}
	}
	p.release(addr("10.1.2.1"))
	if err := p.take(addr("10.1.2.1"), "db"); err == nil {
		t.Error("the gateway's address was given back")
	}
	p.adopt(addr("10.1.2.200"), "old")
	if a, err := p.pick("x"); err != nil || a != addr("10.1.2.201") {
		t.Errorf("after 200: %s %v", a, err)
	}
}

func TestLastOf(t *testing.T) {
	for p, want := range map[string]string{"10.1.2.0/24": "10.1.2.255", "10.1.2.4/30": "10.1.2.7", "10.0.0.0/13": "10.7.255.255",
		"fd00::/64": "fd00::ffff:ffff:ffff:ffff"} {
		if got := lastOf(netip.MustParsePrefix(p)); got != addr(want) {
			t.Errorf("%s: %s", p, got)
		}
	}
}
