package tests

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sbx/tests/instance"
	"sbx/tests/promised"
)

// drivers are the programs that lead out.
var drivers = []string{"pasta", "slirp4netns"}

// hostServer listens at an address of the host, and tells who connects "the host". It
// gives the port.
func hostServer(t testing.TB, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "the host")
			c.Close()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// hostAddress is one of the host's that is reached from outside.
func hostAddress(t testing.TB) string {
	t.Helper()
	// Nothing is sent. It is an address for documentation: by the default route.
	c, err := net.Dial("udp", "192.0.2.1:9")
	if err != nil {
		promised.OrSkip(t, "pasta", "the host is on no network:", err)
	}
	defer c.Close()
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// knows6 says that a sandbox knows the host by an IPv6 address.
func (e *Env) knows6(name string) bool {
	e.t.Helper()
	for line := range strings.Lines(e.OK("exec", name, "grep", "host.sbx.internal", "/etc/hosts")) {
		if addr, _, _ := strings.Cut(line, "\t"); strings.Contains(addr, ":") {
			return true
		}
	}
	return false
}

// aliases are the addresses that stand for the host's loopback interface: the place
// of either driver, see slirp.
var aliases = []string{"10.0.2.2", "10.0.2.3", "10.0.2.100", "fd00::2", "fd00::3", "fd00::100", "198.18.254.2", "100.127.254.2", "fd5b:7804:2100::2"}

// unreachable checks that a sandbox does not reach the host's loopback interface by
// whatever address, port and port6 being those of servers there.
func (e *Env) unreachable(name, gateway, port, port6 string) {
	e.t.Helper()
	var addrs, raw []string
	for _, a := range append(slices.Clone(aliases), "127.0.0.1", "127.1.2.3", "0.0.0.0", "::1", "::ffff:127.0.0.1", "169.254.1.1", gateway) {
		for _, p := range []string{port, port6} {
			addrs = append(addrs, net.JoinHostPort(a, p))
		}
		raw = append(raw, net.JoinHostPort(a, port), net.JoinHostPort(a, port6))
	}
	for _, a := range []string{"host.sbx.internal", "host.docker.internal"} {
		addrs = append(addrs, a+":"+port, a+":"+port6)
	}
	e.reaches(name, false, addrs...)
	for _, line := range e.does(name, "knock", append([]string{gateway}, raw...)...) {
		if line != "knocked" {
			e.t.Errorf("%s, by frames of its own making: %s", name, line)
		}
	}
}

// With the flag a sandbox reaches what listens on the host's loopback interface, and
// is the only one.
func TestThreat35HostLoopbackOnlyWhereAllowed(t *testing.T) {
	Need(t, "pasta")
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	port, port6 := hostServer(t, "127.0.0.1"), hostServer(t, "::1")
	may := map[string]string{"bridge": "bridge:allow-host-loopback", "lab": "lab:allow-host-loopback"}
	for _, network := range []string{"bridge", "lab"} {
		e.serve("may-"+network, "--network", may[network])
		e.serve("not-"+network, "--network", network)
	}
	for _, network := range []string{"bridge", "lab"} {
		e.reaches("may-"+network, true, "host.sbx.internal:"+port, "host.docker.internal:"+port)
		gateway := e.joined("may-"+network, network, "Gateway")
		// The probe that must not find anything below finds what is there.
		host := strings.Fields(e.OK("exec", "may-"+network, "grep", "host.sbx.internal", "/etc/hosts"))[0]
		at := host + ":" + port
		if said := e.does("may-"+network, "knock", gateway, at); !slices.Contains(said, "knocked at "+at) {
			t.Errorf("on %s it reaches %s, but the probe says %q", network, at, said)
		}
		e.sees("may-"+network, host, "nslookup", "host.sbx.internal", gateway)
		e.unreachable("not-"+network, e.joined("not-"+network, network, "Gateway"), port, port6)
	}
	if e.knows6("may-bridge") {
		e.reaches("may-bridge", true, "host.sbx.internal:"+port6)
	}
	// Whoever shares its network may, too; whoever comes by its address later, not.
	e.runReaches("container:may-bridge", "host.sbx.internal:"+port)
	was := e.ip("may-lab", "lab")
	e.OK("rm", "-f", "may-lab")
	e.serve("heir", "--network", "lab", "--ip", was)
	e.unreachable("heir", e.joined("heir", "lab", "Gateway"), port, port6)
	// The next supervisor knows who may.
	for _, p := range e.roles()["supervisor"] {
		e.fell(p)
	}
	e.reaches("may-bridge", true, "host.sbx.internal:"+port)
	e.unreachable("not-bridge", e.joined("not-bridge", "bridge", "Gateway"), port, port6)
}

// runReaches starts a sandbox that reaches an address of the host's.
func (e *Env) runReaches(network, addr string) {
	e.t.Helper()
	words := append([]string{"run", "--rm", "--network", network}, e.probeFlags("reach")...)
	if said := e.OK(append(words, "busybox", probeTarget, addr)...); !strings.Contains(said, "reached "+addr+": the host") {
		e.t.Errorf("with --network %s it does not reach %s: %q", network, addr, said)
	}
}

// ownWays are the helpers of sandboxes that have a way out of their own.
func (e *Env) ownWays() []instance.Process {
	var found []instance.Process
	for _, p := range e.Processes() {
		role, _, _ := strings.Cut(p.Role(), ".")
		if p.State != 'Z' && slices.Contains(drivers, role) && strings.Contains(strings.Join(p.Args, " "), ".net/netns") {
			found = append(found, p)
		}
	}
	return found
}

func (e *Env) noWayLeft(after string) {
	e.t.Helper()
	e.Eventually("no way out is left after "+after, func() bool {
		left, err := os.ReadDir(e.Instance.Run)
		return err == nil && len(e.ownWays()) == 0 &&
			!slices.ContainsFunc(left, func(d os.DirEntry) bool { return strings.HasSuffix(d.Name(), ".net") })
	})
}

// eachDriver runs a test with each of the two programs that is there.
func eachDriver(t *testing.T, f func(t *testing.T, driver string)) {
	Need(t, "pasta") // and with it the device
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			if _, err := exec.LookPath(driver); err != nil {
				promised.OrSkip(t, "pasta", err)
			}
			t.Parallel()
			f(t, driver)
		})
	}
}

