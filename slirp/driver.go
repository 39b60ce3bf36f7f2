package slirp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	kit "github.com/rootless-containers/rootlesskit/v3/pkg/api"
	"github.com/rootless-containers/rootlesskit/v3/pkg/messages"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// Driver is a network.ParentDriver that takes the way out that there is, records
// it, and lets the start go on if there is none.
type Driver struct {
	run     string
	log     io.Writer
	private bool // of one sandbox, which has named the program
	mtu     int  // 0 is MTU

	mu      sync.Mutex // of what follows, which lost changes
	name    string
	at      place
	inner   helper // nil with None
	err     error  // why, with None
	instead string // why it is not pasta
}

// New chooses by what is found in $PATH. Run is the runtime directory, log takes
// what the helpers have to say.
func New(run string, log io.Writer) *Driver {
	d := &Driver{run: run, log: log}
	d.name, d.err = choose(exec.LookPath)
	d.use(findPlace())
	return d
}

// use makes the helper for a place.
func (d *Driver) use(at place) {
	d.at = at
	if d.mtu == 0 {
		d.mtu = MTU
	}
	switch d.name {
	case Pasta:
		d.inner = &pasta{bin: Pasta, run: d.run, at: at, mtu: d.mtu}
	case Slirp4netns:
		d.at.v6 = places6[0] // it knows no other
		d.inner = &slirp4netns{bin: Slirp4netns, at: d.at, mtu: d.mtu}
	}
}

// Name is Pasta, Slirp4netns or None.
func (d *Driver) Name() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.name
}

// choose prefers pasta: several times the throughput, and it does not die with
// the parent process.
func choose(look func(string) (string, error)) (string, error) {
	if _, err := look(Pasta); err == nil {
		return Pasta, nil
	}
	if _, err := look(Slirp4netns); err != nil {
		return None, api.Errorf("connect the network", "", "neither pasta nor slirp4netns found in PATH").WithRemedy(remedy.Passt())
	}
	return Slirp4netns, nil
}

// Info implements network.ParentDriver.
func (d *Driver) Info(context.Context) (*kit.NetworkDriverInfo, error) {
	if d.helper() == nil {
		return &kit.NetworkDriverInfo{Driver: None}, nil
	}
	return info(d.Name(), d.at), nil
}

// MTU implements network.ParentDriver.
func (d *Driver) MTU() int { return d.mtu }

// ConfigureNetwork implements network.ParentDriver. It does not fail for want of
// a way out: the reason goes to the outlet's record and to the log. The message
// then names no device.
//
// The helper is still starting when it returns; ReadOutlet waits for that. One
// that dies later is started again: the switch keeps its bridges and addresses.
func (d *Driver) ConfigureNetwork(childPID int, _, netns string) (*messages.ParentInitNetworkDriverCompleted, func() error, error) {
	r, err := openRecord(d.run, netns, d.at)
	if err != nil {
		return nil, nil, err
	}
	if d.inner == nil {
		fmt.Fprintln(d.log, "slirp: no way out:", d.finish(r, d.err))
		return &messages.ParentInitNetworkDriverCompleted{}, nil, nil
	}
	return message(d.at, d.mtu), d.watch(childPID, netns, r, nil), nil
}

// finish records the result, and returns why there is no way out. What goes wrong
// with that shows to a reader, as an outlet that is not set up.
func (d *Driver) finish(r *record, failure error) (reason string) {
	o := Outlet{Driver: d.Name(), Networks: d.at.networks(), Instead: d.instead}
	if failure != nil {
		o.Driver, o.Reason = None, failure.Error()
		if d.instead != "" {
			o.Reason = d.instead + "; and " + o.Reason
		}
		if err := tun(); d.inner != nil && err != nil {
			o.Reason += ": " + err.Error()
		}
	}
	if err := r.finish(o); err != nil {
		fmt.Fprintln(d.log, "slirp:", err)
	}
	return o.Reason
}

// The device that both helpers make the interface with.
const tunDevice = "/dev/net/tun"

// tun says why that device cannot be opened, and what to do about it; nil if it can.
func tun() error {
	f, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err == nil {
		return f.Close()
	}
	e := api.Wrap("open", tunDevice, errors.Unwrap(err))
	if errors.Is(err, os.ErrPermission) {
		return e.WithRemedy(remedy.Tun())
	}
	return e.WithRemedy(remedy.TunModule())
}

// Stop ends the helper of this runtime directory, if there is one. It is not
// needed where the cleanup of ConfigureNetwork runs.
func (d *Driver) Stop() error {
	inner := d.helper()
	if inner == nil {
		return nil
	}
	return inner.stop()
}

// Reconnect starts the way out again for a namespace that has outlived the one
// who made it, unless it still has one. Pid is a process in it whose mount
// namespace has it at netns. The returned function ends it.
func (d *Driver) Reconnect(pid int, netns string) (stop func() error, err error) {
	if d.inner != nil {
		if ended := d.inner.adopt(); ended != nil {
			last, err := ReadOutlet(d.run)
			if err != nil {
				return nil, err
			}
			var st unix.Stat_t
			if unix.Stat(netns, &st) == nil && last.Driver == d.Name() && last.Netns == st.Ino && len(last.Networks) == 2 {
				d.use(place{last.Networks[0], last.Networks[1]})
				return d.watch(pid, netns, nil, ended), nil
			}
		}
	}
	_, stop, err = d.ConfigureNetwork(pid, d.run, netns)
	return stop, err
}
