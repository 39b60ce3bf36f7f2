package etc

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// followed is a HostWatcher in a network namespace that nobody else is in. Act is
// carried out there, and must lead to a call, or to none.
func followed(t *testing.T, record string) (act func(what string, want bool, f func() error)) {
	t.Helper()
	calls := make(chan struct{}, 100)
	work, done := make(chan func()), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks it
		for f := range work {
			f()
		}
	}()
	inside := func(f func() error) {
		t.Helper()
		failed := make(chan error)
		work <- func() { failed <- f() }
		do(t, <-failed)
	}
	inside(func() error { return os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET)) })
	var w *HostWatcher
	inside(func() (err error) {
		w, err = WatchHost(record, func() { calls <- struct{}{} })
		return err
	})
	t.Cleanup(func() {
		do(t, w.Close())
		do(t, w.Close()) // twice is once
		close(work)
		<-done
	})
	act = func(what string, want bool, f func() error) {
		t.Helper()
		inside(f)
		patience := 5 * time.Second
		if !want {
			patience = 3 * settle
		}
		select {
		case <-calls:
			if !want {
				t.Errorf("%s: called", what)
			}
		case <-time.After(patience):
			if want {
				t.Errorf("%s: not called", what)
			}
		}
	}
	return act
}

func TestWatchHost(t *testing.T) {
	record := filepath.Join(t.TempDir(), "outlet.json")
	put(t, record, "{}")
	act := followed(t, record)
	nothing := func() error { return nil }
	act("the start", true, nothing)
	act("nothing", false, nothing)
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1, Name: "lo"}}
	act("an interface that is up", true, func() error { return netlink.LinkSetUp(lo) })
	addr, err := netlink.ParseAddr("192.0.2.9/32")
	do(t, err)
	act("an address", true, func() error { return netlink.AddrAdd(lo, addr) })
	_, dst, err := net.ParseCIDR("198.51.100.0/24")
	do(t, err)
	route := &netlink.Route{LinkIndex: 1, Dst: dst}
	act("a route", true, func() error { return netlink.RouteAdd(route) })
	act("no route", true, func() error { return netlink.RouteDel(route) })
	act("the way out", true, func() error { return os.WriteFile(record, []byte("{ }"), 0o600) })
	act("a file beside it", false, func() error { return os.WriteFile(record+".new", nil, 0o600) })
	// Many at once are one, though the socket cannot hold them all.
	act("a storm", true, func() error {
		for range 2000 {
			if err := netlink.AddrDel(lo, addr); err != nil {
				return err
			}
			if err := netlink.AddrAdd(lo, addr); err != nil {
				return err
			}
		}
		return nil
	})
	time.Sleep(burst)
}

// Without a record there is still the network.
func TestWatchHostWithoutRecord(t *testing.T) {
	act := followed(t, filepath.Join(t.TempDir(), "none"))
	act("the start", true, func() error { return nil })
	act("an interface that is up", true, func() error {
		return netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1, Name: "lo"}})
	})
}
