package ports

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sbx/tests/promised"
)

// Behind the way out, and the same for the host as 127.0.0.1 is.
var avoided = []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24"), netip.MustParsePrefix("fd00::/64")}

// leading is a process that carries connections out, and nothing else does: there is no
// other way out of the switch.
func leading(t *testing.T) (*Table, Options) {
	t.Helper()
	if err := unix.Access("/dev/net/tun", unix.R_OK|unix.W_OK); err != nil {
		promised.OrSkip(t, "pasta", "/dev/net/tun", err)
	}
	if err := in(switchNS, func() error {
		for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0); err != nil {
				return err
			}
		}
		return os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0)
	}); err != nil {
		t.Fatal("set up the switch: ", err)
	}
	run := t.TempDir()
	t.Setenv("SBX_RUN", run)
	o := Options{Run: run, Switch: switchPath(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	table, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		table.mu.Lock()
		table.closed = true
		if table.process == nil {
			t.Error("no process is left to end")
		} else if err := table.process.call(context.Background(), kindQuit, nil, nil); err != nil {
			t.Error(err)
		}
		table.mu.Unlock()
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		gone(t, run)
	})
	if err := table.LeadOut(context.Background(), avoided); err != nil {
		t.Fatal(err)
	}
	return table, o
}

// outsider serves TCP outside, by both versions of IP.
func outsider(t *testing.T, handle func(net.Conn)) (port int) {
	t.Helper()
	return serveIn(t, clientNS, handle)
}

// from tries to connect from the sandbox.
func from(t *testing.T, address string, patience time.Duration) (conn net.Conn, err error) {
	t.Helper()
	err = in(sandboxNS, func() error {
		conn, err = net.DialTimeout("tcp", address, patience)
		return err
	})
	return conn, err
}

func TestLeadsOut(t *testing.T) {
	_, _ = leading(t)
	saw := outsider(t, func(c net.Conn) { fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP) })
	for host, as := range map[string]string{clientAddr: hostAddr, clientAddr6: hostAddr6} {
		c := dial(t, sandboxNS, "tcp", at(host, saw))
		if got, err := io.ReadAll(c); err != nil || string(got) != as {
			t.Errorf("%s saw %q, %v; want %s", host, got, err, as)
		}
		if c.RemoteAddr().String() != at(host, saw) {
			t.Errorf("the sandbox talks to %v", c.RemoteAddr())
		}
	}
}

// Each direction ends by itself, and nothing is lost or changed before.
func TestLeadsOutAllData(t *testing.T) {
	_, _ = leading(t)
	size := int64(brief(256 << 20))
	send := func(c io.Writer, seed uint64) ([]byte, error) {
		sum := sha256.New()
		_, err := io.CopyN(io.MultiWriter(c, sum), rand.NewChaCha8([32]byte{byte(seed)}), size)
		return sum.Sum(nil), err
	}
	receive := func(c io.Reader) ([]byte, error) {
		sum := sha256.New()
		_, err := io.Copy(sum, c)
		return sum.Sum(nil), err
	}
	heard := make(chan []byte, 2)
	// It answers only when it has heard everything, and its peer can send no more.
	port := outsider(t, func(c net.Conn) {
		got, err := receive(c)
		if err != nil {
			t.Error(err)
		}
		heard <- got
		said, err := send(c, 2)
		if err != nil {
			t.Error(err)
		}
		heard <- said
	})
	for _, host := range []string{clientAddr, clientAddr6} {
		c := dial(t, sandboxNS, "tcp", at(host, port))
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		said, err := send(c, 1)
		if err == nil {
			err = c.(*net.TCPConn).CloseWrite()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := <-heard; string(got) != string(said) {
			t.Errorf("%s heard something else", host)
		}
		got, err := receive(c)
		if err != nil || string(got) != string(<-heard) {
			t.Errorf("from %s came something else, %v", host, err)
		}
	}
}

// A sandbox is told what the host is told.
func TestLeadsOutRefusals(t *testing.T) {
	_, _ = leading(t)
	free := outsider(t, echo)
	for _, host := range []string{clientAddr, clientAddr6} {
		if _, err := from(t, at(host, free+1), 5*time.Second); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("a closed port of %s: %v", host, err)
		}
	}
	// No route, none that answers, and silence.
	for address, want := range map[string]error{
		"203.0.113.9:80":   unix.ENETUNREACH,
		"[2001:db9::9]:80": unix.ENETUNREACH,
		"198.51.100.77:80": unix.EHOSTUNREACH,
		"[2001:db8::7]:80": unix.EHOSTUNREACH,
	} {
		start := time.Now()
		if _, err := from(t, address, 10*time.Second); !errors.Is(err, want) {
			t.Errorf("%s after %v: %v, want %v", address, time.Since(start), err, want)
		}
	}
	if err := in(hostNS, func() error {
		_, silent, err := net.ParseCIDR("192.0.2.0/24")
		if err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{Dst: silent, Gw: net.ParseIP(clientAddr)})
	}); err != nil {
		t.Fatal(err)
	}
	if c, err := from(t, "192.0.2.9:80", 1500*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("nobody is there, but: %v %v", c, err)
	}
}

