package sandbox

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/pid1"
	"sbx/volume"
)

// volumes is what the supervisor has of volumes. They are opened when one is first
// needed.
type volumes struct {
	mu    sync.Mutex
	store *volume.Store
	bare  map[string]bool // "IMAGE PATH" where an image has nothing for a volume
}

func (s *Supervisor) volumeStore() (*volume.Store, error) {
	s.vols.mu.Lock()
	defer s.vols.mu.Unlock()
	if s.vols.store != nil {
		return s.vols.store, nil
	}
	store, err := volume.Open(volume.Options{Dir: s.Dirs.Volumes(), Used: s.volumeUsers, Log: s.Log})
	if err != nil {
		return nil, err
	}
	s.vols.store, s.vols.bare = store, map[string]bool{}
	return store, nil
}

// recoverVolumes completes what an earlier supervisor has begun. Nobody has to wait
// for that who needs no volume.
func (s *Supervisor) recoverVolumes() {
	if _, err := os.Stat(s.Dirs.Volumes()); errors.Is(err, os.ErrNotExist) {
		return
	}
	if _, err := s.volumeStore(); err != nil {
		s.Log.Error("the volumes cannot be read", "error", err)
	}
}

// volumeUsers names the sandboxes that have a volume, running or not.
func (s *Supervisor) volumeUsers(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, b := range s.boxes {
		if usesVolume(&b.config, name) {
			list = append(list, b.config.Name)
		}
	}
	slices.Sort(list)
	return list
}

func usesVolume(c *api.Config, name string) bool {
	return slices.ContainsFunc(c.Mounts, func(m api.Mount) bool { return m.Type == api.MountVolume && m.Source == name })
}

func hasVolumes(c *api.Config) bool {
	return slices.ContainsFunc(c.Mounts, func(m api.Mount) bool { return m.Type == api.MountVolume })
}

// completeVolumes adds to the mounts what comes from other sandboxes, and the volumes
// that the image declares, where nothing else is mounted; gives anonymous volumes a
// name; and checks what is asked of each of them. Nothing is made yet.
func (s *Supervisor) completeVolumes(c *api.Config, declared map[string]struct{}) error {
	if err := s.inheritVolumes(c); err != nil {
		return err
	}
	if err := s.completeImageMounts(c); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(declared)) {
		target := filepath.Clean("/" + path)
		if target == "/" {
			return api.Errorf("run", c.Image, "the image declares its root directory to be a volume").
				WithHint("this image is damaged or made to do harm: do not use it")
		}
		if mountedAt(c.Mounts, target) < 0 {
			c.Mounts = append(c.Mounts, api.Mount{Type: api.MountVolume, Target: target, Volume: api.VolumeWish{Anonymous: true}})
		}
	}
	if !hasVolumes(c) {
		return nil
	}
	store, err := s.volumeStore()
	if err != nil {
		return err
	}
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if m.Type != api.MountVolume {
			continue
		}
		if m.Source == "" {
			m.Source, m.Volume.Anonymous = newID(), true
		}
		if err := store.Check(wished(m)); err != nil {
			return err
		}
	}
	return nil
}

// mountedAt gives the number of the mount at a place, or -1.
func mountedAt(mounts []api.Mount, target string) int {
	return slices.IndexFunc(mounts, func(m api.Mount) bool { return filepath.Clean("/"+m.Target) == target })
}

// inheritVolumes is --volumes-from. Of several sandboxes with something at one place
// the last one counts, and nothing that is given for this sandbox.
func (s *Supervisor) inheritVolumes(c *api.Config) error {
	given := slices.Clone(c.Mounts)
	for _, from := range c.VolumesFrom {
		name, mode, _ := strings.Cut(from, ":")
		s.mu.Lock()
		b, err := s.find(name)
		var mounts []api.Mount
		if err == nil {
			mounts = b.config.Mounts
		}
		s.mu.Unlock()
		if err != nil {
			// It is this run that fails, not a request about the other sandbox.
			return api.Wrap("take the volumes from", name, err).WithCode(api.ExitFault)
		}
		for _, m := range mounts {
			target := filepath.Clean("/" + m.Target)
			if m.Type == api.MountTmpfs || m.IsDevice() || mountedAt(given, target) >= 0 {
				continue
			}
			m.ReadOnly = m.ReadOnly || mode == "ro"
			m.Volume.NoCopy = true
			if i := mountedAt(c.Mounts, target); i >= 0 {
				c.Mounts[i] = m
			} else {
				c.Mounts = append(c.Mounts, m)
			}
		}
	}
	return nil
}

