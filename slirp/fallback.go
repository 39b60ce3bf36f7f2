package slirp

import (
	"fmt"
	"os/exec"
)

// lost says why pasta, which has been found, does not work, and puts slirp4netns in its
// place: a security module, a filter or an old kernel can be in its way. Where both
// would fail it does nothing: without the device, or without a route to anywhere, for
// which watch waits. Nor for who has asked for pasta.
func (d *Driver) lost(why error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.name != Pasta || d.private || tun() != nil || !routed() {
		return false
	}
	if _, err := exec.LookPath(Slirp4netns); err != nil {
		return false
	}
	fmt.Fprintf(d.log, "slirp: %s in the place of %s: %v\n", Slirp4netns, Pasta, why)
	// What it has left: it may have failed after it wrote its number.
	if err := d.inner.stop(); err != nil {
		fmt.Fprintln(d.log, "slirp:", err)
	}
	d.name, d.instead = Slirp4netns, why.Error()
	// The networks stay: the rules of the switch have them already.
	d.inner = &slirp4netns{bin: Slirp4netns, at: d.at, mtu: d.mtu, only4: d.at.v6 != places6[0]}
	return true
}

// routed says whether the host has a way to the outside.
func routed() bool {
	v4, v6, err := HostAddrs()
	return err == nil && (v4.IsValid() || v6.IsValid())
}

// helper is the program that is used now.
func (d *Driver) helper() helper {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inner
}