// Addresses that mean the host itself go nowhere near it.
func TestLeadsOutAvoids(t *testing.T) {
	_, _ = leading(t)
	var reached atomic.Int32
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				reached.Add(1)
				c.Close()
			}
		}()
		port := l.Addr().(*net.TCPAddr).Port
		for _, a := range []string{"10.0.2.2", "fd00::2", "169.254.1.1", gatewayAddr, gatewayAddr6} {
			if c, err := from(t, at(a, port), 300*time.Millisecond); err == nil {
				t.Errorf("%s has answered from %v", a, c.RemoteAddr())
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the host's loopback interface was reached %d times", n)
	}
}

func TestLeadsOutMany(t *testing.T) {
	_, o := leading(t)
	const many = 1000
	var there atomic.Int32
	all := make(chan struct{})
	port := outsider(t, func(c net.Conn) {
		if there.Add(1) == many {
			close(all)
		}
		echo(c)
	})
	var clients sync.WaitGroup
	var errs atomic.Pointer[error]
	for i := range many {
		clients.Go(func() {
			err := func() error {
				c, err := from(t, at(clientAddr, port), 20*time.Second)
				if err != nil {
					return err
				}
				defer c.Close()
				if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
					return err
				}
				select {
				case <-all:
				case <-time.After(25 * time.Second):
					return errors.New("not all connections are there")
				}
				want := fmt.Sprintf("%04d", i)
				if _, err := io.WriteString(c, want); err != nil {
					return err
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
					return fmt.Errorf("got %q, %w, want %s", got, err, want)
				}
				return nil
			}()
			if err != nil {
				errs.Store(&err)
			}
		})
	}
	clients.Wait()
	if err := errs.Load(); err != nil {
		t.Fatalf("%d of %d: %v", there.Load(), many, *err)
	}
	// Nothing of them is left.
	pid := forwarders(t, o.Run)[0]
	for end := time.Now().Add(5 * time.Second); descriptors(t, pid) > 100; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d descriptors are open after the end of all", descriptors(t, pid))
		}
	}
}

// What was connected when the process died is told so, and later connections work.
func TestLeadsOutAgain(t *testing.T) {
	_, o := leading(t)
	port := outsider(t, echo)
	c := dial(t, sandboxNS, "tcp", at(clientAddr, port))
	speak(t, c)
	old := forwarders(t, o.Run)[0]
	if err := unix.Kill(old, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection goes on: %v", err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := from(t, at(clientAddr, port), time.Second); err == nil {
			speak(t, c)
			c.Close()
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if now := forwarders(t, o.Run); len(now) != 1 || now[0] == old {
		t.Errorf("processes %v, before %d", now, old)
	}
}

// The next supervisor finds the process, and the connections go on.
func TestLeadsOutForTheNext(t *testing.T) {
	_, o := leading(t)
	c := dial(t, sandboxNS, "tcp", at(clientAddr, outsider(t, echo)))
	speak(t, c)
	was := forwarders(t, o.Run)
	next, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.LeadOut(context.Background(), avoided); err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	speak(t, c)
	if now := forwarders(t, o.Run); len(now) != 1 || now[0] != was[0] {
		t.Errorf("processes %v, before %v", now, was)
	}
}