// wished is the volume that a mount asks for.
func wished(m *api.Mount) volume.Volume {
	v := volume.Volume{Name: m.Source, Labels: m.Volume.Labels, Options: m.Volume.Options}
	if m.Volume.Anonymous {
		v.Labels = maps.Clone(v.Labels)
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels[volume.AnonymousLabel] = ""
	}
	return v
}

// hostMounts says of the volumes of a sandbox where on the host they are.
func (s *Supervisor) hostMounts(c *api.Config) []api.Mount {
	mounts := append([]api.Mount(nil), c.Mounts...)
	for i := range mounts {
		switch m := &mounts[i]; m.Type {
		case api.MountVolume:
			*m = s.hostMount(m)
		case api.MountImage:
			m.Type, m.Source = api.MountBind, s.imagePoint(c, i)
		}
		if overlaid(&mounts[i]) {
			mounts[i].Layer = filepath.Join("sandboxes", c.ID, overlaysName, strconv.Itoa(i))
		}
	}
	return mounts
}

func (s *Supervisor) hostMount(m *api.Mount) api.Mount {
	out := api.Mount{
		Type: api.MountBind, Source: filepath.Join(s.Dirs.Volumes(), m.Source, "_data"), Target: m.Target,
		ReadOnly: m.ReadOnly, Options: m.Options, Subpath: m.Subpath,
	}
	// One that cannot be found or read has been refused before it comes to this.
	v := wished(m)
	if store, err := s.volumeStore(); err == nil {
		if there, err := store.Find(m.Source); err == nil {
			v = there
		}
	}
	d, err := v.Device()
	if err != nil || d.Type == "" {
		return out
	}
	out.ReadOnly = m.ReadOnly || d.ReadOnly
	switch d.Type {
	case api.MountBind:
		out.Source = d.Source
	case api.MountTmpfs:
		out.Type, out.Source, out.Options, out.Subpath = api.MountTmpfs, "", d.Options, ""
	}
	return out
}

// readyVolumes makes those volumes of a sandbox that are not there, and fills those
// that are empty with what its image has at their places. The sandbox is in the
// tables already, so that nobody removes them any more. Who has asked for it, if
// somebody has, may end that.
func (s *Supervisor) readyVolumes(c *api.Config, asked *conversation) error {
	if !hasVolumes(c) {
		return nil
	}
	store, err := s.volumeStore()
	if err != nil {
		return err
	}
	f := filler{s: s, store: store, c: c, asked: asked}
	defer f.close()
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if m.Type != api.MountVolume {
			continue
		}
		made, err := store.Ensure(wished(m), f.durable(m))
		if err != nil {
			return err
		}
		if made {
			s.noteVolume("create", m.Source)
		}
		if err := f.fill(m); err != nil {
			return err
		}
	}
	return nil
}

// readyAgain is readyVolumes for a sandbox that is started once more: a crash may have
// taken a volume that nobody had promised to keep.
func (s *Supervisor) readyAgain(b *box, asked *conversation) error {
	s.mu.Lock()
	c := b.config
	s.mu.Unlock()
	return s.readyVolumes(&c, asked)
}

// forsake removes what volumes were made for a sandbox that cannot be made.
func (s *Supervisor) forsake(b *box) {
	s.mu.Lock()
	s.unlist(b)
	b.withVolumes = true
	s.mu.Unlock()
	s.dropVolumes(b)
}

// filler fills the volumes of a sandbox.
type filler struct {
	s     *Supervisor
	store *volume.Store
	c     *api.Config
	asked *conversation // of the command that waits; nil: none does
	root  *os.File      // of the image; nil: not opened yet
}

func (f *filler) close() {
	if f.root != nil {
		f.root.Close()
	}
}

// durable says that somebody may want a volume after a power cut.
func (f *filler) durable(m *api.Mount) bool { return !m.Volume.Anonymous || !f.c.Lifecycle.AutoRemove }

