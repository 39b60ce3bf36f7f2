package tests

import (
	"fmt"
	"strings"
	"testing"
)

func TestDNSFlags(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	run := func(flags ...string) string {
		t.Helper()
		return e.OK(append(append([]string{"run", "--rm"}, flags...), "busybox", "cat", "/etc/hosts", "/etc/resolv.conf")...)
	}
	has := func(text string, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if !strings.Contains(text+"\n", "\n"+line+"\n") {
				t.Errorf("no line %q in %q", line, text)
			}
		}
	}
	has(run("--dns", "127.0.0.1", "--dns", "::1", "--dns-search", "one.test", "--dns-search", "two.test", "--dns-option", "ndots:3",
		"--add-host", "foo:192.0.2.1", "--add-host", "foo6=[2001:db8::1]"),
		"nameserver 127.0.0.1", "nameserver ::1", "search one.test two.test", "options ndots:3", "192.0.2.1\tfoo", "2001:db8::1\tfoo6")
	if text := run("--dns-search", "."); strings.Contains(text, "search") {
		t.Errorf("--dns-search . leaves %q", text)
	}
	// On a network with names its responder is asked, and that asks these servers.
	gateway := e.OK("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "lab")
	text := run("--network", "lab", "--dns", "127.0.0.1", "--dns-search", "one.test")
	has(text, "nameserver "+gateway, "search one.test")
	if strings.Count(text, "nameserver") != 1 {
		t.Errorf("more than the network's own server in %q", text)
	}
	has(run("--network", "none", "--add-host", "foo:192.0.2.1"), "192.0.2.1\tfoo")
	has(run("--network", "host", "--add-host", "foo:192.0.2.1", "--dns", "127.0.0.7"), "192.0.2.1\tfoo", "nameserver 127.0.0.7")

	const gatewayOfHost = "foo:host-gateway"
	e.Fails(125, "no way to the host", "run", "--rm", "--network", "none", "--add-host", gatewayOfHost, "busybox", "true")
	for _, bad := range [][]string{{"--dns", "nonsense"}, {"--dns-search", "a b"}, {"--dns-option", ""}, {"--add-host", "foo"},
		{"--add-host", "foo:bar"}, {"--add-host", "a b:192.0.2.1"}} {
		if r := e.Run(append(append([]string{"run", "--rm"}, bad...), "busybox", "true")...); r.Code != 125 || r.Err == "" {
			t.Errorf("%q: %+v", bad, r)
		}
	}
}

// Several with one alias are found all, in their sandboxes' order of life: who ends
// is not found any more.
func TestDNSAliasOfSeveral(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	e.serve("web", "--network", "lab", "--dns", "127.0.0.1")
	found := func(name string) int {
		t.Helper()
		// Busybox says Address: before each, and Address:port of the server.
		return strings.Count(e.Run("exec", "web", "nslookup", name).Out, "Address: ")
	}
	for n := 1; n <= 3; n++ {
		e.serve(fmt.Sprintf("db%d", n), "--network", "lab", "--network-alias", "db")
		if got := found("db"); got != n {
			t.Errorf("%d addresses of db, want %d", got, n)
		}
	}
	e.OK("stop", "-t", "0", "db1")
	e.OK("rm", "-f", "db2")
	if got := found("db"); got != 1 {
		t.Errorf("%d addresses of db, want 1", got)
	}
	e.OK("start", "db1")
	if got := found("db"); got != 2 {
		t.Errorf("%d addresses of db, want 2", got)
	}
	// In reverse, and what is not there.
	e.sees("web", "db3", "nslookup", e.ip("db3", "lab"))
	for _, name := range []string{"nosuch.lab", "nosuch.sbx.internal", "db2"} {
		if got := found(name); got != 0 {
			t.Errorf("%d addresses of %s", got, name)
		}
	}
}

// Who floods the responder gets less itself; the others have every answer.
func TestDNSFlood(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	e.serve("web", "--network", "lab")
	e.serve("db", "--network", "lab")
	gateway := e.joined("web", "lab", "Gateway")
	e.OK(append(append([]string{"run", "-d", "--name", "flood", "--network", "lab", "--dns", "127.0.0.1"}, e.probeFlags("flood")...), "busybox", probeTarget, gateway, "db")...)
	e.Eventually("it floods", func() bool { return strings.Contains(e.OK("logs", "flood"), "flooding") })
	const n = 200
	var answered, median, worst int
	said := e.does("web", "lookup", "db", fmt.Sprint(n))
	if _, err := fmt.Sscanf(said[0], "answered %d median %d worst %d", &answered, &median, &worst); err != nil {
		t.Fatalf("%q: %v", said, err)
	}
	t.Logf("%d of %d lookups beside a flood answered, median %d us, worst %d us", answered, n, median, worst)
	usual := int((patience / 300).Microseconds()) // 100 ms, where nothing is slow
	if answered < n || median > usual {
		t.Errorf("%d of %d lookups had an answer beside a flood, half of them after %d us or more", answered, n, median)
	}
	e.OK("rm", "-f", "flood")
	e.reaches("web", true, "db")
}
