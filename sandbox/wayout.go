package sandbox

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/undo"
	"sbx/network"
	"sbx/network/names"
	"sbx/slirp"
	"sbx/slirp/ports"
)

// wayOut is the network of a sandbox with --network pasta or slirp4netns: a switch
// for it alone, with a way out of its own. The sandbox is in there as it would be in
// the switch of all, so that everything about bridges holds for it too.
//
// The device of pasta is not in the sandbox's own namespace: a program that may send
// raw frames, as all may by default, would reach the host's loopback interface
// through it. See slirp.Private.
type wayOut struct {
	networks
	driver *slirp.Driver
	stop   func() error // ends pasta
}

// wantsWayOut says whether a sandbox has a way out of its own.
func wantsWayOut(c *api.Config) bool {
	return c.Isolation.Network == slirp.Pasta || c.Isolation.Network == slirp.Slirp4netns
}

// wayOutDir has the network namespace and the files of a way out. Its sockets are
// as deep as those of monitors: their paths may not be longer.
func (s *Supervisor) wayOutDir(id string) string { return s.Dirs.RunOf(id) + ".net" }

func wayOutNetns(dir string) string { return filepath.Join(dir, "netns") }

// networkOf is what the interfaces of a sandbox are attached to.
func (s *Supervisor) networkOf(c *api.Config) (*networks, error) {
	if !wantsWayOut(c) {
		return s.network()
	}
	n := &s.nets
	n.ways.Lock()
	w := n.wayOuts[c.ID]
	n.ways.Unlock()
	if w != nil {
		return &w.networks, nil
	}
	w, err := s.openWayOut(c, nil)
	if err != nil {
		return nil, err
	}
	return &w.networks, nil
}

// openWayOut makes a way out, or takes over the one that an earlier supervisor has
// made for a sandbox that runs; live are its interfaces. Pasta is still starting when
// it returns. After an error the caller must call endWayOut.
func (s *Supervisor) openWayOut(c *api.Config, live []network.Endpoint) (_ *wayOut, err error) {
	// What follows the host's resolvers and addresses belongs to the network of all.
	if _, err := s.network(); err != nil {
		return nil, err
	}
	dir := s.wayOutDir(c.ID)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, dirs.DiskError("mkdir", dir, err)
	}
	mtu := cmp.Or(c.Net.MTU, slirp.MTU)
	w := &wayOut{}
	if w.driver, err = slirp.Private(c.Isolation.Network, dir, mtu, logLines{s.Log, c.ID}); err != nil {
		return nil, withCode(err, api.ExitFault)
	}
	if err := slirp.KeepNetns(wayOutNetns(dir)); err != nil {
		return nil, api.Wrap("make a network namespace for", c.Name, err)
	}
	var undo undo.Stack
	defer undo.Unwind(&err)
	if w.stop, err = w.driver.Open(wayOutNetns(dir)); err != nil {
		return nil, err
	}
	undo.Add("end "+c.Isolation.Network, w.stop)
	if err := s.fill(w, dir, mtu, live); err != nil {
		return nil, err
	}
	undo.Release()
	s.nets.ways.Lock()
	defer s.nets.ways.Unlock()
	if s.nets.wayOuts == nil {
		s.nets.wayOuts = map[string]*wayOut{}
	}
	s.nets.wayOuts[c.ID] = w
	return w, nil
}

// fill opens what a switch consists of.
func (s *Supervisor) fill(w *wayOut, dir string, mtu int, live []network.Endpoint) (err error) {
	netns, err := os.Open(wayOutNetns(dir))
	if err != nil {
		return err
	}
	defer netns.Close()
	aliases, err := slirp.ReadNetworks(dir)
	if err != nil {
		return api.Wrap("read the way out", "", err)
	}
	var undo undo.Stack
	defer undo.Unwind(&err)
	w.swtch, err = network.Open(network.Options{
		Dir: filepath.Join(dir, "networks"), NetNS: netns, MTU: mtu, Device: slirp.Device, Aliases: aliases,
	})
	if err != nil {
		return err
	}
	undo.Add("close the switch", w.swtch.Close)
	if err := w.swtch.Recover(live); err != nil {
		return err
	}
	w.reach, w.loopback = s.ownAddrs(), slirp.Outlet{Networks: aliases}.Loopback()
	if w.names, err = names.Open(netns, names.Options{Host: w.reach}); err != nil {
		return err
	}
	undo.Add("close the responder", w.names.Close)
	if w.ports, err = ports.Open(ports.Options{Run: dir, Switch: wayOutNetns(dir), Log: s.Log}); err != nil {
		return err
	}
	undo.Release()
	return nil
}

// wayOutBegun waits until pasta works: without it there is no point in the sandbox.
func (s *Supervisor) wayOutBegun(b *box) error {
	s.nets.ways.Lock()
	w := s.nets.wayOuts[b.config.ID]
	s.nets.ways.Unlock()
	if w == nil {
		return api.Errorf("connect the network of", b.config.Name, "it has just been ended")
	}
	out, err := slirp.ReadOutlet(s.wayOutDir(b.config.ID))
	if err != nil {
		return api.Wrap("connect the network of", b.config.Name, err)
	}
	if out.Driver == slirp.None {
		return api.Errorf("connect the network of", b.config.Name, "%s", out.Reason).
			WithHint("--network %s is the way out that all share", api.DefaultNetwork)
	}
	return nil
}