// fill puts into a volume what the image has at its place. Most of the time there is
// nothing to do, and that costs a look into its directory.
func (f *filler) fill(m *api.Mount) error {
	v, err := f.store.Find(m.Source)
	if err != nil {
		return err
	}
	d, err := v.Device()
	if err != nil {
		return err
	}
	if d.Type == api.MountTmpfs {
		return f.s.alone(f.c, m.Source)
	}
	if d.Type != "" || m.Volume.NoCopy || m.Subpath != "" || f.c.Image == api.HostImage {
		return nil
	}
	if empty, err := f.store.Empty(m.Source); err != nil || !empty {
		return err
	}
	key := f.c.ImageID + " " + filepath.Clean("/"+m.Target)
	if f.s.isBare(key) {
		return nil
	}
	from, err := f.open(m.Target)
	if err != nil {
		return err
	}
	if from == nil {
		f.s.setBare(key)
		return nil
	}
	defer from.Close()
	return f.copy(m, from)
}

// copy takes as long as the directory is large, unless who waits for it does so no
// longer: then nothing of it is left, and the volume is filled by who is next.
func (f *filler) copy(m *api.Mount, from *os.File) error {
	if f.asked == nil {
		return f.store.Fill(f.s.ctx, m.Source, from, f.durable(m))
	}
	watch := f.asked.watch("fill volume", m.Source)
	defer watch.stop()
	err := f.store.Fill(watch.ctx, m.Source, from, f.durable(m))
	if cause := watch.cause(); err != nil && cause != nil {
		return cause
	}
	return err
}

// open opens the directory of the image at a place; nil: there is none. A link in the
// image leads nowhere but within it (CVE-2022-23648).
func (f *filler) open(target string) (*os.File, error) {
	if f.root == nil {
		open := f.s.openRoot
		if f.s.shownName(f.c) != "" {
			open = f.s.openShown
		}
		root, err := open(f.c)
		if err != nil {
			return nil, err
		}
		f.root = root
	}
	fd, err := sys.OpenInRoot(int(f.root.Fd()), target, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, api.Wrap("open in the image", target, err)
	}
	return os.NewFile(uintptr(fd), target), nil
}

func (s *Supervisor) isBare(key string) bool {
	s.vols.mu.Lock()
	defer s.vols.mu.Unlock()
	return s.vols.bare[key]
}

func (s *Supervisor) setBare(key string) {
	const most = 4096 // whoever names a thousand places for volumes waits a little
	s.vols.mu.Lock()
	defer s.vols.mu.Unlock()
	if len(s.vols.bare) >= most {
		clear(s.vols.bare)
	}
	s.vols.bare[key] = true
}

// alone refuses a volume in memory to all sandboxes but one: each would have another
// one.
func (s *Supervisor) alone(c *api.Config, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boxes {
		if b.config.ID != c.ID && b.link != nil && usesVolume(&b.config, name) {
			return api.Errorf("mount volume", name, "it is a tmpfs, and sandbox %s has it", b.config.Name).
				WithHint("a tmpfs is for one running sandbox at a time: stop that one, or use a volume on the disk")
		}
	}
	return nil
}

// dropVolumes removes the anonymous volumes of a sandbox that is being removed, if
// they are to go with it. What another sandbox has too stays. The sandbox is no longer
// in the tables, and its configuration is still on the disk: who finds that after a
// crash does this again.
func (s *Supervisor) dropVolumes(b *box) {
	s.mu.Lock()
	drop := b.removed && (b.withVolumes || b.config.Lifecycle.AutoRemove)
	b.withVolumes = false
	mounts := b.config.Mounts
	s.mu.Unlock()
	if !drop {
		return
	}
	for i := range mounts {
		m := &mounts[i]
		if m.Type != api.MountVolume || !m.Volume.Anonymous {
			continue
		}
		store, err := s.volumeStore()
		if err == nil {
			err = store.Remove(m.Source)
		}
		switch {
		case err == nil:
			s.noteVolume("destroy", m.Source)
		case !errors.Is(err, volume.ErrUsed) && !errors.Is(err, volume.ErrMissing):
			s.Log.Warn("remove a volume", "name", m.Source, "error", err)
		}
	}
}

// stageable says whether a mount is made before the program's user namespace is.
func stageable(spec *pid1.Spec) error {
	for _, m := range spec.Mounts {
		for _, word := range strings.Split(m.Options, ",") {
			if m.Type == api.MountBind && (word == api.OptSlave || word == api.OptRslave) {
				return api.Errorf("bind", m.Source, "option %s: a program that may mount is shown nothing that the host mounts later", word).
					WithHint("leave it out, or take --privileged and --cap-add SYS_ADMIN away")
			}
		}
	}
	return nil
}
