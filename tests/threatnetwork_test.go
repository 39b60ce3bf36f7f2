package tests

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"sbx/tests/instance"
)

// What a server on the host's loopback address trusts is the host alone.
func TestThreat35HostLoopbackIsOutOfReach(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	var addrs []string
	for _, host := range []string{"127.0.0.1", "::1"} {
		port := hostServer(t, host)
		if line, err := ask("tcp", net.JoinHostPort(host, port), ""); err != nil || line != "the host" {
			t.Fatalf("the server does not work: %q, %v", line, err)
		}
		for _, a := range []string{"127.0.0.1", "::1", "10.0.2.2", "10.0.2.3", "10.0.2.100", "fd00::2", "fd00::100", "169.254.1.1", "0.0.0.0"} {
			addrs = append(addrs, net.JoinHostPort(a, port))
		}
		addrs = append(addrs, "GATEWAY:"+port)
	}
	e.OK("network", "create", "lab")
	e.OK("network", "create", "--internal", "inner")
	for _, network := range []string{"bridge", "lab", "inner"} {
		e.serve("on-"+network, "--network", network)
		mine := slices.Clone(addrs)
		for i := range mine {
			mine[i] = strings.Replace(mine[i], "GATEWAY", e.joined("on-"+network, network, "Gateway"), 1)
		}
		e.reaches("on-"+network, false, mine...)
	}
}

// Who publishes a port on loopback expects no request from elsewhere. CVE-2021-20199.
func TestThreat36ClientsAreNotLoopback(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "--internal", "inner")
	for _, network := range []string{"bridge", "inner"} {
		e.serve("on-"+network, "--network", network, "-p", "127.0.0.1::80", "-p", "[::1]::80/udp")
		for _, port := range []string{"80/tcp", "80/udp"} {
			if from := answers(t, port[3:], e.port("on-"+network, port)); from == "127.0.0.1" || from == "::1" || from == "" {
				t.Errorf("%s: a client of %s seems to be the sandbox itself: %s", network, port, from)
			}
		}
	}
}

// What steers the network listens to nobody outside. CVE-2021-4024.
func TestThreat37NothingListens(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	e.serve("web", "--network", "lab", "-p", "127.0.0.1::80")
	abstract, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	listeners := 0
	for _, p := range e.Processes() {
		found := instance.Listeners(p)
		if p.Role() == "sbxd" && p.Args[len(p.Args)-1] == "ports" {
			listeners += len(found)
			continue
		}
		for _, what := range found {
			t.Errorf("%s: %s", p, what)
		}
		fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID)) // it may have ended
		for _, fd := range fds {
			link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.PID, fd.Name()))
			inode := " " + strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]") + " @"
			if strings.HasPrefix(link, "socket:[") && strings.Contains(string(abstract), inode) {
				t.Errorf("%s: an abstract socket, which every user reaches", p)
			}
		}
	}
	if listeners != 1 {
		t.Errorf("the forwarder of ports has %d listening sockets, want 1", listeners)
	}
	if st, e := os.Stat(e.Instance.Run); e != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory of the sockets has mode %v, want 0700: %v", st.Mode(), e)
	}
}
