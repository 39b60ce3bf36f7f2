package tests

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"sbx/tests/instance"
)

// leads are the processes that carry connections to the outside: they have a device
// in the switch.
func (e *Env) leads() []instance.Process {
	var found []instance.Process
	for _, p := range e.roles()["ports"] {
		dir := fmt.Sprintf("/proc/%d/fd/", p.PID)
		fds, _ := os.ReadDir(dir) // it may have ended
		for _, fd := range fds {
			if link, _ := os.Readlink(dir + fd.Name()); link == "/dev/net/tun" {
				found = append(found, p)
			}
		}
	}
	return found
}

// talkOut is a conversation that a sandbox has begun with a server outside.
func (e *Env) talkOut(name string, outside net.Listener) *conversation {
	e.t.Helper()
	host, port, err := net.SplitHostPort(outside.Addr().String())
	if err != nil {
		e.t.Fatal(err)
	}
	e.OK("exec", "-d", name, "nc", host, port, "-e", "cat")
	c, err := outside.Accept()
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { c.Close() })
	return &conversation{c, e.t}
}

// TCP to the outside does not need pasta, nor any of us but the process that carries it;
// without that one it goes through pasta.
func TestNetworkLeadsOut(t *testing.T) {
	Need(t, "pasta")
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	host := hostAddress(t)
	outside, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	e.OK("network", "create", "--internal", "inner")
	e.serve("web")
	e.serve("kept", "--network", "inner")
	e.Eventually("a process carries connections", func() bool { return len(e.leads()) == 1 })
	port := hostServer(t, host)
	e.reaches("web", true, net.JoinHostPort(host, port))
	e.reaches("kept", false, net.JoinHostPort(host, port))
	closed := fmt.Sprint(freePorts(t, 1))
	if r := e.Run("exec", "web", "nc", host, closed, "-w", "5"); r.Code == 0 || !strings.Contains(r.Err, "refused") {
		t.Errorf("a closed port: %d %q", r.Code, r.Err)
	}

	talk := e.talkOut("web", outside)
	talk.goesOn("nobody")
	for _, p := range e.Processes() {
		if strings.HasPrefix(p.Role(), "pasta") {
			e.fell(p)
		}
	}
	talk.goesOn("pasta")
	for _, role := range []string{"supervisor", "parent"} {
		for _, p := range e.roles()[role] {
			e.fell(p)
		}
		talk.goesOn(role)
		e.talkOut("web", outside).goesOn(role)
	}
	for _, p := range e.leads() {
		e.fell(p)
	}
	if err := talk.read("x"); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection outlives the process that carries it: %v", err)
	}
	e.reaches("web", true, net.JoinHostPort(host, port))
	e.Eventually("another process carries connections", func() bool { return len(e.leads()) == 1 })
	e.talkOut("web", outside).goesOn("the one that carried before")

	// It stays while there is a sandbox, and ends with the last one, watched or not.
	for _, p := range e.roles()["supervisor"] {
		e.fell(p)
	}
	e.OK("rm", "-f", "web", "kept")
	for _, role := range []string{"parent", "child", "sbx-keeper", "supervisor"} {
		for _, p := range e.roles()[role] {
			kill(t, p)
		}
	}
	e.Eventually("nobody carries connections of nobody", func() bool { return len(e.roles()["ports"]) == 0 })
}
