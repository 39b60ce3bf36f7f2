package ports

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Somebody else has all pages for pipes that the user may have: pasta has large
// pipes, and a program in a sandbox can make some. Then there is no pipe, rather than
// one of two pages, and data come through all the same; those that are there stay.
func TestNoPagesForPipes(t *testing.T) {
	var mine pipePool
	// Somebody really may have them all: io.Copy of earlier tests, until its pipes are
	// collected, or another run of this one.
	for end := time.Now().Add(10 * time.Second); mine.made < keptPipes; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d pipes, want %d", mine.made, keptPipes)
		}
		runtime.GC()
		mine.refused = time.Time{}
		mine.keep()
	}
	var hoard []*pipe
	defer func() {
		for _, p := range append(hoard, mine.free...) {
			p.close()
		}
	}()
	for {
		p, err := newPipe()
		if err == unix.EPERM {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		hoard = append(hoard, p)
		const soft = 16384 * 4096 // pipe-user-pages-soft, unless root has changed it
		if len(hoard) > 4*soft/pipeSize {
			t.Skipf("this system lets a user have %d pipes of %d bytes", len(hoard), pipeSize)
		}
	}
	var other pipePool
	if p := other.get(); p != nil {
		p.close()
		t.Error("a pipe, and there are no pages for it")
	}
	if p := mine.get(); p == nil {
		t.Error("a pipe that was made before is not there")
	} else {
		mine.put(p)
	}

	// A forwarder that starts now has none at all.
	table, _ := open(t)
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, program(t, echo))})
	const size = 64 << 20
	if n, err := transfer(t, dial(t, clientNS, "tcp", at(hostAddr, port)), size); err != nil || n != size {
		t.Errorf("%d bytes came through, %v", n, err)
	}
}

// Large buffers are few, and given back.
func TestBuffers(t *testing.T) {
	var held [][]byte
	for range maxLarge + 2 {
		held = append(held, buffers.get())
	}
	for n, buf := range held {
		if want := n < maxLarge; (len(buf) == largeSize) != want {
			t.Errorf("buffer %d has %d bytes", n, len(buf))
		}
		buffers.put(buf)
	}
	if buf := buffers.get(); len(buf) != largeSize {
		t.Errorf("a buffer of %d bytes after all were put back", len(buf))
	} else {
		buffers.put(buf)
	}
}
