package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbx/api"
)

func TestCreateFillsIn(t *testing.T) {
	w := newWorld(t)
	def, err := w.Find("")
	if err != nil {
		t.Fatal(err)
	}
	host := netip.MustParsePrefix(hostAddress).Masked()
	if def.Name != Default || def.Bridge != "sbx0" || len(def.ID) != 64 || def.MTU != 65520 || !def.IPv6 || len(def.Subnets) != 2 {
		t.Errorf("%+v", def)
	}
	n := w.create(Network{Name: "mine", Labels: map[string]string{"a": "b"}})
	if n.IPv6 || len(n.Subnets) != 1 || !strings.HasPrefix(n.Bridge, "net-") || n.Driver != "bridge" || n.Labels["a"] != "b" {
		t.Errorf("%+v", n)
	}
	for _, n := range []Network{def, n} {
		for _, s := range n.Subnets {
			if s.Prefix.Overlaps(host) || !s.Prefix.Addr().IsPrivate() || s.Gateway != s.Prefix.Addr().Next() {
				t.Errorf("%s: %+v", n.Name, s)
			}
		}
	}
	if def.Subnets[0].Prefix.Overlaps(n.Subnets[0].Prefix) {
		t.Error("overlap:", def.Subnets[0], n.Subnets[0])
	}
	six := w.create(Network{Name: "six", Subnets: []Subnet{{Prefix: netip.MustParsePrefix("fd12::/64"), Gateway: addr("fd12::5")}}})
	if !six.IPv6 || six.subnet(true).Gateway != addr("fd12::5") || six.subnet(false) == nil {
		t.Errorf("%+v", six)
	}
	// All of it is there after a restart.
	before := w.Networks()
	w.reopen()
	after := w.Networks()
	if len(after) != 3 || len(before) != 3 {
		t.Fatalf("%d before, %d after", len(before), len(after))
	}
	for i := range after {
		if after[i].ID != before[i].ID || after[i].Subnets[0] != before[i].Subnets[0] || !after[i].Created.Equal(before[i].Created) {
			t.Errorf("%+v\n%+v", before[i], after[i])
		}
	}
	for _, ref := range []string{"mine", n.ID, n.ID[:12]} {
		if got, err := w.Find(ref); err != nil || got.Name != "mine" {
			t.Errorf("%s: %v %v", ref, got.Name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(w.o.Dir, ".new*")); len(left) > 0 {
		t.Error("left", left)
	}
}

func TestCreateRefuses(t *testing.T) {
	w := newWorld(t)
	taken := w.create(Network{Name: "taken"}).Subnets[0].Prefix.String()
	with := func(prefix, gateway, rng string) Network {
		s := Subnet{}
		s.Prefix, _ = netip.ParsePrefix(prefix)
		s.Gateway, _ = netip.ParseAddr(gateway)
		s.Range, _ = netip.ParsePrefix(rng)
		return Network{Name: "new", Subnets: []Subnet{s}}
	}
	two := with("10.66.1.0/24", "", "")
	two.Subnets = append(two.Subnets, Subnet{Prefix: netip.MustParsePrefix("10.66.2.0/24")})
	for want, n := range map[string]Network{
		"it exists":                            {Name: "taken"},
		"reserved":                             {Name: "host"},
		"is reserved":                          {Name: Default},
		"two characters":                       {Name: "x"},
		"only letters":                         {Name: "a\x1b[2Jb"},
		"begins with":                          {Name: "../x"},
		"no driver \"macvlan\"":                {Name: "new", Driver: "macvlan"},
		"no option":                            {Name: "new", Options: map[string]string{"colour": "red"}},
		"no value for it":                      {Name: "new", Options: map[string]string{"mtu": "large"}},
		"an MTU of 90000":                      {Name: "new", MTU: 90000},
		"can be 1280":                          {Name: "new", MTU: 1000, IPv6: true},
		"not an address":                       with("bogus", "", ""),
		"too small":                            with("10.66.1.0/31", "", ""),
		"too large":                            with("10.0.0.0/7", "", ""),
		"did you mean 10.66.1.0":               with("10.66.1.9/24", "", ""),
		"loopback":                             with("127.9.0.0/16", "", ""),
		"link-local":                           with("169.254.7.0/24", "", ""),
		"multicast":                            with("224.1.0.0/16", "", ""),
		"special addresses":                    with("::1:0:0/96", "", ""),
		"link-local addresses":                 with("fe80:1::/64", "", ""),
		"network taken":                        with(taken, "", ""),
		"a route of the host, 10.88.128.0/17":  with("10.88.201.0/24", "", ""),
		"a route of the host, " + hostRoute:    with("10.77.5.0/24", "", ""),
		"the way out":                          with("10.0.2.0/25", "", ""),
		"gateway 10.66.2.1: not in the subnet": with("10.66.1.0/24", "10.66.2.1", ""),
		"gateway 10.66.1.255: it is the broadcast":          with("10.66.1.0/24", "10.66.1.255", ""),
		"range 10.66.2.0/25: not in the subnet":             with("10.66.1.0/24", "", "10.66.2.0/25"),
		"range 10.66.0.0/16: not in the subnet":             with("10.66.1.0/24", "", "10.66.0.0/16"),
		"10.66.1.0/24 and 10.66.2.0/24: one subnet each of": two,
	} {
		_, err := w.Create(n)
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%+v: %v, want %q", n, err, want)
		}
		if _, ok := err.(*api.Error); !ok {
			t.Errorf("%T", err)
		}
	}
	if got := w.Networks(); len(got) != 1 {
		t.Errorf("left %+v", got)
	}
	if files, _ := os.ReadDir(w.o.Dir); len(files) != 1 {
		t.Errorf("left %v", files)
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "mine", IPv6: true})
	b := w.box("mine")
	for ref, want := range map[string]string{
		"mine":  "in use by " + b.SandboxName,
		Default: "it is the default network",
		"other": "there is none",
	} {
		if err := w.Remove(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
	w.yes("detach", w.Detach(b.Endpoint))
	w.o.Used = func(network string) []string { return []string{"stopped"} }
	w.reopen()
	w.yes("recover", w.Recover(nil))
	if err := w.Remove("mine"); err == nil || !strings.Contains(err.Error(), "in use by stopped") {
		t.Error(err)
	}
	w.Switch.o.Used = nil
	w.yes("remove", w.Remove("mine"))
	w.empty()
	if files, _ := os.ReadDir(w.o.Dir); len(files) != 0 {
		t.Errorf("left %v", files)
	}
}

// A record that cannot be read is not as if there was none.
func TestDamagedRecord(t *testing.T) {
	w := newWorld(t)
	w.create(Network{Name: "mine"})
	file := filepath.Join(w.o.Dir, "mine.json")
	for _, text := range []string{"", "{", "{}", `{"name":"other"}`, "[]"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(w.o)
		if err == nil || !strings.Contains(err.Error(), "mine.json") {
			t.Errorf("%q: %v", text, err)
		}
		if s != nil {
			s.Close()
		}
	}
}

func TestFreeSubnetIsFree(t *testing.T) {
	var all []used
	for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} {
		got, err := freeSubnet(24, all)
		if err != nil || collides(got, all) != "" || !got.Addr().IsPrivate() {
			t.Errorf("%v: %v %v", all, got, err)
		}
		all = append(all, used{netip.MustParsePrefix(p), "a VPN"})
	}
	got, err := freeSubnet(24, all)
	if err != nil || got.String() != "198.18.0.0/24" {
		t.Errorf("%v: %v %v", all, got, err)
	}
	all = append(all, used{netip.MustParsePrefix("0.0.0.0/0"), "everything"})
	if got, err := freeSubnet(24, all); err == nil {
		t.Error(got)
	}
}
