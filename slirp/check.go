package slirp

import (
	"errors"
	"io"
	"os/exec"

	"sbx/api"
	"sbx/internal/remedy"
)

// lostWayOut is what does not work without one.
const lostWayOut = "sandboxes reach nothing outside; --network none and host, and bridges among sandboxes, work without it"

// slower is what slirp4netns costs.
const slower = "pasta would be several times as fast as slirp4netns"

// Check tries the way out with the network namespace at netns, which must belong to
// the user namespace of the caller, and keeps its files in the directory dir. At
// both, nothing is left.
func Check(dir, netns string) []api.Finding {
	const name = "way out"
	device := api.Finding{Name: "tun device", Level: api.Green, What: tunDevice + " can be opened"}
	if err := tun(); err != nil {
		device = api.Lacking(api.Yellow, device.Name, err, lostWayOut, api.Remedy{})
	}
	driver, err := choose(exec.LookPath)
	if err != nil {
		return []api.Finding{api.Lacking(api.Yellow, name, err, lostWayOut, remedy.Passt()), device}
	}
	if device.Level != api.Green {
		return []api.Finding{device} // the reason why it fails
	}
	if err := try(driver, dir, netns); err != nil {
		if _, missing := exec.LookPath(Slirp4netns); driver == Pasta && missing == nil && try(Slirp4netns, dir, netns) == nil {
			return []api.Finding{api.Lacking(api.Yellow, name, err, slower+", which is used in its place", api.Remedy{Text: "see why pasta fails: a newer version of it, or a security module that lets it work"}), device}
		}
		return []api.Finding{api.Lacking(api.Yellow, name, err, lostWayOut, api.Remedy{}), device}
	}
	f := api.Finding{Name: name, Level: api.Green, What: driver}
	if driver != Pasta {
		f.Level, f.Lost, f.Remedy = api.Yellow, slower, remedy.Passt()
	}
	return []api.Finding{f, device}
}

// try connects the namespace, and takes the connection away again.
func try(driver, dir, netns string) (err error) {
	d, err := Private(driver, dir, 0, io.Discard)
	if err != nil {
		return err
	}
	stop, err := d.Open(netns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	o, err := ReadOutlet(dir)
	if err != nil {
		return err
	}
	if o.Driver == None {
		return api.Errorf("connect a network with", driver, "%s", o.Reason)
	}
	return nil
}
