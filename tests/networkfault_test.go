package tests

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// inSwitch says what is in the switch: interfaces, and elements of the rules' sets.
func (e *Env) inSwitch() []string {
	e.t.Helper()
	e.Eventually("there is a supervisor", func() bool { return len(e.roles()["supervisor"]) == 1 })
	self, err := os.Executable()
	if err != nil {
		e.t.Fatal(err)
	}
	in := fmt.Sprintf("/proc/%d", e.roles()["supervisor"][0].PID)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "nsenter", "--preserve-credentials", "--user="+in+"/ns/user", "--net="+in+"/root"+e.Instance.Run+"/switch/netns", "--", self)
	c.Env = append(e.Env(), probeEnv+"=switch")
	out, err := c.CombinedOutput()
	if err != nil {
		e.t.Fatalf("%q: %v: %s", c.Args, err, out)
	}
	return e.achieved(Result{Out: string(out)})
}

// Nothing is left in the switch of a sandbox that has ended, however it did, and of
// a network that was removed.
func TestNetworkTornDown(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("run", "--rm", "busybox", "true") // makes the default network
	if probePasta() == nil {
		e.Eventually("a process carries connections to the outside", func() bool { return len(e.leads()) == 1 })
	}
	var left []string
	settle := func() []string {
		e.Eventually("the interfaces are gone", func() bool {
			left = e.inSwitch()
			return !slices.ContainsFunc(left, func(s string) bool { return strings.HasPrefix(s, "link v-") })
		})
		return left
	}
	before := settle()
	p := freePorts(t, 3)
	e.OK("network", "create", "--ipv6", "lab")
	e.serve("web", "--network", "lab", "--network", "bridge", "-p", fmt.Sprintf("%d-%d:80-82", p, p+2))
	e.serve("db", "--network", "lab", "-p", "127.0.0.1::80/udp")
	e.OK("network", "connect", "bridge", "db")
	if during := e.inSwitch(); len(during) < len(before)+10 {
		t.Errorf("with two sandboxes on two networks each the switch has %d things, %d without:\n%s", len(during), len(before), strings.Join(during, "\n"))
	}
	e.Fails(125, "the port is taken", "run", "-d", "--network", "lab", "-p", "80", "-p", fmt.Sprintf("%d:80", p), "busybox", "true")
	e.OK("kill", "web")
	e.OK("rm", "-f", "web", "db")
	e.OK("network", "rm", "lab")
	if left = settle(); !slices.Equal(left, before) {
		t.Errorf("the switch had %q, and has afterwards %q", before, left)
	}
	if !free(p, 3) {
		t.Error("a port is still taken")
	}
}

// Sixty sandboxes, started by several callers at once, share one bridge.
func TestNetworkSixty(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "lab")
	const all, callers = 60, 4
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for n := caller; n < all; n += callers {
				e.OK("run", "-d", "--name", fmt.Sprintf("box%d", n), "--network", "lab", "busybox", "nc", "-ll", "-p", "80", "-e", "echo", fmt.Sprint(n))
			}
		})
	}
	wg.Wait()
	list := strings.Fields(e.OK("network", "inspect", "-f", "{{range .Containers}}{{.IPv4Address}} {{end}}", "lab"))
	slices.Sort(list)
	if len(list) != all || len(slices.Compact(slices.Clone(list))) != all {
		t.Errorf("%d sandboxes have %d addresses: %q", all, len(list), list)
	}
	e.serve("last", "--network", "lab")
	var names []string
	for n := range all {
		names = append(names, fmt.Sprintf("box%d", n))
	}
	e.reaches("last", true, names...)
	e.OK(append([]string{"rm", "-f", "last"}, names...)...)
	e.OK("network", "rm", "lab")
}

// networked is a pair of sandboxes that have all there is to a network.
type networked struct {
	*Env
	addr  string // where web is published
	facts string // addresses and ports
}

const factsOfNetwork = `{{with index .NetworkSettings.Networks "lab"}}{{.IPAddress}} {{.GlobalIPv6Address}} {{.MacAddress}}{{end}} {{.NetworkSettings.Ports}}`

func withNetwork(t *testing.T) *networked {
	n := &networked{Env: Sbx(t)}
	n.Busybox()
	n.OK("network", "create", "--ipv6", "lab")
	n.serve("web", "--network", "lab", "--network-alias", "site", "-p", "127.0.0.1::80", "-p", "127.0.0.1::80/udp")
	n.serve("db", "--network", "lab", "--dns", "127.0.0.1") // is asked for names that nobody has any more
	n.addr, n.facts = n.port("web", "80"), n.OK("inspect", "-f", factsOfNetwork, "web", "db")
	return n
}

