package ports

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"sbx/tests/nested"
)

// The tests play the host in a user, mount and network namespace of their own, so
// the test binary starts itself once more in those.
const startedInside = "SBX_TEST_PORTS_INSIDE"

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "ports":
		if err := unix.SetNonblock(ListenFD, true); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		if err := Serve(os.NewFile(ListenFD, "listen"), os.NewFile(SwitchFD, "switch"), os.Getenv("SBX_RUN"), log); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case len(os.Args) == 3 && os.Args[1] == "hold":
		hold(os.Args[2])
	case os.Getenv(startedInside) == "":
		runtime.LockOSThread() // its end is the child's: Pdeathsig
		os.Exit(nested.Single(startedInside+"=1", syscall.CLONE_NEWUSER|syscall.CLONE_NEWNET|syscall.CLONE_NEWNS))
	}
	if err := makeHost(); err != nil {
		fmt.Fprintln(os.Stderr, "ports:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// The network of the tests:
//
//	client 198.51.100.2 --- 198.51.100.1 host, 127.0.0.1
//	switch: bridge sbx0 10.88.0.1 --- 10.88.0.2 sandbox
//
// and the same by IPv6, 2001:db8::/64 and fd88::/64.
const (
	hostAddr, hostAddr6       = "198.51.100.1", "2001:db8::1"
	clientAddr, clientAddr6   = "198.51.100.2", "2001:db8::2"
	gatewayAddr, gatewayAddr6 = "10.88.0.1", "fd88::1"
	sandboxAddr, sandboxAddr6 = "10.88.0.2", "fd88::2"
)

var hostNS, clientNS, switchNS, sandboxNS *os.File

func makeHost() error {
	var err error
	for _, ns := range []**os.File{&clientNS, &switchNS, &sandboxNS} {
		if *ns, err = newNetns(); err != nil {
			return err
		}
	}
	if hostNS, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	if err := connectNS(hostNS, "h0", clientNS, "c0"); err != nil {
		return err
	}
	if err := connectNS(switchNS, "v0", sandboxNS, "eth0"); err != nil {
		return err
	}
	for _, e := range []struct {
		ns   *os.File
		dev  string
		addr []string
		via  []string
	}{
		{hostNS, "h0", []string{hostAddr + "/24", hostAddr6 + "/64"}, nil},
		{clientNS, "c0", []string{clientAddr + "/24", clientAddr6 + "/64"}, nil},
		{sandboxNS, "eth0", []string{sandboxAddr + "/16", sandboxAddr6 + "/64"}, []string{gatewayAddr, gatewayAddr6}},
	} {
		if err := configure(e.ns, e.dev, e.addr, e.via); err != nil {
			return err
		}
	}
	err = in(switchNS, func() error {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "sbx0"}}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		v0, err := netlink.LinkByName("v0")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetMaster(v0, br), netlink.LinkSetUp(v0))
	})
	if err != nil {
		return err
	}
	return configure(switchNS, "sbx0", []string{gatewayAddr + "/16", gatewayAddr6 + "/64"}, nil)
}

func newNetns() (*os.File, error) {
	var f *os.File
	err := thread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		var err error
		f, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return f, err
}

// thread runs f on a thread of its own, which ends with it.
func thread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// in runs f in a network namespace. Sockets that f makes stay there.
func in(ns *os.File, f func() error) error {
	return thread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

func connectNS(a *os.File, nameA string, b *os.File, nameB string) error {
	return in(a, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nameA, MTU: 65520}, PeerName: nameB,
			PeerNamespace: netlink.NsFd(int(b.Fd())), PeerMTU: 65520})
	})
}

func configure(ns *os.File, dev string, addrs, via []string) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		return err
	}
	defer h.Close()
	for _, name := range []string{"lo", dev} {
		l, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		if err := h.LinkSetUp(l); err != nil {
			return err
		}
		if name == "lo" {
			continue
		}
		for _, addr := range addrs {
			a, err := netlink.ParseAddr(addr)
			if err != nil {
				return err
			}
			a.Flags = unix.IFA_F_NODAD
			if err := h.AddrAdd(l, a); err != nil {
				return fmt.Errorf("%s %s: %w", dev, addr, err)
			}
		}
		for _, gw := range via {
			if err := h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(gw)}); err != nil {
				return fmt.Errorf("%s via %s: %w", dev, gw, err)
			}
		}
	}
	return nil
}

// hold listens on a TCP address until its input ends.
func hold(addr string) {
	if _, err := net.Listen("tcp", addr); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("holding")
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}
