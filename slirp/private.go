package slirp

import (
	"io"
	"os/exec"

	"sbx/api"
	"sbx/internal/remedy"
)

// Private is the driver of a way out that is shared with nobody, by the program that
// is named: Pasta or Slirp4netns. Its network namespace must belong to the user
// namespace of the caller, and dir to it alone. MTU 0 is the usual one. The error says what to install.
//
// The namespace must not be one that a sandbox has a raw socket in: the programs
// take a frame for 127.0.0.1 for a connection to the loopback interface of the host,
// whatever they were told (passt 2023-03-09 and slirp4netns 1.2.0 do). Behind a switch
// there is no such frame.
func Private(name, dir string, mtu int, log io.Writer) (*Driver, error) {
	if _, err := exec.LookPath(name); err != nil {
		r := remedy.Slirp4netns()
		if name == Pasta {
			r = remedy.Passt()
		}
		return nil, api.Errorf("use --network "+name, "", "%s is not found in PATH", name).
			WithHint("%s, or use the way out that all share, --network %s", r.Text, api.DefaultNetwork)
	}
	d := &Driver{run: dir, log: log, private: true, name: name, mtu: mtu}
	d.use(findPlace())
	return d, nil
}

// Open begins to connect the network namespace at netns, or takes over the program
// that an earlier process has left there. ReadOutlet waits for the result. The
// returned function ends it.
func (d *Driver) Open(netns string) (stop func() error, err error) {
	return d.Reconnect(ownUserns, netns)
}

// EndPrivate ends the program that a process which is gone has started for the way
// out in dir. Slirp4netns has ended with that process.
func EndPrivate(dir string) error { return (&pasta{run: dir}).stop() }
