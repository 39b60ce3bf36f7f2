package tests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// serve starts a sandbox of the busybox image that listens on port 80 and can run
// the other probes.
func (e *Env) serve(name string, flags ...string) {
	e.t.Helper()
	words := append([]string{"run", "-d", "--name", name}, e.probeFlags("serve")...)
	words = append(append(words, flags...), "busybox", probeTarget, "80")
	e.OK(words...)
	e.awaitReady(name)
}

func (e *Env) awaitReady(name string) {
	e.t.Helper()
	e.Eventually(name+" is ready", func() bool { return strings.Contains(e.OK("logs", name), "ready") })
}

// awaitServes is awaitReady for one that was started again: its log has the word.
func (e *Env) awaitServes(name string) {
	e.t.Helper()
	e.Eventually(name+" serves", func() bool { return len(e.does(name, "reach", "127.0.0.1:80")) > 0 })
}

// does runs a probe in a sandbox that runs, and gives what it says.
func (e *Env) does(name, probe string, args ...string) []string {
	e.t.Helper()
	return e.achieved(e.Run(append([]string{"exec", "-e", probeEnv + "=" + probe, "-e", "SBX_PATIENCE=" + patience.String(), name, probeTarget}, args...)...))
}

// reaches checks which of the addresses a sandbox reaches, with a port or without.
func (e *Env) reaches(name string, want bool, addrs ...string) {
	e.t.Helper()
	addrs = slices.Clone(addrs)
	for i, a := range addrs {
		if _, _, err := net.SplitHostPort(a); err != nil {
			addrs[i] = net.JoinHostPort(a, "80")
		}
	}
	said := strings.Join(e.does(name, "reach", addrs...), "\n")
	for _, a := range addrs {
		if strings.Contains(said, "reached "+a+":") != want {
			e.t.Errorf("%s reaches %s: %v, want %v; it says %q", name, a, !want, want, said)
		}
	}
}

// joined is a fact of a sandbox on a network: IPAddress, MacAddress, ...
func (e *Env) joined(name, network, fact string) string {
	e.t.Helper()
	return e.OK("inspect", "-f", fmt.Sprintf("{{(index .NetworkSettings.Networks %q).%s}}", network, fact), name)
}

func (e *Env) ip(name, network string) string {
	e.t.Helper()
	return e.joined(name, network, "IPAddress")
}

// sees runs a program in a sandbox and checks that the words are in its output.
func (e *Env) sees(name, words string, args ...string) {
	e.t.Helper()
	if out := e.OK(append([]string{"exec", name}, args...)...); !strings.Contains(out, words) {
		e.t.Errorf("%s: %q says %q, want %q", name, args, out, words)
	}
}

func (e *Env) lacks(name, words string, args ...string) {
	e.t.Helper()
	if out := e.OK(append([]string{"exec", name}, args...)...); strings.Contains(out, words) {
		e.t.Errorf("%s: %q says %q, which should be without %q", name, args, out, words)
	}
}

func TestNetworkDefaultBridge(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.serve("one")
	e.serve("two", "-h", "second.example.org")
	one, two, gateway := e.ip("one", "bridge"), e.ip("two", "bridge"), e.joined("one", "bridge", "Gateway")
	e.Is(one+" "+gateway, "inspect", "-f", "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}", "one")
	e.sees("one", "inet "+one+"/"+e.joined("one", "bridge", "IPPrefixLen")+" ", "ip", "-4", "addr", "show", "eth0")
	e.sees("one", "link/ether "+e.joined("one", "bridge", "MacAddress")+" ", "ip", "link", "show", "eth0")
	e.sees("one", "mtu 65520", "ip", "link", "show", "eth0")
	e.sees("one", "default via "+gateway+" dev eth0", "ip", "route")
	e.sees("one", "nameserver "+gateway, "cat", "/etc/resolv.conf")
	if links := strings.Count(e.OK("exec", "one", "ip", "-o", "link"), "\n") + 1; links != 2 {
		t.Errorf("a sandbox has %d interfaces, want lo and eth0", links)
	}

	id := e.OK("inspect", "-f", "{{slice .Id 0 12}}", "one")
	e.sees("one", one+"\t"+id+" one\n", "cat", "/etc/hosts")
	e.Is(id+"\n"+id, "exec", "one", "sh", "-c", "hostname; cat /etc/hostname")
	e.sees("two", two+"\tsecond.example.org second two\n", "cat", "/etc/hosts")
	e.Is("second.example.org\nsecond.example.org", "exec", "two", "sh", "-c", "hostname; cat /etc/hostname")

	// By address only, and with the true source address.
	if got := e.does("one", "reach", two+":80"); len(got) != 1 || got[0] != "reached "+two+":80: "+one {
		t.Errorf("one reaches two: %q", got)
	}
	if six := e.joined("two", "bridge", "GlobalIPv6Address"); six != "" {
		e.reaches("one", true, six)
	}
	e.sees("one", " 0% packet loss", "ping", "-c1", "-W5", two)
	// Its own loopback address is asked what nobody knows, not the world.
	if r := e.Run("run", "--rm", "--dns", "127.0.0.1", "busybox", "nslookup", "two"); r.Code == 0 || strings.Contains(r.Out, two) {
		t.Errorf("the default network has names: %+v", r)
	}
}

