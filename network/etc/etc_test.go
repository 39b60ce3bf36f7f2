package etc

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addrs(list string) []netip.Addr {
	var l []netip.Addr
	for _, f := range strings.Fields(list) {
		l = append(l, netip.MustParseAddr(f))
	}
	return l
}

func TestParse(t *testing.T) {
	r := Parse([]byte("# nameserver 9.9.9.9\n;nameserver 9.9.9.9\n\n" +
		"nameserver 127.0.0.53\r\n" +
		"nameserver\tfe80::1%eth0   # trailing words\n" +
		"  nameserver 10.0.0.1\n" +
		"nameserver 127.0.0.53\n" +
		"nameserver not.an.address\nnameserver\nnameserver 1.2.3.4.5\nnameserver fe80::2%a\x1bb\n" +
		"domain first.example\nsearch a.example b.example a.example . bad\x07word\n" +
		"options ndots:1 edns0\noptions ndots:2 trust-ad timeout:99 attempts:x\n" +
		"sortlist 1.2.3.0/24\nnonsense\nlookup file bind\nnameserver 10.0.0.2"))
	if want := addrs("127.0.0.53 fe80::1%eth0 10.0.0.1 10.0.0.2"); !slices.Equal(r.Servers, want) {
		t.Errorf("servers %v", r.Servers)
	}
	if want := []string{"a.example", "b.example"}; !slices.Equal(r.Search, want) {
		t.Errorf("search %q", r.Search)
	}
	if want := []string{"edns0", "ndots:2", "trust-ad", "timeout:99", "attempts:x"}; !slices.Equal(r.Options, want) {
		t.Errorf("options %q", r.Options)
	}
	for _, c := range []struct {
		name      string
		low, want int
	}{{"timeout", 1, 30}, {"ndots", 0, 2}, {"ndots", 5, 5}, {"attempts", 1, 7}, {"edns0", 1, 7}, {"nothing", 1, 7}} {
		if got := r.Number(c.name, 7, c.low, 30); got != c.want {
			t.Errorf("%s, no less than %d: %d, want %d", c.name, c.low, got, c.want)
		}
	}
	if got := Parse([]byte("search a b\ndomain c d\n")).Search; !slices.Equal(got, []string{"c"}) {
		t.Errorf("domain after search: %q", got)
	}
	if r := Parse(nil); r.Servers != nil || r.Search != nil || r.Options != nil {
		t.Errorf("of nothing: %+v", r)
	}
}

const hostFile = "# the host's\nnameserver 192.168.1.1\nnameserver fe80::1%wlan0\nsearch corp.example lan\n" +
	"options edns0 trust-ad timeout:3 attempts:1 rotate\n"

const banner = "# Made by sbx; follows the host's resolv.conf and the flags of the sandbox.\n"

