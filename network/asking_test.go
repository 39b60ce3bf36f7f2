package network

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// responder answers at port 53 of a gateway, in the switch, and counts the queries
// of each address.
type responder struct {
	mu   sync.Mutex
	seen map[netip.Addr]int
}

func (r *responder) of(a netip.Addr) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[a]
}

func newResponder(w *world, gateway netip.Addr) *responder {
	w.Helper()
	r := &responder{seen: map[netip.Addr]int{}}
	at := net.JoinHostPort(gateway.String(), "53")
	var c *net.UDPConn
	var l net.Listener
	w.home.must(func() error {
		p, err := net.ListenPacket("udp", at)
		if err != nil {
			return err
		}
		c = p.(*net.UDPConn)
		if err := c.SetReadBuffer(1 << 20); err != nil { // as much as the kernel allows
			return err
		}
		l, err = net.Listen("tcp", at)
		return err
	})
	w.Cleanup(func() { c.Close(); l.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.seen[from.Addr().Unmap()]++
			r.mu.Unlock()
			_, _ = c.WriteToUDPAddrPort(buf[:n], from) // the asker may have gone
		}
	}()
	go func() {
		for {
			s, err := l.Accept()
			if err != nil {
				return
			}
			s.Close()
		}
	}()
	return r
}

// Who asks more than its share is not heard; a neighbour has every answer, by both
// protocols and both versions of IP.
func TestThreat38AskingIsRationed(t *testing.T) {
	w := newWorld(t)
	n := w.create(Network{Name: "lab", IPv6: true})
	greedy, modest := w.box("lab"), w.box("lab")
	for i, s := range n.Subnets {
		from := []netip.Addr{greedy.IP, greedy.IP6}[i]
		r := newResponder(w, s.Gateway)
		at := net.JoinHostPort(s.Gateway.String(), "53")
		w.reach("the gateway", modest.place, s.Gateway.String())
		w.reach("the gateway", greedy.place, s.Gateway.String())
		stop, stopped := make(chan struct{}), make(chan error, 1)
		start := time.Now()
		go func() { stopped <- greedy.do(func() error { return flood(at, stop) }) }()
		if lost, err := unanswered(modest, at, 300); err != nil || lost > 0 {
			t.Errorf("%s: %d of 300 queries beside a flood had no answer, %v", at, lost, err)
		}
		w.yes("a neighbour's connection", connects(modest, at))
		close(stop)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		took := time.Since(start)
		most := asksAtOnce + int(took.Seconds()*asksPerSecond) + 100
		if got := r.of(from); got < asksAtOnce/10 || got > most {
			t.Errorf("%s: %d queries of a flood in %v were heard, want %d at most", at, got, took, most)
		}
		const tries = 3000
		if n, took := connections(greedy, s.Gateway, tries); n > asksAtOnce+int(took.Seconds()*asksPerSecond)+100 {
			t.Errorf("%s: %d connections in %v", at, n, took)
		}
		// It gets its share again.
		time.Sleep(50 * time.Millisecond)
		w.yes("the flooder's connection", connects(greedy, at))
	}
}

// flood sends from one port, which the kernel soon takes for a known connection.
func flood(at string, stop chan struct{}) error {
	c, err := net.Dial("udp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 32)
	for {
		select {
		case <-stop:
			return nil
		default:
			_, _ = c.Write(buf) // refused, or no buffer is left
		}
	}
}

// unanswered asks one query after the other.
func unanswered(b *box, at string, queries int) (lost int, err error) {
	err = b.do(func() error {
		c, err := net.Dial("udp", at)
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 64)
		for i := range queries {
			want := fmt.Sprint(i)
			if _, err := c.Write([]byte(want)); err != nil {
				return err
			}
			for got := ""; got != want; {
				if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
					return err
				}
				n, err := c.Read(buf)
				if err != nil {
					lost++
					break
				}
				got = string(buf[:n])
			}
		}
		return nil
	})
	return lost, err
}

// connections begins many at once and says how many there are before any is tried
// again, and how long that took.
func connections(b *box, gateway netip.Addr, tries int) (n int, took time.Duration) {
	var to unix.Sockaddr = &unix.SockaddrInet6{Port: 53, Addr: gateway.As16()}
	family := unix.AF_INET6
	if gateway.Is4() {
		to, family = &unix.SockaddrInet4{Port: 53, Addr: gateway.As4()}, unix.AF_INET
	}
	start := time.Now()
	b.must(func() error {
		fds := make([]unix.PollFd, 0, tries)
		defer func() {
			for _, fd := range fds {
				unix.Close(int(fd.Fd))
			}
		}()
		for range tries {
			fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT})
			if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
				return err
			}
		}
		took = time.Since(start)
		_, err := unix.Poll(fds, 0)
		for _, fd := range fds {
			if fd.Revents == unix.POLLOUT {
				n++
			}
		}
		return err
	})
	return n, took
}

func connects(b *box, at string) error {
	return b.do(func() error {
		c, err := net.DialTimeout("tcp", at, patience)
		if err != nil {
			return err
		}
		return c.Close()
	})
}
