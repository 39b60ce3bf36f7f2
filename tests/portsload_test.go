package tests

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ten thousand connections through one port at a time: each of them works, the last
// is as quick as the first, and nothing of them stays.
func TestPortsTenThousand(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	all := 10_000
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// The forwarder has two descriptors for each, and some of all are for other ports.
	if room := int(limit.Max) * 2 / 5; room < all {
		t.Logf("the limit of open files allows for %d connections", room)
		all = room
	}
	e.serve("web", "-p", "127.0.0.1::80")
	addr := e.port("web", "80")
	descriptors := func() int {
		n := 0
		for _, p := range e.roles()["ports"] {
			fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
			if err != nil {
				t.Fatal(err)
			}
			n += len(fds)
		}
		return n
	}
	before := descriptors()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	var took []time.Duration
	for n := range all {
		start := time.Now()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		conns = append(conns, c)
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReaderSize(c, 64).ReadString('\n'); err != nil {
			t.Fatalf("connection %d: %v; the server: %s", n, err, e.Run("logs", "web").Err)
		}
		took = append(took, time.Since(start))
	}
	median := func(list []time.Duration) time.Duration {
		list = slices.Sorted(slices.Values(list))
		return list[len(list)/2]
	}
	first, last := median(took[:500]), median(took[all-500:])
	t.Logf("%d connections, the first in %v each, the last in %v", all, first, last)
	if last > 3*first+5*time.Millisecond {
		t.Errorf("a connection took %v at first and %v at last", first, last)
	}
	for n := 0; n < all; n += 97 {
		words := fmt.Sprint("connection ", n)
		back := make([]byte, len(words))
		if _, err := conns[n].Write([]byte(words)); err != nil {
			t.Fatal(err)
		}
		if got, err := conns[n].Read(back); err != nil || string(back[:got]) != words {
			t.Fatalf("%s: %q, %v", words, back[:got], err)
		}
	}
	for _, c := range conns {
		c.Close()
	}
	const slack = 200 // pipes, which are kept, and sockets in stock
	e.Eventually("nothing of them is left", func() bool { return descriptors() < before+slack })
	answers(t, "tcp", addr)
}
