package slirp

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The switch's side of the way out, the same for both drivers.
const (
	Device = "tap0"
	MTU    = 65520
)

// Names of drivers.
const (
	Pasta       = "pasta"
	Slirp4netns = "slirp4netns"
	None        = "none"
)

// Outlet says how the switch is connected to the host's network.
type Outlet struct {
	Driver string `json:"driver"`           // Pasta, Slirp4netns or None
	Reason string `json:"reason,omitempty"` // why there is none
	Netns  uint64 `json:"netns,omitempty"`  // inode of the network namespace, namespaces(7)
	// Instead is why it is slirp4netns, though there is a pasta.
	Instead string `json:"instead,omitempty"`

	// Networks are those of the switch and the driver, one of IPv4 and one of IPv6.
	// What is there stands for the host, and is not for sandboxes.
	Networks []netip.Prefix `json:"networks,omitempty"`
}

// Loopback are the addresses that stand for 127.0.0.1 and ::1 of the host: those of
// the gateways. It is the switch's business who may use them.
func (o Outlet) Loopback() []netip.Addr {
	var list []netip.Addr
	for _, p := range o.Networks {
		list = append(list, nth(p, gatewayNumber))
	}
	return list
}

// ReadOutlet returns what the last start recorded in the runtime directory run;
// None if nothing is recorded yet. While a start is under way it waits for the
// result, ten seconds at most.
func ReadOutlet(run string) (Outlet, error) {
	f, err := os.Open(OutletFile(run))
	if errors.Is(err, fs.ErrNotExist) {
		return pending(usual), nil
	}
	if err != nil {
		return Outlet{}, err
	}
	defer f.Close()
	if err := flock(f, unix.LOCK_SH); err != nil {
		return Outlet{}, err
	}
	var o Outlet
	if err := json.NewDecoder(f).Decode(&o); err != nil {
		return Outlet{}, &os.PathError{Op: "parse", Path: f.Name(), Err: err}
	}
	return o, nil
}

// ReadNetworks returns Outlet.Networks, which are known before the result is.
func ReadNetworks(run string) ([]netip.Prefix, error) {
	var o Outlet
	text, err := os.ReadFile(OutletFile(run))
	if err == nil && json.Unmarshal(text, &o) == nil {
		return o.Networks, nil
	}
	o, err = ReadOutlet(run) // there is none, or it is just being written
	return o.Networks, err
}

// pending is the outlet before there is a result.
func pending(at place) Outlet {
	return Outlet{Driver: None, Reason: "not set up", Networks: at.networks()}
}

// OutletFile is where the way out is recorded. It is always written in place.
func OutletFile(run string) string { return filepath.Join(run, "outlet.json") }

// record is an outlet's file while the outlet is set up. It is locked, so that
// readers wait; a crash unlocks it.
type record struct {
	f     *os.File
	netns uint64
}

// openRecord begins a record for the network namespace at netns.
func openRecord(run, netns string, at place) (*record, error) {
	var st unix.Stat_t
	if err := unix.Stat(netns, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: netns, Err: err}
	}
	f, err := os.OpenFile(OutletFile(run), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	r := &record{f, st.Ino}
	if err := flock(f, unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := r.write(pending(at)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func (r *record) write(o Outlet) error {
	o.Netns = r.netns
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := r.f.WriteAt(data, 0); err != nil {
		return err
	}
	return r.f.Truncate(int64(len(data)))
}

// finish writes the result and lets the readers in.
func (r *record) finish(o Outlet) error {
	return errors.Join(r.write(o), r.f.Close())
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}