func TestNetworkOfOnesOwn(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "--ipv6", "lab")
	e.OK("network", "create", "other")
	e.serve("db", "--network", "lab", "--network-alias", "store")
	e.serve("web", "--network", "lab")
	e.serve("far", "--network", "other", "--dns", "127.0.0.1")
	e.serve("both", "--network", "lab", "--network", "other")
	db, far := e.ip("db", "lab"), e.ip("far", "other")
	id := e.OK("inspect", "-f", "{{slice .Id 0 12}}", "db")
	e.reaches("web", true, "db", "DB", "store", "db.lab", id, db, e.joined("db", "lab", "GlobalIPv6Address"), "both")
	e.reaches("far", true, "both")
	e.reaches("both", true, "db", "far", db, far)
	// Neither by name nor by address, nor by the gateway of the other network.
	e.reaches("far", false, "db", "db.lab", "store", "web", db, e.joined("db", "lab", "Gateway"))
	e.reaches("web", false, far, e.ip("both", "other"))

	e.OK("run", "--rm", "--network", "lab", "busybox", "sh", "-c", "nslookup both | grep "+e.ip("both", "lab"))
	if r := e.Run("exec", "web", "nslookup", "both"); strings.Contains(r.Out, e.ip("both", "other")) {
		t.Errorf("an address of a network that the asker is not on: %q", r.Out)
	}
	e.sees("both", "default via "+e.joined("both", "lab", "Gateway")+" dev eth0", "ip", "route")
	e.sees("both", e.ip("both", "other")+"/", "ip", "addr", "show", "eth1")
}

func TestNetworkInternalAndIsolate(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "--internal", "inner")
	e.OK("network", "create", "--isolate", "alone")
	e.OK("network", "create", "--internal", "--isolate", "cell")
	for _, network := range []string{"inner", "alone", "cell"} {
		e.serve(network+"-1", "--network", network)
		e.serve(network+"-2", "--network", network)
	}
	e.reaches("inner-1", true, "inner-2", e.ip("inner-2", "inner"))
	e.lacks("inner-1", "default", "ip", "route")
	for _, network := range []string{"alone", "cell"} {
		e.reaches(network+"-1", false, e.ip(network+"-2", network))
		e.sees(network+"-1", " 0% packet loss", "ping", "-c1", "-W5", e.joined(network+"-1", network, "Gateway"))
	}
	e.reaches("inner-1", false, e.ip("alone-1", "alone"), e.ip("cell-1", "cell"))
	e.Is("true true", "network", "inspect", "-f", `{{.Internal}} {{eq (index .Options "com.docker.network.bridge.enable_icc") "false"}}`, "cell")
}

