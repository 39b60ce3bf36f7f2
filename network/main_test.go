package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sbx/tests/nested"
)

// The tests run as the supervisor does: root of a user namespace, but in a network
// namespace that belongs to somebody else. The test binary starts itself once to
// make such a host, with routes, and from there once more.
const (
	stage     = "SBX_TEST_NETWORK"
	asHost    = "host"
	asGuest   = "guest"
	asSandbox = "sandbox"
)

// What the host's network uses.
const (
	hostAddress = "10.88.200.7/17"
	hostRoute   = "10.77.0.0/16"
)

func TestMain(m *testing.M) {
	switch os.Getenv(stage) {
	case asHost:
		if err := beHost(); err != nil {
			fmt.Fprintln(os.Stderr, "network: set up the host:", err)
			os.Exit(1)
		}
		os.Exit(nested.Single(stage+"="+asGuest, syscall.CLONE_NEWUSER))
	case asGuest:
		os.Exit(m.Run())
	case asSandbox:
		// Somebody's namespaces, until standard input ends.
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	default:
		os.Exit(nested.Single(stage+"="+asHost, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNET))
	}
}

func command(as string, flags uintptr) *exec.Cmd { return nested.Command(stage+"="+as, flags) }

func beHost() error {
	la := netlink.NewLinkAttrs()
	la.Name = "wlan0"
	link := &netlink.Bridge{LinkAttrs: la}
	if err := netlink.LinkAdd(link); err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(hostAddress)
	if err != nil {
		return err
	}
	_, dst, err := net.ParseCIDR(hostRoute)
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(link, addr), netlink.LinkSetUp(link),
		netlink.RouteAdd(&netlink.Route{LinkIndex: link.Index, Dst: dst, Table: 1234}))
}

// place is a network namespace.
type place struct {
	t     testing.TB
	netns *os.File
}

// newPlace makes one, with lo up.
func newPlace(t testing.TB) *place {
	t.Helper()
	made := make(chan error)
	p := &place{t: t}
	go func() {
		runtime.LockOSThread() // and never unlocks it
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			p.netns, err = os.Open("/proc/thread-self/ns/net")
		}
		if err == nil {
			err = netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}})
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.netns.Close() })
	return p
}

// do runs f there.
func (p *place) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks it
		if err := setns(p.netns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func (p *place) must(f func() error) {
	p.t.Helper()
	if err := p.do(f); err != nil {
		p.t.Fatal(err)
	}
}

// world is a switch with something outside of it.
type world struct {
	testing.TB
	*Switch
	o       Options
	home    *place
	outside *place
}

// Who answers outside: the one that stands for the host, and the Internet.
const (
	alias, alias6       = "10.0.2.2", "fd00::2"
	internet, internet6 = "198.51.100.1", "2001:db8::1"
	onTap, onTap6       = "10.0.2.100", "fd00::100"
)

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, home: newPlace(t), outside: newPlace(t)}
	w.o = Options{Dir: t.TempDir(), NetNS: w.home.netns, MTU: 65520, Device: "tap0",
		Aliases: []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24"), netip.MustParsePrefix("fd00::/64")}}
	w.home.must(func() error {
		la := netlink.NewLinkAttrs()
		la.Name, la.MTU = "tap0", 65520
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: "out", PeerMTU: 65520, PeerNamespace: netlink.NsFd(w.outside.netns.Fd())})
	})
	w.outside.must(func() error {
		return errors.Join(configure("out", alias+"/24", alias6+"/64"), configure("lo", internet+"/32", internet6+"/128"))
	})
	w.home.must(func() error {
		return errors.Join(configure("tap0", onTap+"/24", onTap6+"/64"), via(alias), via(alias6))
	})
	w.reopen()
	t.Cleanup(func() { _ = w.Switch.Close() })
	if err := w.Recover(nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// reopen is a supervisor that starts again.
func (w *world) reopen() {
	w.Helper()
	if w.Switch != nil {
		if err := w.Switch.Close(); err != nil {
			w.Error(err)
		}
	}
	var err error
	if w.Switch, err = Open(w.o); err != nil {
		w.Fatal(err)
	}
}

func configure(name string, addresses ...string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

func via(gateway string) error { return netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(gateway)}) }

// box is a sandbox.
type box struct {
	*place
	Endpoint
}

var boxes int

// box attaches a new sandbox to a network.
func (w *world) box(network string, more ...func(*Endpoint)) *box {
	w.Helper()
	b := &box{place: newPlace(w)}
	boxes++
	e := Endpoint{Sandbox: fmt.Sprintf("%064x", boxes), SandboxName: fmt.Sprintf("box%d", boxes), Network: network, DefaultRoute: true}
	for _, f := range more {
		f(&e)
	}
	var err error
	if b.Endpoint, err = w.Attach(b.netns, e); err != nil {
		w.Fatal(err)
	}
	return b
}

// create makes a network.
func (w *world) create(spec Network) Network {
	w.Helper()
	n, err := w.Create(spec)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

const patience = 300 * time.Millisecond

// tcp connects from one place to an address in another, and says as whom.
func tcp(from, to *place, address string) (seen string, err error) {
	var l net.Listener
	to.must(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(address, "0"))
		return err
	})
	defer l.Close()
	err = from.do(func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
		if err != nil {
			return err
		}
		defer c.Close()
		other, err := l.Accept()
		if err != nil {
			return err
		}
		defer other.Close()
		seen, _, err = net.SplitHostPort(other.RemoteAddr().String())
		return err
	})
	return seen, err
}

// udp asks, and waits for the answer.
func udp(from, to *place, address string, port int) error {
	var l net.PacketConn
	to.must(func() (err error) {
		l, err = net.ListenPacket("udp", net.JoinHostPort(address, fmt.Sprint(port)))
		return err
	})
	defer l.Close()
	go func() {
		buf := make([]byte, 16)
		if n, who, err := l.ReadFrom(buf); err == nil {
			_, _ = l.WriteTo(buf[:n], who)
		}
	}()
	return from.do(func() error {
		c, err := net.DialTimeout("udp", l.LocalAddr().String(), patience)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 16))
		return err
	})
}

// yes and no are expectations of reaching something.
func (w *world) yes(what string, err error) {
	w.Helper()
	if err != nil {
		w.Errorf("%s: %v", what, err)
	}
}

// reach is for what need not work at once: an IPv6 address hears of its neighbours
// a moment after it has been set.
func (w *world) reach(what string, from *place, to string) {
	w.Helper()
	err := ping(from, to)
	for range 3 {
		if err != nil {
			err = ping(from, to)
		}
	}
	w.yes(what, err)
}

func (w *world) no(what string, err error) {
	w.Helper()
	if err == nil {
		w.Errorf("%s works", what)
	}
}
