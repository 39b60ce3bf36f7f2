package etc

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"sbx/api"
)

// HostNames are the names that mean the host in every sandbox: ours, then
// Docker's and Podman's.
func HostNames() []string {
	return []string{"host.sbx.internal", "host.docker.internal", "host.containers.internal"}
}

// AddHost is an --add-host.
type AddHost struct {
	Name string
	Addr netip.Addr // invalid: host-gateway, the host as the sandbox reaches it
}

const hostGateway = "host-gateway"

// ParseAddHost reads NAME:IP or NAME=IP; an IPv6 address may be in brackets.
func ParseAddHost(s string) (AddHost, error) {
	bad := func(format string, args ...any) (AddHost, error) {
		return AddHost{}, api.Errorf("read --add-host", "", format, args...).
			WithHint("write it as NAME:IP or NAME:%s", hostGateway)
	}
	i := strings.IndexAny(s, ":=")
	if i < 1 || i == len(s)-1 {
		return bad("%q is not a name and an address", s)
	}
	name, addr := s[:i], s[i+1:]
	if !hostWord(name) {
		return bad("%q is not a name", name)
	}
	if addr == hostGateway {
		return AddHost{Name: name}, nil
	}
	if in, ok := strings.CutPrefix(addr, "["); ok {
		if in, ok = strings.CutSuffix(in, "]"); ok {
			addr = in
		}
	}
	a, err := netip.ParseAddr(addr)
	if err != nil || !plain(a.Zone()) {
		return bad("%q is not an IP address", addr)
	}
	return AddHost{Name: name, Addr: a}, nil
}

// HostsFile says what goes into a sandbox's hosts file.
type HostsFile struct {
	Base     []byte       // instead of the usual first lines: the host's file, for --network host
	Hostname string       // may have a domain: "web.example.org"
	Names    []string     // more names for its own addresses, the sandbox's name first
	Addrs    []netip.Addr // its own addresses; none with --network none
	Add      []AddHost
	// Host is how the sandbox reaches the host, IPv4 first; nil if it cannot.
	Host []netip.Addr
}

// usual is Docker's, and with that the first lines of most images.
const usual = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::	ip6-localnet
ff00::	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
`

// Hosts makes a hosts file. Since the first line with a name counts, the flags'
// lines come before the ones of our own. The error is about a name that cannot
// be in the file, or host-gateway where the host cannot be reached.
func (f HostsFile) Hosts() ([]byte, error) {
	own := f.ownNames()
	for _, n := range own {
		if !hostWord(n) {
			return nil, api.Errorf("write hosts file", "", "%q is not a name", n)
		}
	}
	b := bytes.NewBufferString(usual)
	if f.Base != nil {
		b = bytes.NewBuffer(bytes.Clone(f.Base))
		if !bytes.HasSuffix(f.Base, []byte("\n")) && len(f.Base) > 0 {
			b.WriteByte('\n')
		}
	}
	line := func(a netip.Addr, names ...string) {
		b.WriteString(a.String() + "\t" + strings.Join(names, " ") + "\n")
	}
	for _, add := range f.Add {
		if err := f.add(add, line); err != nil {
			return nil, err
		}
	}
	addrs := f.Addrs
	if len(addrs) == 0 && f.Base == nil {
		// Programs want to find their own name even where there is no network.
		addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	for _, a := range addrs {
		if len(own) > 0 {
			line(a, own...)
		}
	}
	names := slices.DeleteFunc(HostNames(), func(n string) bool {
		return slices.ContainsFunc(f.Add, func(a AddHost) bool { return strings.EqualFold(a.Name, n) })
	})
	for _, a := range f.Host {
		if len(names) > 0 {
			line(a, names...)
		}
	}
	return b.Bytes(), nil
}

func (f HostsFile) add(add AddHost, line func(netip.Addr, ...string)) error {
	switch {
	case !hostWord(add.Name):
		return api.Errorf("write hosts file", "", "%q is not a name", add.Name)
	case add.Addr.IsValid():
		line(add.Addr, add.Name)
	case len(f.Host) == 0:
		return api.Errorf("write hosts file", "", "--add-host %s:%s: this network has no way to the host", add.Name, hostGateway).
			WithHint("give an address, or use a network with a way out")
	}
	if !add.Addr.IsValid() {
		for _, a := range f.Host {
			line(a, add.Name)
		}
	}
	return nil
}

// ownNames has the full host name first: that is what "hostname -f" prints.
func (f HostsFile) ownNames() []string {
	var list []string
	short, _, _ := strings.Cut(f.Hostname, ".")
	for _, n := range append([]string{f.Hostname, short}, f.Names...) {
		if n != "" && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// hostWord says that a name can be in a hosts file, where # starts a comment.
func hostWord(name string) bool {
	return name != "" && len(name) <= 255 && plain(name) && !strings.Contains(name, "#")
}

// Hostname makes the file of the host's name.
func Hostname(name string) []byte { return []byte(name + "\n") }

// Update brings a hosts file up to date that somebody has changed meanwhile: the
// lines that are in was and not in now go, and those that are in now and not in was
// are added at the end.
func Update(text, was, now []byte) []byte {
	before, after := lineSet(was), lineSet(now)
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		if l := string(bytes.TrimRight(line, "\n")); !before[l] || after[l] {
			b.WriteString(l + "\n")
		}
	}
	for line := range bytes.Lines(now) {
		if l := string(bytes.TrimRight(line, "\n")); !before[l] {
			b.WriteString(l + "\n")
		}
	}
	return b.Bytes()
}

func lineSet(text []byte) map[string]bool {
	set := map[string]bool{}
	for line := range bytes.Lines(text) {
		set[string(bytes.TrimRight(line, "\n"))] = true
	}
	return set
}