func TestNetworkConnectLive(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	for _, network := range []string{"lab", "other"} {
		e.OK("network", "create", network)
	}
	e.serve("web", "--network", "lab", "--dns", "127.0.0.1")
	e.serve("far", "--network", "other", "--dns", "127.0.0.1")
	e.reaches("far", false, "web", "site")
	e.OK("network", "connect", "--alias", "site", "other", "web")
	e.reaches("far", true, "web", "site", e.ip("web", "other"))
	e.reaches("web", true, "far")
	e.sees("web", e.ip("web", "other")+"\t", "cat", "/etc/hosts")
	e.sees("web", "nameserver "+e.joined("web", "other", "Gateway"), "cat", "/etc/resolv.conf")
	e.Fails(1, "it is on that network already", "network", "connect", "other", "web")

	// The way out goes over to the one that is left.
	was := e.ip("web", "lab")
	e.OK("network", "disconnect", "lab", "web")
	e.Fails(1, "it is not on that network", "network", "disconnect", "lab", "web")
	e.sees("web", "default via "+e.joined("web", "other", "Gateway")+" ", "ip", "route")
	e.lacks("web", was+"/", "ip", "addr")
	e.lacks("web", was+"\t", "cat", "/etc/hosts")
	e.reaches("far", true, "web")
	e.OK("restart", "-t", "0", "web")
	e.awaitServes("web")
	e.reaches("far", true, "web", "site")
	e.OK("network", "disconnect", "other", "web")
	e.reaches("far", false, "web")
	e.lacks("web", "eth", "ip", "-o", "link")

	// One that does not run is connected when it starts.
	e.OK("stop", "-t", "0", "far")
	e.OK("network", "connect", "lab", "far")
	e.OK("network", "connect", "lab", "web")
	e.OK("start", "far")
	e.awaitServes("far")
	e.reaches("web", true, "far")
	e.Is("lab other ", "inspect", "-f", "{{range $n, $x := .NetworkSettings.Networks}}{{$n}} {{end}}", "far")
}

func TestNetworkRename(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	e.serve("before", "--network", "lab")
	e.serve("web", "--network", "lab", "--dns", "127.0.0.1")
	e.reaches("web", true, "before")
	e.OK("rename", "before", "after")
	e.reaches("web", true, "after")
	e.reaches("web", false, "before")
}

func TestNetworkChosenAddresses(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "--subnet", "10.231.7.0/24", "--gateway", "10.231.7.254", "--ip-range", "10.231.7.128/25", "--subnet", "fd5b:7::/64", "lab")
	e.serve("ann", "--network", "lab", "--ip", "10.231.7.9", "--ip6", "fd5b:7::9", "--mac-address", "02:42:00:00:00:07")
	e.Is("10.231.7.9 24 10.231.7.254 fd5b:7::9 64 02:42:00:00:00:07", "inspect", "-f",
		`{{with index .NetworkSettings.Networks "lab"}}{{.IPAddress}} {{.IPPrefixLen}} {{.Gateway}} {{.GlobalIPv6Address}} {{.GlobalIPv6PrefixLen}} {{.MacAddress}}{{end}}`, "ann")
	e.sees("ann", "link/ether 02:42:00:00:00:07", "ip", "link", "show", "eth0")
	e.sees("ann", "inet 10.231.7.9/24", "ip", "addr", "show", "eth0")
	e.sees("ann", "inet6 fd5b:7::9/64", "ip", "addr", "show", "eth0")
	e.serve("bob", "--network", "lab:ip=10.231.7.10,alias=bee,interface_name=net7")
	e.sees("bob", "10.231.7.10/24", "ip", "addr", "show", "net7")
	e.reaches("ann", true, "bee", "10.231.7.10")
	e.reaches("bob", true, "ann", "fd5b:7::9")
	e.serve("cyd", "--network", "lab")
	if c := e.ip("cyd", "lab"); c != "10.231.7.128" {
		t.Errorf("the first address of the range 10.231.7.128/25 is %s", c)
	}
	for words, flags := range map[string][]string{
		"taken by ann":                    {"--ip", "10.231.7.9"},
		"taken by":                        {"--mac-address", "02:42:00:00:00:07"},
		"not in the subnet 10.231.7.0/24": {"--ip", "10.232.7.9"},
		"the broadcast address":           {"--ip", "10.231.7.255"},
		"the gateway":                     {"--ip", "10.231.7.254"},
		"not in the subnet fd5b:7::/64":   {"--ip6", "fd5b:8::9"},
		"is not an IPv4 address":          {"--ip", "10.231.7"},
		"is not a MAC address":            {"--mac-address", "02:42"},
		"the first byte must be even":     {"--mac-address", "03:42:00:00:00:07"},
		"is not an IPv6 address":          {"--ip6", "10.231.7.9"},
		"letters, digits":                 {"--network-alias", "not a name"},
	} {
		e.Fails(125, words, append(append([]string{"run", "--rm", "--network", "lab"}, flags...), "busybox", "true")...)
	}
	e.Fails(125, "user defined networks only", "run", "--rm", "--ip", "10.88.0.9", "busybox", "true")
	e.OK("restart", "-t", "0", "ann")
	e.awaitServes("ann")
	e.reaches("bob", true, "10.231.7.9")
}