// A way out that is shared with nobody has all that the one of bridges has.
func TestWayOut(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		e := Sbx(t)
		e.Busybox()
		host := hostAddress(t)
		outside := hostServer(t, host)
		port, port6 := hostServer(t, "127.0.0.1"), hostServer(t, "::1")
		e.serve("web", "--network", driver, "-p", "127.0.0.1::80", "-p", "80/udp", "--add-host", "gate:host-gateway")
		ip := e.ip("web", driver)
		e.sees("web", "inet "+ip+"/"+e.joined("web", driver, "IPPrefixLen")+" ", "ip", "-4", "addr", "show", "eth0")
		e.sees("web", "mtu 65520", "ip", "link", "show", "eth0")
		e.sees("web", "default via "+e.joined("web", driver, "Gateway")+" dev eth0", "ip", "route")
		e.sees("web", "nameserver "+e.joined("web", driver, "Gateway"), "cat", "/etc/resolv.conf")
		e.Is(driver, "inspect", "-f", "{{.HostConfig.NetworkMode}}", "web")
		e.reaches("web", true, net.JoinHostPort(host, outside), "host.sbx.internal:"+outside, "gate:"+outside)
		e.unreachable("web", e.joined("web", driver, "Gateway"), port, port6)
		for _, p := range []string{"80/tcp", "80/udp"} {
			if from := answers(t, p[3:], e.port("web", p)); from == "127.0.0.1" || from == ip || from == "" {
				t.Errorf("%s: a client seems to be the sandbox itself: %s", p, from)
			}
		}
		e.OK("network", "create", "lab")
		e.Fails(1, "it was made with --network "+driver, "network", "connect", "lab", "web")
		e.Fails(1, "it is not on that network", "network", "disconnect", "bridge", "web")

		e.runReaches("container:web", net.JoinHostPort(host, outside))
		e.OK("restart", "-t", "0", "web")
		e.awaitServes("web")
		e.reaches("web", true, net.JoinHostPort(host, outside))
		answers(t, "tcp", e.port("web", "80"))

		e.Is("mtu 1500", "run", "--rm", "--network", driver+":mtu=1500", "busybox", "sh", "-c", "ip link show eth0 | grep -o 'mtu 1500'")
		e.runReaches(driver+":allow-host-loopback", "host.sbx.internal:"+port)
		if e.knows6("web") {
			e.serve("may", "--network", driver+":allow-host-loopback")
			// slirp4netns announces its router of IPv6 a moment later.
			e.Eventually("it reaches ::1 of the host", func() bool { return len(e.does("may", "reach", "host.sbx.internal:"+port6)) > 0 })
			e.OK("rm", "-f", "may")
		}
		e.Eventually("there is one way out for one sandbox", func() bool { return len(e.ownWays()) == 1 })
		e.OK("rm", "-f", "web")
		e.noWayLeft("rm")
	})
}

