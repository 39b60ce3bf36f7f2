package sandbox

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/network/etc"
)

// ownFiles are the files below /etc that a sandbox has of its own. They are never
// a part of an image that is made of it.
var ownFiles = []string{"hosts", "resolv.conf", "hostname"}

// files are texts by their names.
type files map[string][]byte

// ownMounts shows a sandbox its own files. On the host's network it sees the host's
// instead, unless flags want something else in them; on another sandbox's network
// it sees that one's.
func (s *Supervisor) ownMounts(c *api.Config) []api.Mount {
	if c.Isolation.Network == "host" && !changesNames(c) {
		return nameService(c)
	}
	var mounts []api.Mount
	from := s.filesOf(c)
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
			mounts = append(mounts, api.Mount{Type: "bind", Source: filepath.Join(from, name), Target: target, ReadOnly: c.Image == api.HostImage})
		}
	}
	return mounts
}

// ownFile is where one of its own files is. A program may write into them: they are
// on disk, as its layer is, and not in the runtime directory, whose few megabytes
// all programs of the user share.
func (s *Supervisor) ownFile(id, name string) string {
	return filepath.Join(s.Dirs.Sandboxes(), id, name)
}

// filesOf is the directory with the files that a sandbox sees.
func (s *Supervisor) filesOf(c *api.Config) string {
	dir := filepath.Join(s.Dirs.Sandboxes(), c.ID)
	name, ok := strings.CutPrefix(c.Isolation.Network, "container:")
	if !ok {
		return dir
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	other, err := s.find(name)
	if err != nil {
		return dir // joinNet has found it a moment ago
	}
	other.shared = true
	return other.dir
}

func changesNames(c *api.Config) bool {
	n := &c.Net
	return len(n.DNS)+len(n.DNSSearch)+len(n.DNSOptions)+len(n.AddHosts) > 0
}

// writeOwnFiles makes them, when it is known where the sandbox is.
func (s *Supervisor) writeOwnFiles(b *box) error {
	texts, err := s.ownTexts(b)
	if err != nil {
		return err
	}
	for _, name := range ownFiles {
		path := s.ownFile(b.config.ID, name)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return dirs.DiskError("open", path, cause(err))
		}
		if err := errors.Join(overwrite(f, texts[name]), f.Close()); err != nil {
			return dirs.DiskError("write", path, err)
		}
	}
	s.mu.Lock()
	b.own = texts
	s.mu.Unlock()
	return nil
}

// overwrite gives a file another content. It is never empty meanwhile: that would
// be a file with no names to a reader, and to ext4 a reason to write it to disk at
// once (auto_da_alloc in ext4(5)).
func overwrite(f *os.File, text []byte) error {
	if _, err := f.WriteAt(text, 0); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil || st.Size() == int64(len(text)) {
		return err
	}
	return f.Truncate(int64(len(text)))
}

func (s *Supervisor) ownTexts(b *box) (files, error) {
	s.mu.Lock()
	config, ends := b.config, b.net.Endpoints // it may be renamed meanwhile
	s.mu.Unlock()
	c := &config
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
		hosts.Host = s.reachHost(c, ends)
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
	texts := files{"hostname": etc.Hostname(c.Hostname)}
	var err error
	if texts["hosts"], err = hosts.Hosts(); err != nil {
		return nil, err
	}
	texts["resolv.conf"], err = resolv.Resolv()
	return texts, err
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

// resolversChanged follows the host's resolv.conf.
func (s *Supervisor) resolversChanged(text []byte) {
	s.followHost(func(n *networks) { n.host = text })
}

// hostChanged follows the addresses by which sandboxes reach the host.
func (s *Supervisor) hostChanged() {
	s.leadOut() // there may have been no way out until now
	reach, own := s.hostAddrs(), s.ownAddrs()
	behind := s.wayOutsBehind(own)
	if len(behind) == 0 && slices.Equal(reach, s.nets.reached()) {
		return
	}
	s.followHost(func(n *networks) {
		n.reach = reach
		if n.names != nil {
			n.names.SetHost(reach...)
		}
		for _, w := range behind {
			w.follow(own)
		}
	})
}

// followHost records a change of the host's, and makes it known in the sandboxes
// that run.
func (s *Supervisor) followHost(change func(n *networks)) {
	s.mu.Lock()
	running := s.owners()
	s.mu.Unlock()
	for _, b := range running {
		s.remember(b)
	}
	s.nets.mu.Lock()
	change(&s.nets)
	s.nets.mu.Unlock()
	for _, b := range running {
		b.wiring.Lock()
		err := s.updateOwnFiles(b)
		b.wiring.Unlock()
		if err != nil {
			s.Log.Warn("follow the host's network", "id", shortID(b.config.ID), "error", err)
		}
	}
}

// remember makes up for what an earlier supervisor has written into the files of a
// sandbox. It must be called before what they say changes.
func (s *Supervisor) remember(b *box) {
	s.mu.Lock()
	known := b.own != nil
	s.mu.Unlock()
	if known {
		return
	}
	texts, err := s.ownTexts(b)
	if err != nil {
		s.Log.Warn("read the files of a sandbox", "id", shortID(b.config.ID), "error", err)
		return
	}
	s.mu.Lock()
	if b.own == nil {
		b.own = texts
	}
	s.mu.Unlock()
}

// updateOwnFiles writes what has changed since they were written. What programs
// have written into them is theirs: in their hosts file our lines are changed and
// no others, the other files are left alone then, as Docker does. The caller holds
// b.wiring.
func (s *Supervisor) updateOwnFiles(b *box) error {
	s.mu.Lock()
	own, live := b.own, b.live()
	s.mu.Unlock()
	if own == nil || !live {
		return nil // they will be written when it starts
	}
	texts, err := s.ownTexts(b)
	if err != nil {
		return err
	}
	var errs []error
	wrote := maps.Clone(own)
	for _, name := range ownFiles {
		if bytes.Equal(own[name], texts[name]) {
			continue
		}
		done, err := updateOwnFile(s.ownFile(b.config.ID, name), own[name], texts[name], name == "hosts")
		if done {
			wrote[name] = texts[name]
		}
		errs = append(errs, err)
	}
	s.mu.Lock()
	b.own = wrote
	s.mu.Unlock()
	return errors.Join(errs...)
}

// updateOwnFile replaces the text old by another one, or its lines if they may
// stand among others. It says whether it has.
func updateOwnFile(path string, old, text []byte, lines bool) (bool, error) {
	// The sandbox sees this very file: it is written in place, and no link is
	// followed, though nothing in the sandbox could put one there.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it has just ended
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	const most = 1 << 20 // a program may have written any amount
	has, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil || len(has) > most {
		return false, err
	}
	if !bytes.Equal(has, old) {
		if !lines {
			return false, nil
		}
		text = etc.Update(has, old, text)
	}
	if err := overwrite(f, text); err != nil {
		return false, dirs.DiskError("write", path, err)
	}
	return true, nil
}
