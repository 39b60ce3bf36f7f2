package ports

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// BenchmarkConnection is connect, one byte each way, close: by the published port
// from the host's loopback and from outside, and to the sandbox itself.
func BenchmarkConnection(b *testing.B) {
	run := b.TempDir()
	b.Setenv("SBX_RUN", run)
	table, err := Open(Options{Run: run, Switch: switchPath()})
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()
	inner := program(b, echo)
	start := time.Now()
	id, port, err := table.Add(context.Background(), Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("first port %v", time.Since(start))
	start = time.Now()
	second, _, err := table.Add(context.Background(), Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("second port %v", time.Since(start))
	for _, e := range []struct{ name, address string }{
		{"loopback", at("127.0.0.1", int(port))}, {"outside", at(hostAddr, int(port))},
	} {
		b.Run(e.name, func(b *testing.B) {
			buf := make([]byte, 1)
			for b.Loop() {
				c, err := net.Dial("tcp", e.address)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
	for _, id := range []int{id, second} {
		if err := table.Remove(context.Background(), id); err != nil {
			b.Error(err)
		}
	}
}
