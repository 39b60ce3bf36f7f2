package sandbox

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/network/etc"
)

// ownFiles are the files below /etc that a sandbox has of its own. They are never
// a part of an image that is made of it.
var ownFiles = []string{"hosts", "resolv.conf", "hostname"}

// ownMounts shows a sandbox its own files. On the host's network it sees the host's
// instead, unless flags want something else in them.
func (s *Supervisor) ownMounts(c *api.Config) []api.Mount {
	if c.Isolation.Network == "host" && !changesNames(c) {
		return nameService(c)
	}
	var mounts []api.Mount
	shared := s.sharedFiles(c)
	for _, name := range ownFiles {
		target := "/etc/" + name
		if c.Image == api.HostImage {
			// The host's file may be a link into /run, which is private.
			real, err := filepath.EvalSymlinks(target)
			if err != nil {
				continue // the root file system is read-only: there is no place for it
			}
			target = real
		}
		if !slices.ContainsFunc(c.Mounts, func(m api.Mount) bool { return filepath.Clean(m.Target) == target }) {
			from := s.Dirs.RunOf(c.ID)
			if name != "hostname" {
				from = shared
			}
			mounts = append(mounts, api.Mount{Type: "bind", Source: filepath.Join(from, name), Target: target, ReadOnly: c.Image == api.HostImage})
		}
	}
	return mounts
}

// sharedFiles is where the files about the network are: with the sandbox whose
// network it is.
func (s *Supervisor) sharedFiles(c *api.Config) string {
	name, ok := strings.CutPrefix(c.Isolation.Network, "container:")
	if !ok {
		return s.Dirs.RunOf(c.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	other, err := s.find(name)
	if err != nil {
		return s.Dirs.RunOf(c.ID) // joinNet has found it a moment ago
	}
	return s.Dirs.RunOf(other.config.ID)
}

func changesNames(c *api.Config) bool {
	n := &c.Net
	return len(n.DNS)+len(n.DNSSearch)+len(n.DNSOptions)+len(n.AddHosts) > 0
}

// touchOwnFiles makes empty ones, for what is mounted before they are known.
func (s *Supervisor) touchOwnFiles(id string) error {
	for _, name := range ownFiles {
		path := filepath.Join(s.Dirs.RunOf(id), name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return diskError("create", path, err)
		}
	}
	return nil
}

// writeOwnFiles makes them, when it is known where the sandbox is.
func (s *Supervisor) writeOwnFiles(b *box) error {
	texts, err := s.ownTexts(b)
	if err != nil {
		return err
	}
	for _, name := range ownFiles {
		path := filepath.Join(s.Dirs.RunOf(b.config.ID), name)
		if err := os.WriteFile(path, texts[name], 0o644); err != nil {
			return diskError("write", path, err)
		}
	}
	s.mu.Lock()
	b.resolv = texts["resolv.conf"]
	s.mu.Unlock()
	return nil
}

func (s *Supervisor) ownTexts(b *box) (map[string][]byte, error) {
	c := &b.config
	s.mu.Lock()
	ends := b.net.Endpoints
	s.mu.Unlock()
	hosts := etc.HostsFile{Hostname: c.Hostname, Names: []string{c.Name}}
	resolv := etc.ResolvFile{
		Host: s.hostResolv(), DNS: addresses(c.Net.DNS), Search: c.Net.DNSSearch, Options: c.Net.DNSOptions,
	}
	switch {
	case c.Isolation.Network == "host":
		resolv.Kind = etc.Host
		base, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, api.Wrap("read", "/etc/hosts", cause(err))
		}
		hosts.Base = append([]byte{}, base...)
	case len(ends) > 0:
		resolv.Kind = etc.Bridge
		hosts.Host = s.reachHost()
	}
	for _, e := range ends {
		if e.Network != api.DefaultNetwork {
			resolv.Kind = etc.Named
		}
		for _, a := range []netip.Addr{e.IP, e.IP6} {
			if a.IsValid() {
				hosts.Addrs = append(hosts.Addrs, a)
			}
		}
		if e.Gateway.IsValid() {
			resolv.Gateways = append(resolv.Gateways, e.Gateway)
		}
	}
	for _, text := range c.Net.AddHosts {
		add, err := etc.ParseAddHost(text)
		if err != nil {
			return nil, err
		}
		hosts.Add = append(hosts.Add, add)
	}
	texts := map[string][]byte{"hostname": etc.Hostname(c.Hostname)}
	var err error
	if texts["hosts"], err = hosts.Hosts(); err != nil {
		return nil, err
	}
	texts["resolv.conf"], err = resolv.Resolv()
	return texts, err
}

// reachHost is the host, as sandboxes on a bridge reach it.
func (s *Supervisor) reachHost() []netip.Addr {
	s.nets.mu.Lock()
	defer s.nets.mu.Unlock()
	return s.nets.reach
}

// hostResolv is the host's resolv.conf.
func (s *Supervisor) hostResolv() []byte {
	s.nets.mu.Lock()
	text := s.nets.host
	s.nets.mu.Unlock()
	if text != nil {
		return text
	}
	text, err := etc.Read(resolvConf)
	if err != nil {
		s.Log.Warn("read the host's resolvers", "error", err)
	}
	return text
}

// resolversChanged follows the host in the sandboxes that run, but for those whose
// programs have written into the file themselves.
func (s *Supervisor) resolversChanged(text []byte) {
	// The host is on another network, as a rule.
	reach := s.hostAddrs()
	s.nets.mu.Lock()
	s.nets.host, s.nets.reach = text, reach
	if s.nets.names != nil {
		s.nets.names.SetHost(reach...)
	}
	s.nets.mu.Unlock()
	s.mu.Lock()
	running := slices.DeleteFunc(s.owners(), func(b *box) bool { return b.resolv == nil })
	s.mu.Unlock()
	for _, b := range running {
		if err := s.followResolvers(b); err != nil {
			s.Log.Warn("follow the host's resolvers", "id", shortID(b.config.ID), "error", err)
		}
	}
}

func (s *Supervisor) followResolvers(b *box) error {
	texts, err := s.ownTexts(b)
	if err != nil {
		return err
	}
	path := filepath.Join(s.Dirs.RunOf(b.config.ID), "resolv.conf")
	// The sandbox sees this very file: it is written in place, and no link is
	// followed, though nothing in the sandbox could put one there.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has just ended
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s.mu.Lock()
	wrote := b.resolv
	s.mu.Unlock()
	buf := make([]byte, len(wrote)+1)
	n, _ := f.ReadAt(buf, 0) // an end too early is a difference too
	if !bytes.Equal(buf[:n], wrote) {
		return nil
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt(texts["resolv.conf"], 0); err != nil {
		return err
	}
	s.mu.Lock()
	b.resolv = texts["resolv.conf"]
	s.mu.Unlock()
	return nil
}