// works checks everything, by the very next commands.
func (n *networked) works(after string) {
	n.t.Helper()
	n.Eventually("the published port answers after the death of "+after, func() bool { _, err := ask("tcp", n.addr, ""); return err == nil })
	n.reaches("db", true, "web", "site", "web.lab", n.ip("web", "lab"))
	answers(n.t, "udp", n.port("web", "80/udp"))
	if facts := n.OK("inspect", "-f", factsOfNetwork, "web", "db"); facts != n.facts {
		n.t.Errorf("after the death of %s: %s, before %s", after, facts, n.facts)
	}
	// A new one has an address of its own, and finds the others, and they it.
	n.serve("new", "--network", "lab", "-p", "127.0.0.1::80")
	n.reaches("new", true, "web", "db")
	n.reaches("web", true, "new")
	answers(n.t, "tcp", n.port("new", "80"))
	n.OK("rm", "-f", "new")
	n.Eventually("its name is gone", func() bool { return n.Run("exec", "db", "ping", "-c1", "-W1", "new.lab").Code != 0 })
}

// conversation keeps a connection through the published port busy.
type conversation struct {
	net.Conn
	t testing.TB
}

func (n *networked) converse() *conversation {
	n.t.Helper()
	return n.converseOn("lab")
}

func (n *networked) converseOn(network string) *conversation {
	n.t.Helper()
	c, err := net.Dial("tcp", n.addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	talk := &conversation{c, n.t}
	if err := talk.read(n.joined("web", network, "Gateway") + "\n"); err != nil {
		n.t.Fatal(err)
	}
	return talk
}

// soon gives what follows a deadline of its own.
func (c *conversation) soon() {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience / 3)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *conversation) read(want string) error {
	c.soon()
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		m, err := c.Read(got[n:])
		if err != nil {
			return fmt.Errorf("after %q: %w", got[:n], err)
		}
		n += m
	}
	if string(got) != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

// goesOn says something and hears it again.
func (c *conversation) goesOn(after string) {
	c.t.Helper()
	words := "after the death of " + after
	c.soon()
	_, err := c.Write([]byte(words))
	if err == nil {
		err = c.read(words)
	}
	if err != nil {
		c.t.Errorf("the connection is lost %s: %v", words, err)
	}
}

// Only the process that copies takes connections along.
func TestNetworkEachDeath(t *testing.T) {
	t.Parallel()
	n := withNetwork(t)
	talk := n.converse()
	for _, role := range []string{"supervisor", "sbx-keeper", "parent", "supervisor", "child", "parent"} {
		for _, p := range n.roles()[role] {
			n.fell(p)
		}
		talk.goesOn(role)
		n.works(role)
		talk.goesOn(role + " and what came after")
	}
	for _, p := range n.roles()["ports"] {
		n.fell(p)
	}
	n.works("the forwarder of ports")
	// All at once.
	talk = n.converse()
	for _, role := range []string{"parent", "child", "sbx-keeper", "supervisor"} {
		for _, p := range n.roles()[role] {
			kill(t, p)
		}
	}
	talk.goesOn("all but one")
	n.works("all but one")
	if forwarders := len(n.roles()["ports"]); forwarders != 1 {
		t.Errorf("%d forwarders of ports run, want 1", forwarders)
	}
}

// The end of a sandbox takes its part of the network along, whoever saw it.
func TestNetworkMonitorKilled(t *testing.T) {
	t.Parallel()
	n := withNetwork(t)
	talk := n.converse()
	pid := n.OK("inspect", "-f", "{{.State.Pid}}", "web")
	for _, p := range n.Processes() {
		if fmt.Sprint(p.PID) == pid {
			for _, monitor := range n.roles()["sbx-monitor"] {
				if monitor.PID == p.Parent {
					kill(t, monitor)
				}
			}
		}
	}
	if err := talk.read("x"); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection outlives the sandbox: %v", err)
	}
	n.Eventually("the port is closed", func() bool { _, err := net.Dial("tcp", n.addr); return err != nil })
	n.Eventually("its name is gone", func() bool { return n.Run("exec", "db", "ping", "-c1", "-W1", "web.lab").Code != 0 })
	n.OK("start", "web")
	n.awaitServes("web")
	n.reaches("db", true, "web")
	answers(t, "tcp", n.port("web", "80"))

	// While nobody watches.
	for _, p := range n.roles()["supervisor"] {
		n.fell(p)
	}
	n.OK("kill", "web")
	n.Eventually("it has ended", func() bool { return n.OK("inspect", "-f", "{{.State.Running}}", "web") == "false" })
	n.Eventually("its interface is gone", func() bool {
		links := 0
		for _, s := range n.inSwitch() {
			if strings.HasPrefix(s, "link v-") {
				links++
			}
		}
		return links == 1
	})
	n.OK("rm", "web")
}