func TestNetworkOfOthers(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.Is("lo", "run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net")
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	e.Is(ours, "run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net")
	for _, file := range []string{"/etc/hosts", "/etc/resolv.conf"} {
		if host, err := os.ReadFile(file); err == nil {
			e.Is(strings.TrimSuffix(string(host), "\n"), "run", "--rm", "--network", "host", "busybox", "cat", file)
		}
	}

	e.OK("network", "create", "lab")
	e.serve("web", "--network", "lab")
	e.serve("db", "--network", "lab")
	joined := []string{"run", "--rm", "--network", "container:web", "busybox"}
	e.Is(e.OK("exec", "web", "readlink", "/proc/self/ns/net"), append(joined, "readlink", "/proc/self/ns/net")...)
	e.Is(e.OK("exec", "web", "cat", "/etc/hosts"), append(joined, "cat", "/etc/hosts")...)
	e.Is(e.OK("exec", "web", "cat", "/etc/resolv.conf"), append(joined, "cat", "/etc/resolv.conf")...)
	e.Is(e.OK("exec", "web", "cat", "/etc/hostname"), append(joined, "cat", "/etc/hostname")...)
	for _, more := range [][]string{nil, {"--pid", "container:web"}, {"--cap-add", "SYS_ADMIN"}, {"--privileged"}} {
		run := append(append([]string{"run", "--rm", "--network", "container:web"}, more...), "busybox", "sh", "-c")
		e.Is(e.OK("exec", "web", "hostname"), append(run, "hostname; test $HOSTNAME = $(hostname)")...)
		// Only the interfaces there, by all their names.
		e.Is("eth0\nlo", append(run, "ls /sys/class/net")...)
		e.Is("lo", append(run, "ls /sys/devices/virtual/net | grep -v eth0")...)
		e.Is(e.OK("exec", "web", "cat", "/sys/class/net/eth0/address"), append(run, "cat /sys/class/net/eth0/address")...)
	}
	e.Is("read-only", append(joined, "sh", "-c", "grep -q ' /sys sysfs ro,' /proc/mounts && echo read-only")...)
	e.Is(e.ip("web", "lab"), append(joined, "sh", "-c", "echo x | nc 127.0.0.1 80 | head -n1 >/dev/null; nc db 80 </dev/null | head -n1")...)
	e.Fails(125, "nosuch", "run", "--rm", "--network", "container:nosuch", "busybox", "true")
	e.OK("stop", "-t", "0", "db")
	e.Fails(125, "db", "run", "--rm", "--network", "container:db", "busybox", "true")
	for words, flags := range map[string][]string{
		"port publishing and the container type network mode": {"-p", "80"},
		"dns and the network mode":                            {"--dns", "127.0.0.1"},
		"hostname and the network mode":                       {"-h", "x"},
	} {
		e.Fails(125, words, append(append([]string{"run", "--rm", "--network", "container:web"}, flags...), "busybox", "true")...)
	}
	e.Fails(1, "it was made with --network none", "network", "connect", "lab", e.OK("create", "--network", "none", "busybox", "true"))
	e.Fails(125, "conflicting options", "run", "--rm", "--network", "lab", "--network", "host", "busybox", "true")
	e.Fails(125, "specified multiple times", "run", "--rm", "--network", "lab", "--network", "lab", "busybox", "true")
}

