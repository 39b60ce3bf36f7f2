package slirp

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"sbx/tests/promised"
)

// The real programs configure a real namespace, and do so again when killed.
func TestRealHelpers(t *testing.T) {
	if err := unix.Access(tunDevice, unix.R_OK|unix.W_OK); err != nil {
		promised.OrSkip(t, "pasta", tunDevice, err)
	}
	if os.Getenv(ownNetwork) == "" {
		t.Skip("needs a network namespace")
	}
	hostRoute(t)
	for _, name := range []string{Pasta, Slirp4netns} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				promised.OrSkip(t, "pasta", err)
			}
			run := t.TempDir()
			d := &Driver{run: run, log: t.Output(), name: name}
			d.use(findPlace())
			mark := "/proc/%d/ns/net"
			if name == Pasta {
				mark = (&pasta{run: run}).pidFile()
			}
			real(t, d, mark)
		})
	}
}

func TestHostAddrs(t *testing.T) {
	if os.Getenv(ownNetwork) == "" {
		t.Skip("needs a network namespace")
	}
	if v4, v6, err := HostAddrs(); err != nil || v4.IsValid() || v6.IsValid() {
		t.Errorf("without a network: %v %v %v", v4, v6, err)
	}
	hostRoute(t)
	if v4, v6, err := HostAddrs(); err != nil || v4.String() != "192.0.2.2" || v6.String() != "2001:db8::2" {
		t.Errorf("%v %v %v", v4, v6, err)
	}
}

// hostRoute gives pasta something to be connected to.
func hostRoute(t *testing.T) {
	t.Helper()
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "uplink"}, PeerName: "far"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(link); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"lo", "far", "uplink"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	for _, words := range []string{"192.0.2.2/24 192.0.2.1", "2001:db8::2/64 2001:db8::1"} {
		address, via, _ := strings.Cut(words, " ")
		a, err := netlink.ParseAddr(address)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		gateway, err := netlink.ParseAddr(via + address[strings.Index(address, "/"):])
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Index, Gw: gateway.IP}); err != nil {
			t.Fatal(err)
		}
	}
}

// real runs it; mark is an argument that only this helper has, with %d for the pid
// of the process inside.
func real(t *testing.T, d *Driver, mark string) {
	inner := exec.Command("sleep", "60")
	inner.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := inner.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = inner.Process.Kill()
		_ = inner.Wait() // killed
	}()
	path := fmt.Sprintf("/proc/%d/ns/net", inner.Process.Pid)
	mark = strings.ReplaceAll(mark, "/proc/%d/ns/net", path)
	ns, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, stop, err := d.ConfigureNetwork(inner.Process.Pid, d.run, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
		if pids := helpers(t, mark); len(pids) != 0 {
			t.Errorf("processes %v are left", pids)
		}
	}()
	for range 2 {
		o, err := ReadOutlet(d.run)
		if err != nil || o.Driver != d.name {
			t.Fatalf("%+v %v", o, err)
		}
		index := configured(t, h)
		killed(t, mark)
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if l, err := h.LinkByName(Device); err == nil && l.Attrs().Index != index {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the device did not come back")
			}
		}
	}
}

// configured checks the device, and returns its number.
func configured(t *testing.T, h *netlink.Handle) int {
	t.Helper()
	l, err := h.LinkByName(Device)
	if err != nil {
		t.Fatal(err)
	}
	if l.Attrs().MTU != MTU {
		t.Errorf("MTU %d", l.Attrs().MTU)
	}
	addrs, err := h.AddrList(l, netlink.FAMILY_V4)
	if err != nil || len(addrs) != 1 || addrs[0].IP.String() != "10.0.2.100" {
		t.Errorf("addresses %v %v", addrs, err)
	}
	return l.Attrs().Index
}

// helpers are the running programs with the argument.
func helpers(t *testing.T, mark string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if pid, err := strconv.Atoi(e.Name()); err == nil && slices.Contains(strings.Split(string(cmdline), "\x00"), mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func killed(t *testing.T, mark string) {
	t.Helper()
	pids := helpers(t, mark)
	if len(pids) == 0 {
		t.Fatal("it does not run")
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}
