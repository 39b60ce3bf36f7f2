package ports

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// resident is the memory of a process in bytes, VmRSS of proc(5).
func resident(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// Connections that say nothing cost two descriptors and little memory each, and
// new ones are as quick as the first.
func TestManyConnections(t *testing.T) {
	table, o := open(t)
	inner := program(t, echo)
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	pid := forwarders(t, o.Run)[0]
	before := resident(t, pid)
	most, each := brief(2000), 50
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range most {
		c := dial(t, clientNS, "tcp", at(hostAddr, port))
		conns = append(conns, c)
		speak(t, c)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory := resident(t, pid) - before
	t.Logf("%d connections: %d descriptors, %d bytes each", most, len(fds), memory/most)
	if len(fds) > 2*most+2*maxPipes+100 {
		t.Errorf("%d descriptors", len(fds))
	}
	if memory > most*(32<<10) {
		t.Errorf("%d bytes", memory)
	}
	start := time.Now()
	for _, c := range conns[:each] {
		speak(t, c)
	}
	t.Logf("%v for a round trip", time.Since(start)/time.Duration(each))
}

// Readers that do not read must not make us hold their data, nor stop the others.
func TestSlowReaders(t *testing.T) {
	table, o := open(t)
	inner := program(t, func(c net.Conn) {
		zeros := make([]byte, 1<<16)
		for {
			if _, err := c.Write(zeros); err != nil {
				return
			}
		}
	})
	_, slow := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, program(t, echo))})
	pid := forwarders(t, o.Run)[0]
	const readers = maxPipes + 36
	for range readers {
		c := dial(t, clientNS, "tcp", at(hostAddr, slow))
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(300 * time.Millisecond) // until all buffers are full
	if memory := resident(t, pid); memory > 64<<20 {
		t.Errorf("%d bytes", memory)
	}
	start := time.Now()
	c := dial(t, clientNS, "tcp", at(hostAddr, port))
	speak(t, c)
	t.Logf("%v beside %d readers that do not read", time.Since(start), readers)
	size := int64(brief(64 << 20))
	n, err := transfer(t, c, size)
	if err != nil || n != size {
		t.Errorf("%d bytes of %d came through, %v", n, size, err)
	}
}

// brief is a sixteenth of an amount with -short: for a machine whose processors are
// emulated, where a connection's deadline would pass.
func brief(amount int) int {
	if testing.Short() {
		return amount / 16
	}
	return amount
}

// transfer sends and receives at a time.
func transfer(t *testing.T, c net.Conn, size int64) (int64, error) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for left := size; left > 0; left -= int64(len(buf)) {
			if _, err := c.Write(buf); err != nil {
				t.Error(err)
				return
			}
		}
	})
	n, err := io.CopyN(io.Discard, c, size)
	wg.Wait()
	return n, err
}

// BenchmarkThroughput is host to sandbox, one connection. Run it with -benchtime
// 1x: an iteration is a gigabyte.
func BenchmarkThroughput(b *testing.B) {
	for name, limit := range map[string]int{"splice": maxPipes, "copy": 0} {
		b.Run(name, func(b *testing.B) { throughput(b, limit) })
	}
}

func throughput(b *testing.B, limit int) {
	const size = 1 << 30
	pipes.mu.Lock()
	made, free := pipes.made, pipes.free
	if limit == 0 {
		pipes.made, pipes.free = maxPipes, nil
	}
	pipes.mu.Unlock()
	defer func() {
		pipes.mu.Lock()
		pipes.made, pipes.free = made, free
		pipes.mu.Unlock()
	}()
	pair := func() (*socket, *net.TCPConn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		peer, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		f, err := peer.(*net.TCPConn).File()
		if err != nil {
			b.Fatal(err)
		}
		peer.Close()
		raw, err := f.SyscallConn()
		if err != nil {
			b.Fatal(err)
		}
		return &socket{f, raw}, c.(*net.TCPConn)
	}
	b.SetBytes(size)
	for b.Loop() {
		a, sender := pair()
		z, receiver := pair()
		go relay(a, z)
		go func() {
			buf := make([]byte, 128<<10)
			for left := int64(size); left > 0; left -= int64(len(buf)) {
				if _, err := sender.Write(buf); err != nil {
					b.Error(err)
					return
				}
			}
			sender.Close()
		}()
		buf := make([]byte, 128<<10)
		var n int64
		for {
			got, err := receiver.Read(buf)
			n += int64(got)
			if err != nil {
				break
			}
		}
		if n != size {
			b.Errorf("%d bytes", n)
		}
		receiver.Close()
	}
}