// What a program has written into its own files stays; what we have written follows.
func TestNetworkFilesOfTheProgram(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	e.serve("box", "--network", "lab")
	e.OK("run", "-d", "--name", "same", "--network", "container:box", "busybox", "sleep", "1000")
	has := func(file, line string, want bool) {
		t.Helper()
		for _, who := range []string{"box", "same"} {
			if text := e.OK("exec", who, "cat", file); strings.Contains("\n"+text+"\n", "\n"+line+"\n") != want {
				t.Errorf("%s: a line %q: %v, want %v, in %q", who, line, !want, want, text)
			}
		}
	}
	named := e.ip("box", "lab") + "\t" + e.OK("exec", "box", "hostname") + " "
	has("/etc/hosts", named+"box", true)
	e.OK("exec", "box", "sh", "-c", "echo '192.0.2.1 mine' >>/etc/hosts; echo '# mine' >>/etc/resolv.conf")
	e.OK("rename", "box", "crate")
	if text := e.OK("exec", "same", "cat", "/etc/hosts") + "\n"; !strings.Contains(text, named+"crate\n") || strings.Contains(text, named+"box") {
		t.Errorf("after rename: %q", text)
	}
	e.OK("rename", "crate", "box")
	has("/etc/hosts", "192.0.2.1 mine", true)
	has("/etc/hosts", named+"box", true)
	has("/etc/hosts", named+"crate", false)
	before := e.OK("exec", "box", "cat", "/etc/resolv.conf")
	e.OK("network", "connect", "bridge", "box")
	has("/etc/hosts", "192.0.2.1 mine", true)
	has("/etc/hosts", e.ip("box", "bridge")+"\t"+e.OK("exec", "box", "hostname")+" box", true)
	e.Is(before, "exec", "same", "cat", "/etc/resolv.conf")
	e.OK("network", "disconnect", "lab", "box")
	has("/etc/hosts", named+"box", false)
	has("/etc/hosts", "192.0.2.1 mine", true)
	// A new start begins anew, as it does for Docker.
	e.OK("restart", "-t", "0", "box")
	e.awaitServes("box")
	if text := e.OK("exec", "box", "cat", "/etc/hosts"); strings.Contains(text, "mine") {
		t.Errorf("after a restart: %q", text)
	}
}

// What it writes is on disk, and does not fill the directory that the sockets of
// all are in. Who gets its directories next finds nothing of it.
func TestNetworkFilesAreOnDisk(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "box", "busybox", "sleep", "1000")
	id := e.OK("inspect", "-f", "{{.Id}}", "box")
	for _, file := range []string{"hosts", "resolv.conf", "hostname"} {
		e.OK("exec", "box", "sh", "-c", "head -c 1000000 /dev/zero >>/etc/"+file)
		st, err := os.Stat(filepath.Join(e.Data, "sandboxes", id, file))
		if err != nil || st.Size() < 1000000 {
			t.Errorf("%s: %+v, %v", file, st, err)
		}
		if _, err := os.Stat(filepath.Join(e.Instance.Run, id, file)); err == nil {
			t.Errorf("%s is in the runtime directory", file)
		}
	}
	look := "grep -cw mine /etc/hosts /etc/resolv.conf /etc/hostname; stat -c '%a %u' /etc/hosts /etc/resolv.conf /etc/hostname"
	want := e.Run("run", "--rm", "busybox", "sh", "-c", look).Out
	for _, spoil := range []string{"for f in hosts resolv.conf hostname; do echo mine >>/etc/$f; done",
		"cd /etc; chmod 600 hosts; chown 1:1 resolv.conf; : >hostname", "yes mine | head -n 5000 >/etc/hosts"} {
		for range 3 {
			e.OK("run", "--rm", "busybox", "sh", "-c", spoil)
		}
		for range 3 {
			if got := e.Run("run", "--rm", "busybox", "sh", "-c", look).Out; got != want {
				t.Errorf("after %q: %q, want %q", spoil, got, want)
			}
		}
	}
}

// The sandbox's own files are mounts: its layer never gets them.
func TestNetworkFilesAreNotInTheLayer(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox() // it has none of them
	e.OK("network", "create", "lab")
	e.OK("run", "-d", "--name", "box", "--network", "lab", "busybox", "sleep", "1000")
	e.OK("exec", "box", "sh", "-c", "echo 192.0.2.1 mine >>/etc/hosts; echo '# mine' >>/etc/resolv.conf; touch /etc/other")
	e.OK("network", "connect", "bridge", "box")
	id := e.OK("inspect", "-f", "{{.Id}}", "box")
	entries, err := os.ReadDir(e.Data + "/sandboxes/" + id + "/upper/etc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "other" {
			t.Errorf("the layer has etc/%s", entry.Name())
		}
	}
	if len(entries) != 1 {
		t.Errorf("the layer has %d files in etc, want 1", len(entries))
	}
	tar, err := e.Command(t.Context(), "export", "box").Output()
	if err != nil || !strings.Contains(string(tar), "etc/other") {
		t.Fatalf("export: %v, %d bytes", err, len(tar))
	}
	if strings.Contains(string(tar), "192.0.2.1 mine") || strings.Contains(string(tar), "# mine") {
		t.Error("an export has the sandbox's own files")
	}
}
