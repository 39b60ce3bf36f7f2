package ports

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// programUDP answers each datagram with the address it came from and its content.
func programUDP(t *testing.T) int {
	t.Helper()
	var l *net.UDPConn
	if err := in(sandboxNS, func() error {
		var err error
		l, err = net.ListenUDP("udp", nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := l.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			// An answer may be lost; the test asks again or fails.
			_, _ = l.WriteToUDPAddrPort(append([]byte(from.String()+" "), buf[:n]...), from)
		}
	}()
	return l.LocalAddr().(*net.UDPAddr).Port
}

func ask(t *testing.T, c net.Conn, word string) string {
	t.Helper()
	if _, err := c.Write([]byte(word)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxDatagram)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestUDPSandboxSeesTheClient(t *testing.T) {
	table, _ := open(t)
	inner := programUDP(t)
	_, port := publish(t, table, Forward{Proto: UDP, To: to(sandboxAddr, inner), To6: to(sandboxAddr6, inner)})
	for _, e := range []struct {
		name, dial string
		ns         *os.File
		want       string
	}{
		{"IPv4", hostAddr, clientNS, ""},
		{"IPv6", hostAddr6, clientNS, ""},
		{"loopback", "127.0.0.1", nil, gatewayAddr},
		{"another address of loopback", "127.0.0.9", nil, gatewayAddr},
		{"loopback by IPv6", "::1", nil, gatewayAddr6},
	} {
		t.Run(e.name, func(t *testing.T) {
			// A connected socket takes only answers from the address that it has asked.
			c := dial(t, e.ns, "udp", at(e.dial, port))
			for _, word := range []string{"one", "", "three"} {
				got := ask(t, c, word)
				want := c.LocalAddr().String() + " " + word
				if e.want != "" {
					from, err := netip.ParseAddrPort(got[:len(got)-len(word)-1])
					if err != nil {
						t.Fatal(err)
					}
					want = netip.AddrPortFrom(addr(e.want), from.Port()).String() + " " + word
				}
				if got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
		})
	}
}

func TestUDPLargeDatagram(t *testing.T) {
	table, _ := open(t)
	inner := programUDP(t)
	_, port := publish(t, table, Forward{Proto: UDP, To: to(sandboxAddr, inner)})
	c := dial(t, clientNS, "udp", at(hostAddr, port))
	word := string(make([]byte, 60000))
	if got, want := ask(t, c, word), c.LocalAddr().String()+" "+word; got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

// A flood from ever new clients must not use up descriptors, nor shut out a client
// that has a conversation.
func TestUDPFlood(t *testing.T) {
	table, o := open(t)
	inner := programUDP(t)
	_, port := publish(t, table, Forward{Proto: UDP, To: to(sandboxAddr, inner)})
	_, silent := publish(t, table, Forward{Proto: UDP, To: to(sandboxAddr, 1)})
	c := dial(t, clientNS, "udp", at(hostAddr, port))
	ask(t, c, "first")
	pid := forwarders(t, o.Run)[0]
	const clients = maxSessions + 1000
	if err := in(clientNS, func() error {
		for range clients {
			f, err := net.Dial("udp", at(hostAddr, silent))
			if err != nil {
				return err
			}
			if _, err := f.Write([]byte("x")); err != nil {
				return err
			}
			f.Close()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := ask(t, c, "last"), c.LocalAddr().String()+" last"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	if len(fds) > maxSessions+100 {
		t.Errorf("%d descriptors", len(fds))
	}
}

// Those that were never answered go first, then those that are silent longest.
func TestUDPSweep(t *testing.T) {
	p := &published{slots: newSlots(make(chan struct{}, 10))}
	s := newSessions(p, nil)
	now := time.Now()
	for i, age := range []time.Duration{0, freshTimeout + time.Second, sureTimeout + time.Second} {
		for _, l := range []struct {
			fresh bool
			port  uint16
		}{{true, uint16(i)}, {false, uint16(10 + i)}} {
			c := &session{peer: peer{client: netip.AddrPortFrom(addr("192.0.2.1"), l.port)}, used: now.Add(-age), in: s.sure}
			if l.fresh {
				c.in = s.fresh
			}
			f, err := os.Open("/dev/null")
			if err != nil {
				t.Fatal(err)
			}
			c.conn = &socket{file: f}
			c.at = c.in.PushFront(c)
			s.all[c.peer] = c
			if !p.slots.try() {
				t.Fatal("no slot")
			}
		}
	}
	s.sweep(now)
	for port, want := range map[uint16]bool{0: true, 1: false, 2: false, 10: true, 11: true, 12: false} {
		if _, got := s.all[peer{client: netip.AddrPortFrom(addr("192.0.2.1"), port)}]; got != want {
			t.Errorf("session %d: %v, want %v", port, got, want)
		}
	}
	if !s.makeRoom() || s.fresh.Len() != 0 || s.sure.Len() != 2 {
		t.Errorf("%d and %d are left", s.fresh.Len(), s.sure.Len())
	}
	if n := len(p.slots.own); n != 2 {
		t.Errorf("%d places are taken", n)
	}
}
