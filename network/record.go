package network

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sbx/api"
	"sbx/internal/names"
	"sbx/internal/sys"
)

// Default is the network of a sandbox that names none. It is made when it is
// first used, and cannot be removed.
const Default = "bridge"

// Network is what is recorded of a network, in Docker's terms.
type Network struct {
	ID       string            `json:"id"` // 64 hex digits
	Name     string            `json:"name"`
	Driver   string            `json:"driver"` // always "bridge"
	Bridge   string            `json:"bridge"` // its interface in the switch
	Subnets  []Subnet          `json:"subnets"`
	IPv6     bool              `json:"ipv6,omitempty"`
	Internal bool              `json:"internal,omitempty"` // no way out
	Isolate  bool              `json:"isolate,omitempty"`  // members reach the gateway only
	MTU      int               `json:"mtu"`
	Labels   map[string]string `json:"labels,omitempty"`
	Options  map[string]string `json:"options,omitempty"` // as given; see Create
	Created  time.Time         `json:"created"`
}

// Subnet is one of IPv4 or IPv6; a network has at most one of each.
type Subnet struct {
	Prefix  netip.Prefix `json:"prefix"`
	Gateway netip.Addr   `json:"gateway"`
	Range   netip.Prefix `json:"range,omitzero"` // where addresses are chosen from; the whole prefix if not set
}

// subnet is that of one family, nil if there is none.
func (n *Network) subnet(v6 bool) *Subnet {
	for i := range n.Subnets {
		if n.Subnets[i].Prefix.Addr().Is6() == v6 {
			return &n.Subnets[i]
		}
	}
	return nil
}

// reserved names mean something else after --network.
func reserved(name string) bool {
	switch name {
	case "none", "host", "container", "default", "pasta", "slirp4netns", Default:
		return true
	}
	return false
}

// validName refuses names that cannot be a file's, or mean something else.
func validName(name string) error {
	if reserved(name) {
		return api.Errorf("create network", name, "the name is reserved").WithHint("choose another name")
	}
	if err := names.Valid(name); err != nil {
		return api.Wrap("create network", "", err)
	}
	return nil
}

// load reads all records in dir. A file that cannot be read is an error that
// names it: its subnet would be given away a second time.
func load(dir string) (map[string]*Network, error) {
	found := map[string]*Network{}
	half, err := sys.Named(dir, ".new-", "")
	if err != nil {
		return nil, err
	}
	for _, file := range half { // of a crash
		if err := os.Remove(file); err != nil {
			return nil, api.Wrap("remove", file, err)
		}
	}
	files, err := sys.Named(dir, "", ".json")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, api.Wrap("read network", file, err)
		}
		n := new(Network)
		if err := json.Unmarshal(data, n); err != nil {
			return nil, api.Wrap("read network", file, err).WithHint("mend or remove the file")
		}
		if name := strings.TrimSuffix(filepath.Base(file), ".json"); n.Name != name || n.subnet(false) == nil || n.Bridge == "" {
			return nil, api.Errorf("read network", file, "not the record of a network %s", name).WithHint("mend or remove the file")
		}
		found[n.Name] = n
	}
	return found, nil
}

func recordFile(dir, name string) string { return filepath.Join(dir, name+".json") }

// save writes the record so that a power cut leaves a whole one or none.
func (n *Network) save(dir string) (err error) {
	defer func() {
		if err != nil {
			err = api.Wrap("record network", n.Name, err)
		}
	}()
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), recordFile(dir, n.Name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// erase removes the record.
func (n *Network) erase(dir string) error {
	if err := os.Remove(recordFile(dir, n.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