func TestResolv(t *testing.T) {
	gateways := addrs("10.89.0.1 10.89.1.1 fd00::1 10.89.2.1")
	for _, c := range []struct {
		name string
		file ResolvFile
		want string
	}{
		{"bridge", ResolvFile{Kind: Bridge, Gateways: gateways[:1]},
			"nameserver 10.89.0.1\nsearch corp.example lan\noptions edns0 trust-ad\n"},
		{"bridge with servers", ResolvFile{Kind: Bridge, Gateways: gateways[:1], DNS: addrs("9.9.9.9 2620:fe::9")},
			"nameserver 9.9.9.9\nnameserver 2620:fe::9\nsearch corp.example lan\noptions edns0\n"},
		{"named", ResolvFile{Kind: Named, Gateways: gateways},
			"nameserver 10.89.0.1\nnameserver 10.89.1.1\nnameserver fd00::1\nsearch corp.example lan\noptions edns0 trust-ad ndots:0\n"},
		{"named with servers", ResolvFile{Kind: Named, Gateways: gateways[:1], DNS: addrs("9.9.9.9")},
			"nameserver 10.89.0.1\nsearch corp.example lan\noptions edns0 ndots:0\n"},
		{"named with everything", ResolvFile{Kind: Named, Gateways: gateways[:1], Search: []string{"my.example"}, Options: []string{"ndots:5", "attempts:9"}},
			"nameserver 10.89.0.1\nsearch my.example\noptions ndots:5 attempts:9\n"},
		{"no search", ResolvFile{Kind: Named, Gateways: gateways[:1], Search: []string{"."}},
			"nameserver 10.89.0.1\noptions edns0 trust-ad ndots:0\n"},
		{"host with a flag", ResolvFile{Kind: Host, Search: []string{"x.example"}},
			"nameserver 192.168.1.1\nnameserver fe80::1%wlan0\nsearch x.example\noptions edns0 trust-ad timeout:3 attempts:1 rotate\n"},
		{"none", ResolvFile{Kind: None, Gateways: gateways}, ""},
		{"none with a server", ResolvFile{Kind: None, DNS: addrs("9.9.9.9")}, "nameserver 9.9.9.9\n"},
	} {
		c.file.Host = []byte(hostFile)
		got, err := c.file.Resolv()
		if err != nil || string(got) != banner+c.want {
			t.Errorf("%s: %v\n%swant\n%s", c.name, err, got, c.want)
		}
	}
	for _, host := range []string{hostFile, "", "garbage \x00 kept\n"} {
		got, err := ResolvFile{Kind: Host, Host: []byte(host)}.Resolv()
		if err != nil || string(got) != host {
			t.Errorf("the host's own %q: %q %v", host, got, err)
		}
	}
	if got, err := (ResolvFile{Kind: Bridge, Gateways: gateways[:1]}).Resolv(); err != nil || string(got) != banner+"nameserver 10.89.0.1\n" {
		t.Errorf("the host has no file: %q %v", got, err)
	}
	for _, bad := range []ResolvFile{{Search: []string{"a\nnameserver 6.6.6.6"}}, {Options: []string{"a b"}}, {Search: []string{""}}} {
		if got, err := bad.Resolv(); err == nil {
			t.Errorf("%+v: %q", bad, got)
		}
	}
}

// musl reads no line above 255 bytes; the others take the last search line.
func TestResolvLongLines(t *testing.T) {
	var search, options []string
	for i := range 40 {
		search = append(search, strings.Repeat(string(rune('a'+i%26)), 10+i%7)+".example.org")
		options = append(options, "option-number:"+strings.Repeat("1", 1+i))
	}
	got, err := ResolvFile{Kind: Named, Gateways: addrs("10.0.0.1"), Search: search, Options: options}.Resolv()
	if err != nil {
		t.Fatal(err)
	}
	long, short := 0, 0
	for _, line := range strings.Split(string(got), "\n") {
		switch {
		case len(line) > longestLine && strings.HasPrefix(line, "search "):
			long++
		case len(line) > longestLine:
			t.Errorf("a line of %d bytes: %s", len(line), line)
		case strings.HasPrefix(line, "search "):
			short++
			if words := strings.Fields(line)[1:]; len(words) < 5 || !slices.Equal(words, search[:len(words)]) || long > 0 {
				t.Errorf("the short line: %s", line)
			}
		}
	}
	if long != 1 || short != 1 || !slices.Equal(Parse(got).Search, search) {
		t.Errorf("%d long and %d short lines, read again: %q", long, short, Parse(got).Search)
	}
	huge, err := ResolvFile{Kind: Bridge, Search: []string{strings.Repeat("x", 300)}}.Resolv()
	if err != nil || strings.Count(string(huge), "search ") != 1 {
		t.Errorf("one long word: %q %v", huge, err)
	}
}

