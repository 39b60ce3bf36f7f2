package ports

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// descriptors of a process.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// Connections that are waiting for the other half, a program that does not answer,
// are in nobody's way, and do not stay.
func TestHalfOpenConnections(t *testing.T) {
	table, o := open(t)
	nowhere := to(sandboxAddr, 80)
	for range 200 { // an address that nobody has
		nowhere = netip.AddrPortFrom(nowhere.Addr().Next(), 80)
	}
	_, dead := publish(t, table, Forward{Proto: TCP, To: nowhere})
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, program(t, echo))})
	c := dial(t, clientNS, "tcp", at(hostAddr, port))
	speak(t, c)
	pid := forwarders(t, o.Run)[0]
	before := descriptors(t, pid)
	const clients = 300
	var waiting sync.WaitGroup
	for range clients {
		w := dial(t, clientNS, "tcp", at(hostAddr, dead))
		waiting.Go(func() {
			// It is told when that is known: the kernel gives up, or the forwarder.
			if err := w.SetReadDeadline(time.Now().Add(2 * dialTimeout)); err != nil {
				t.Error(err)
			}
			if _, err := w.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
				t.Errorf("a connection to nobody: %v", err)
			}
			w.Close()
		})
	}
	start := time.Now()
	speak(t, c)
	speak(t, dial(t, clientNS, "tcp", at(hostAddr, port)))
	t.Logf("%v for two round trips beside %d connections to nobody, %d descriptors", time.Since(start), clients, descriptors(t, pid)-before)
	if took := time.Since(start); took > time.Second {
		t.Errorf("others wait for %v", took)
	}
	waiting.Wait()
	const slack = 20 // pipes, and a stock of sockets
	for end := time.Now().Add(5 * time.Second); descriptors(t, pid) > before+slack; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d descriptors afterwards, %d before", descriptors(t, pid), before)
		}
	}
}

// A client that has gone without a word is noticed: the kernel asks for it, on both
// sides, and ends the connection some time.
func TestGoneClientsAreNoticed(t *testing.T) {
	table, o := open(t)
	inner := program(t, echo)
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	c := dial(t, clientNS, "tcp", at(hostAddr, port))
	speak(t, c)
	pid := forwarders(t, o.Run)[0]
	// Its threads are in two networks.
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/net/tcp*", pid))
	if err != nil {
		t.Fatal(err)
	}
	client, sandbox := 0, 0
	for _, connections := range tasks {
		client = max(client, keepalives(t, connections, port, 1))
		sandbox = max(sandbox, keepalives(t, connections, inner, 2))
	}
	if client != 1 || sandbox != 1 {
		t.Errorf("%d timers on the client's side and %d on the sandbox's, want one each", client, sandbox)
	}
	c.Close()
}

// keepalives counts the connections with that port, in field 1 (local) or 2, that
// the kernel probes. proc_pid_net(5): state 01 is established, timer 02 keepalive.
func keepalives(t *testing.T, path string, port, field int) (n int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) > 5 && strings.HasSuffix(words[field], fmt.Sprintf(":%04X", port)) && words[3] == "01" && strings.HasPrefix(words[5], "02:") {
			n++
		}
	}
	return n
}