// endWayOut ends all that belongs to a sandbox's way out, whoever has started it. It
// is no error if there is none.
func (s *Supervisor) endWayOut(id string) error {
	n, dir := &s.nets, s.wayOutDir(id)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) || !isID(id) {
		return nil
	}
	n.ways.Lock()
	w := n.wayOuts[id]
	delete(n.wayOuts, id)
	n.ways.Unlock()
	errs := []error{s.endPorts(w, dir)}
	if w != nil {
		errs = append(errs, w.names.Close(), w.swtch.Close(), w.stop())
	} else {
		errs = append(errs, slirp.EndPrivate(dir))
	}
	// Its interfaces go with the namespace, and that with its last user.
	err := unix.Unmount(wayOutNetns(dir), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // of another mount namespace, or not there
		errs = append(errs, &os.PathError{Op: "umount", Path: wayOutNetns(dir), Err: err})
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

// endPorts ends the process that forwards the ports of a way out; w may be nil.
func (s *Supervisor) endPorts(w *wayOut, dir string) error {
	var table *ports.Table
	switch {
	case w != nil:
		table = w.ports
	case !ports.Published(dir):
		return nil
	default:
		var err error
		if table, err = ports.Open(ports.Options{Run: dir, Switch: wayOutNetns(dir), Log: s.Log}); err != nil {
			return err
		}
	}
	var errs []error
	for id := range table.List() {
		errs = append(errs, table.Remove(s.ctx, id))
	}
	return errors.Join(append(errs, table.Close())...)
}

// recoverWayOuts takes over those of the sandboxes that run.
func (s *Supervisor) recoverWayOuts() {
	for _, b := range s.boxes {
		if b.link == nil || !wantsWayOut(&b.config) {
			continue
		}
		ends := b.net.Endpoints
		w, err := s.openWayOut(&b.config, ends)
		if err == nil {
			for i := range ends {
				err = errors.Join(err, w.know(&ends[i], b, w.reached()))
			}
		}
		if err != nil {
			s.Log.Error("its way out does not work", "id", shortID(b.config.ID), "error", err)
		}
	}
}

// wayOutsBehind are those that know other addresses of the host than these.
func (s *Supervisor) wayOutsBehind(reach []netip.Addr) []*wayOut {
	n := &s.nets
	n.ways.Lock()
	defer n.ways.Unlock()
	var list []*wayOut
	for _, w := range n.wayOuts {
		if !slices.Equal(w.reached(), reach) {
			list = append(list, w)
		}
	}
	return list
}

// follow makes the addresses known that the host has now.
func (w *wayOut) follow(reach []netip.Addr) {
	w.mu.Lock()
	w.reach = reach
	w.mu.Unlock()
	w.names.SetHost(reach...)
}

func (n *networks) reached() []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reach
}

// ownAddrs are those of the host, for whoever has a way out.
func (s *Supervisor) ownAddrs() []netip.Addr {
	v4, v6, err := slirp.HostAddrs()
	if err != nil {
		s.Log.Warn("find the host's addresses", "error", err)
	}
	return slices.DeleteFunc([]netip.Addr{v4, v6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// reachHost is the host, as a sandbox with these interfaces reaches it.
func (s *Supervisor) reachHost(c *api.Config, ends []network.Endpoint) []netip.Addr {
	n := &s.nets
	if wantsWayOut(c) {
		n.ways.Lock()
		w := n.wayOuts[c.ID]
		n.ways.Unlock()
		if w == nil {
			return nil
		}
		n = &w.networks
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hostOf(c, ends, n.reach)
}

// hostOf is reachHost on one switch: for a sandbox that may use it, the loopback
// interface, by which it reaches all that a program of the host reaches at localhost.
func (n *networks) hostOf(c *api.Config, ends []network.Endpoint, reach []netip.Addr) []netip.Addr {
	if !c.Net.HostLoopback {
		return reach
	}
	// Pasta does IPv6 where the host has it.
	has6 := slices.ContainsFunc(ends, func(e network.Endpoint) bool { return e.IP6.IsValid() }) && slices.ContainsFunc(reach, netip.Addr.Is6)
	return slices.DeleteFunc(slices.Clone(n.loopback), func(a netip.Addr) bool { return a.Is6() && !has6 })
}

// wayOutWorks says why there is no way out for all, if there is none.
func (s *Supervisor) wayOutWorks() error {
	out, err := slirp.ReadOutlet(s.Dirs.Run)
	if err != nil {
		return api.Wrap("read the way out", "", err)
	}
	if out.Driver == slirp.None {
		return api.Errorf("reach the host's loopback", "", "there is no way out: %s", out.Reason)
	}
	return nil
}

// logLines puts what a driver writes into the log.
type logLines struct {
	log *slog.Logger
	id  string
}

func (l logLines) Write(p []byte) (int, error) {
	l.log.Warn(strings.TrimSpace(string(p)), "id", shortID(l.id))
	return len(p), nil
}