func TestHosts(t *testing.T) {
	own := HostsFile{Hostname: "web1.example.org", Names: []string{"web", "web1"}, Addrs: addrs("10.89.0.2 fd00::2"), Host: addrs("10.0.2.2")}
	own.Add = []AddHost{{Name: "db", Addr: addrs("1.2.3.4")[0]}, {Name: "up"}}
	got, err := own.Hosts()
	want := usual + "1.2.3.4\tdb\n10.0.2.2\tup\n" +
		"10.89.0.2\tweb1.example.org web1 web\nfd00::2\tweb1.example.org web1 web\n" +
		"10.0.2.2\thost.sbx.internal host.docker.internal host.containers.internal\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%swant\n%s", err, got, want)
	}
	own.Add = []AddHost{{Name: "Host.Docker.Internal", Addr: addrs("9.9.9.9")[0]}}
	if got, err = own.Hosts(); err != nil || strings.Contains(string(got), " host.docker.internal") {
		t.Errorf("a name of the host's that a flag gives: %v\n%s", err, got)
	}
	got, err = HostsFile{Hostname: "alone"}.Hosts()
	if err != nil || string(got) != usual+"127.0.0.1\talone\n" {
		t.Errorf("without a network: %v\n%s", err, got)
	}
	got, err = HostsFile{Base: []byte("127.0.0.1 localhost me"), Hostname: "me", Add: []AddHost{{Name: "x", Addr: addrs("::1")[0]}}}.Hosts()
	if err != nil || string(got) != "127.0.0.1 localhost me\n::1\tx\n" {
		t.Errorf("the host's: %v\n%s", err, got)
	}
	for _, bad := range []HostsFile{
		{Hostname: "a\nb"}, {Names: []string{"a b"}}, {Add: []AddHost{{Name: "a#b", Addr: addrs("::1")[0]}}}, {Add: []AddHost{{Name: "up"}}},
	} {
		if got, err := bad.Hosts(); err == nil {
			t.Errorf("%+v: %s", bad, got)
		}
	}
	if got := string(Hostname("web")); got != "web\n" {
		t.Errorf("%q", got)
	}
}

func TestParseAddHost(t *testing.T) {
	for in, want := range map[string]string{
		"a:1.2.3.4": "a 1.2.3.4", "a=1.2.3.4": "a 1.2.3.4", "a:::1": "a ::1", "a:[::1]": "a ::1", "a=[fe80::1%eth0]": "a fe80::1%eth0",
		"a.b:host-gateway": "a.b invalid IP", "a=host-gateway": "a invalid IP",
	} {
		if got, err := ParseAddHost(in); err != nil || got.Name+" "+got.Addr.String() != want {
			t.Errorf("%s: %v %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a", ":1.2.3.4", "a:", "a:1.2.3", "a:[1.2.3.4", "a b:1.2.3.4", "a\n:1.2.3.4", "a#:1.2.3.4", "a:host", "a:::1%\n", "a:1.2.3.4:5"} {
		if got, err := ParseAddHost(in); err == nil {
			t.Errorf("%q: %v", in, got)
		} else if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q: the message %q", in, err)
		}
	}
}

// FuzzResolv: whatever the host's file has, a sandbox's can be read again and has
// nobody else's servers.
func FuzzResolv(f *testing.F) {
	f.Add([]byte(hostFile))
	f.Add([]byte("nameserver ::1%\xff\noptions \x00\nsearch\u2028x"))
	f.Fuzz(func(t *testing.T, host []byte) {
		got, err := ResolvFile{Kind: Named, Host: host, Gateways: addrs("10.0.0.1")}.Resolv()
		if err != nil {
			t.Fatal(err)
		}
		r := Parse(got)
		if !slices.Equal(r.Servers, addrs("10.0.0.1")) || len(got) < largest/2 && !slices.Equal(r.Search, Parse(host).Search) {
			t.Errorf("of %q: %q", host, got)
		}
	})
}

func TestUpdate(t *testing.T) {
	was := "127.0.0.1\tlocalhost\n10.0.0.2\tbox\n10.0.0.9\thost.sbx.internal\n"
	now := "127.0.0.1\tlocalhost\n10.0.0.2\tcrate\n10.0.0.9\thost.sbx.internal\n"
	for has, want := range map[string]string{
		was:                             "127.0.0.1\tlocalhost\n10.0.0.9\thost.sbx.internal\n10.0.0.2\tcrate\n",
		"":                              "10.0.0.2\tcrate\n",
		"192.0.2.1 mine":                "192.0.2.1 mine\n10.0.0.2\tcrate\n",
		"10.0.0.2\tbox\n10.0.0.2 box\n": "10.0.0.2 box\n10.0.0.2\tcrate\n",
		"192.0.2.1 mine\n\n10.0.0.9\thost.sbx.internal\n10.0.0.2\tbox": "192.0.2.1 mine\n\n10.0.0.9\thost.sbx.internal\n10.0.0.2\tcrate\n",
	} {
		if got := string(Update([]byte(has), []byte(was), []byte(now))); got != want {
			t.Errorf("%q became %q, want %q", has, got, want)
		}
	}
}