// Who dies: the program, the supervisor, a monitor, and both at once.
func TestWayOutDeaths(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		e := Sbx(t)
		e.Busybox()
		host := hostAddress(t)
		outside := net.JoinHostPort(host, hostServer(t, host))
		n := &networked{Env: e}
		e.serve("web", "--network", driver, "-p", "127.0.0.1::80")
		n.addr = e.port("web", "80")
		ip := e.ip("web", driver)
		works := func(after string) {
			t.Helper()
			e.Eventually("it leads out after the death of "+after, func() bool { return len(e.does("web", "reach", outside)) > 0 })
			answers(t, "tcp", n.addr)
			if now := e.ip("web", driver); now != ip {
				t.Errorf("after the death of %s it has %s, before %s", after, now, ip)
			}
		}
		talk := n.converseOn(driver)
		for _, p := range e.ownWays() {
			e.fell(p)
		}
		works("the program")
		talk.goesOn("the program")
		for _, role := range []string{"supervisor", "sbx-keeper", "parent"} {
			for _, p := range e.roles()[role] {
				e.fell(p)
			}
			talk.goesOn(role)
			works(role)
			if n := len(e.ownWays()); n != 1 {
				t.Errorf("%d ways out after the death of %s", n, role)
			}
		}
		for _, p := range e.roles()["sbx-monitor"] {
			kill(t, p)
		}
		e.noWayLeft("the death of its monitor")
		e.OK("start", "web")
		e.awaitServes("web")
		n.addr, ip = e.port("web", "80"), e.ip("web", driver)
		works("its monitor")
		for _, role := range []string{"supervisor", "sbx-keeper", "parent", "child", "sbx-monitor"} {
			for _, p := range e.roles()[role] {
				kill(t, p)
			}
		}
		e.Is("false", "inspect", "-f", "{{.State.Running}}", "web")
		e.noWayLeft("the death of all")
		e.OK("rm", "web")
	})
}

func TestWayOutWithoutTheProgram(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.Fails(125, "unknown option", "run", "--rm", "--network", "pasta:--tcp-ports,80", "busybox", "true")
	if probePasta() == nil {
		return // for the rest it must be missing, or may not work
	}
	e.Fails(125, "--network bridge is the way out that all share", "run", "--rm", "--network", "pasta", "busybox", "true")
	e.Fails(125, "there is no way out", "run", "--rm", "--network", "bridge:allow-host-loopback", "busybox", "true")
	e.noWayLeft("a start that failed")
}

// A pasta that is there and does not work, as under a security module that forbids it, is
// replaced by slirp4netns, and that is said once.
func TestPastaThatFails(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "pasta")
	if err := program("slirp4netns"); err != nil {
		promised.OrSkip(t, "pasta", err)
	}
	bin := filepath.Join(e.Home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "pasta"), []byte("#!/bin/sh\necho no such luck >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	e.Extra = append(e.Extra, "PATH="+bin+":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
	image := e.Busybox()
	r := e.Run("run", "--rm", image, "true")
	if r.Code != 0 || strings.Count(r.Err, "\n") != 1 || !strings.HasPrefix(r.Err, "sbx: note: ") ||
		!strings.Contains(r.Err, "slirp4netns is used in the place of pasta: pasta: exit status 1: no such luck") {
		t.Errorf("%+v", r)
	}
	e.OK("run", "--rm", image, "true")
	if got := e.OK("info", "-f", "{{.NetworkDriver}} {{.Warnings}}"); !strings.HasPrefix(got, "slirp4netns ") || !strings.Contains(got, "no such luck") {
		t.Errorf("%q", got)
	}
	if f := doctor(t, func(args ...string) Result { return e.Run(args...) })["way out"]; f.Level != "yellow" || !strings.Contains(f.What, "no such luck") || f.Fix == "" {
		t.Errorf("%+v", f)
	}
	// Who asks for pasta gets nothing else.
	e.Fails(125, "no such luck", "run", "--rm", "--network", "pasta", image, "true")
}
