package slirp

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// The addresses of the switch's side of the way out, the same for both drivers.
const (
	Device  = "tap0"
	Address = "10.0.2.100"
	Netmask = 24
	Gateway = "10.0.2.2"
	DNS     = "10.0.2.3" // answered by the resolver of the host
	MTU     = 65520

	Address6 = "fd00::100"
	Gateway6 = "fd00::2"
	DNS6     = "fd00::3"
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
}

// ReadOutlet returns what the last start recorded in the runtime directory run;
// None if nothing is recorded yet.
func ReadOutlet(run string) (Outlet, error) {
	data, err := os.ReadFile(outletFile(run))
	if errors.Is(err, fs.ErrNotExist) {
		return Outlet{Driver: None, Reason: "not set up"}, nil
	}
	if err != nil {
		return Outlet{}, err
	}
	var o Outlet
	if err := json.Unmarshal(data, &o); err != nil {
		return Outlet{}, &os.PathError{Op: "parse", Path: outletFile(run), Err: err}
	}
	return o, nil
}

func (o Outlet) write(run string) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(outletFile(run), data, 0o600)
}

func outletFile(run string) string { return filepath.Join(run, "outlet.json") }
