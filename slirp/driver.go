package slirp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"

	kit "github.com/rootless-containers/rootlesskit/v3/pkg/api"
	"github.com/rootless-containers/rootlesskit/v3/pkg/messages"
	"github.com/rootless-containers/rootlesskit/v3/pkg/network"
	"github.com/rootless-containers/rootlesskit/v3/pkg/network/slirp4netns"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// Driver is a network.ParentDriver that takes the way out that there is, records
// it, and lets the start go on if there is none.
type Driver struct {
	run   string
	log   io.Writer
	name  string
	inner network.ParentDriver // nil with None; *pasta
	err   error                // why, with None
}

// New chooses by what is found in $PATH. Run is the runtime directory, log takes
// what the helpers have to say.
func New(run string, log io.Writer) *Driver {
	d := &Driver{run: run, log: log}
	d.name, d.err = choose(exec.LookPath)
	switch d.name {
	case Pasta:
		d.inner = &pasta{bin: Pasta, run: run}
	case Slirp4netns:
		// Its own sandbox does not get along with a detached namespace, and its
		// seccomp filter is fatal where a system call is new to it.
		d.inner, d.err = slirp4netns.NewParentDriver(log, Slirp4netns, MTU, nil, Device, true, "", false, false, false)
		if d.err != nil {
			d.name, d.inner = None, nil
		}
	}
	return d
}

// Name is Pasta, Slirp4netns or None.
func (d *Driver) Name() string { return d.name }

// Check says what is missing for a way out; nil if nothing is.
func Check() error {
	if _, err := choose(exec.LookPath); err != nil {
		return err
	}
	if err := unix.Access(tunDevice, unix.R_OK|unix.W_OK); err != nil {
		return api.Wrap("open", tunDevice, err).WithHint(tunHint)
	}
	return nil
}

// choose prefers pasta: several times the throughput, and it does not die with
// the parent process. rootlesskit's slirp4netns driver runs ip and nsenter.
func choose(look func(string) (string, error)) (string, error) {
	if _, err := look(Pasta); err == nil {
		return Pasta, nil
	}
	const op = "connect the network"
	if _, err := look(Slirp4netns); err != nil {
		return None, api.Errorf(op, "", "neither pasta nor slirp4netns found in PATH").
			WithHint("install the package passt; --network none and host work without it")
	}
	for _, tool := range []string{"ip", "nsenter"} {
		if _, err := look(tool); err != nil {
			return None, api.Errorf(op, "", "slirp4netns needs %s, not found in PATH", tool).
				WithHint("install the package passt, or iproute2 and util-linux")
		}
	}
	return Slirp4netns, nil
}

// Info implements network.ParentDriver.
func (d *Driver) Info(ctx context.Context) (*kit.NetworkDriverInfo, error) {
	if d.inner == nil {
		return &kit.NetworkDriverInfo{Driver: None}, nil
	}
	return d.inner.Info(ctx)
}

// MTU implements network.ParentDriver.
func (d *Driver) MTU() int { return MTU }

// ConfigureNetwork implements network.ParentDriver. It does not fail for want of
// a way out: the reason goes to the outlet's record and to the log. The message
// then names no device.
//
// Pasta is still starting when it returns; ReadOutlet waits for that.
func (d *Driver) ConfigureNetwork(childPID int, stateDir, netns string) (*messages.ParentInitNetworkDriverCompleted, func() error, error) {
	r, err := openRecord(d.run, netns)
	if err != nil {
		return nil, nil, err
	}
	switch inner := d.inner.(type) {
	case *pasta:
		ctx, cancel := context.WithTimeout(context.Background(), pastaStart)
		started := make(chan struct{})
		go func() {
			defer close(started)
			d.finish(r, inner.start(ctx, childPID, netns))
		}()
		return inner.message(), func() error {
			cancel()
			<-started
			return inner.stop()
		}, nil
	case nil:
		d.finish(r, d.err)
		return &messages.ParentInitNetworkDriverCompleted{}, nil, nil
	default:
		msg, undo, err := inner.ConfigureNetwork(childPID, stateDir, netns)
		if err != nil {
			if undo != nil {
				err = errors.Join(err, undo())
			}
			msg, undo = &messages.ParentInitNetworkDriverCompleted{}, nil
		}
		d.finish(r, err)
		return msg, undo, nil
	}
}

// finish records the result. What goes wrong with that shows to a reader, as an
// outlet that is not set up.
func (d *Driver) finish(r *record, failure error) {
	o := Outlet{Driver: d.name}
	if failure != nil {
		o.Driver, o.Reason = None, failure.Error()
		if d.inner != nil && unix.Access(tunDevice, unix.R_OK|unix.W_OK) != nil {
			o.Reason += ": " + tunHint
		}
		fmt.Fprintln(d.log, "slirp: no way out:", o.Reason)
	}
	if err := r.finish(o); err != nil {
		fmt.Fprintln(d.log, "slirp:", err)
	}
}

// The device that both helpers make the interface with.
const (
	tunDevice = "/dev/net/tun"
	tunHint   = "you may not open " + tunDevice + "; an administrator can run chmod 666 " + tunDevice
)

// Stop ends the helper of this runtime directory, if there is one. It is not
// needed where the cleanup of ConfigureNetwork runs.
func (d *Driver) Stop() error {
	if p, ok := d.inner.(*pasta); ok {
		return p.stop()
	}
	return nil // slirp4netns dies with its parent
}

// Reconnect starts the way out again for a namespace that has outlived the one
// who made it, unless it still has one. Pid is a process in it whose mount
// namespace has it at netns. The returned function ends it.
func (d *Driver) Reconnect(pid int, netns string) (stop func() error, err error) {
	if p, ok := d.inner.(*pasta); ok && p.running() {
		last, err := ReadOutlet(d.run)
		if err != nil {
			return nil, err
		}
		var st unix.Stat_t
		if unix.Stat(netns, &st) == nil && last.Driver == Pasta && last.Netns == st.Ino {
			return p.stop, nil
		}
	}
	_, stop, err = d.ConfigureNetwork(pid, d.run, netns)
	return stop, err
}
