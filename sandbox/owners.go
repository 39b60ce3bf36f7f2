package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/userns"
	"sbx/userns/owners"
)

// shownFor is how long an image is shown with other owners after the last sandbox has
// been started with it: the next one finds it in the kernel's caches.
const shownFor = 30 * time.Second

// shownImages are the images that are mounted with other owners, for --userns keep-id, by
// the names of their mount points.
//
// A mount is needed here only until a sandbox has got its copy. The sandbox's overlay
// keeps the file system, and its process, alive from then on.
type shownImages struct {
	mu     sync.Mutex
	images map[string]*shownImage
	// spare waits for the next image, so that nobody has to wait for it; nil: there is none.
	spare atomic.Pointer[owners.Server]
}

type shownImage struct {
	users int         // that need the mount
	idle  *time.Timer // runs while there are none
}

// keptIDs are the ids that the caller has in a sandbox; ok is false where it is root
// there.
func keptIDs(c *api.Config) (uid, gid int, ok bool) {
	uid, gid, ok, err := api.ParseKeepID(c.Isolation.Userns)
	if err != nil || !ok { // an error has been refused before it comes to this
		return 0, 0, false
	}
	if uid < 0 {
		uid = c.Caller.UID
	}
	if gid < 0 {
		gid = c.Caller.GID
	}
	return uid, gid, true
}

// completeUserns checks --userns and makes the caller the user that the program runs
// as, unless another one is asked for, whatever the image says.
func completeUserns(c *api.Config, asked string) error {
	if _, _, _, err := api.ParseKeepID(c.Isolation.Userns); err != nil {
		return err
	}
	uid, gid, ok := keptIDs(c)
	if !ok {
		return nil
	}
	if c.Image == api.HostImage {
		if uid != c.Caller.UID || gid != c.Caller.GID {
			return api.Errorf("run", c.Image, "in the host's own file system you have the ids that you have there").
				WithHint("leave out --userns")
		}
		return nil
	}
	if asked == "" {
		c.Process.User = strconv.Itoa(uid) + ":" + strconv.Itoa(gid)
	}
	return nil
}

// kindOf is what slots will do for a sandbox, if one does.
func (s *Supervisor) kindOf(c *api.Config) kind {
	uid, gid, ok := keptIDs(c)
	if !ok || c.Image == api.HostImage {
		return kind{}
	}
	return kind{keep: true, uid: uid, gid: gid}
}

// ownersOf is otherOwners for all sandboxes of a kind.
func (s *Supervisor) ownersOf(k kind) (uids, gids owners.Map) {
	if !k.keep {
		return nil, nil
	}
	return ownersMap(userns.KeepID(s.uids, k.uid)), ownersMap(userns.KeepID(s.gids, k.gid))
}

// otherOwners says as whom the files of an image must be shown to the kernel, so that
// a sandbox sees them belong to whom the image says. Nil: as they are stored. With the
// one id that a user without subordinate ids has, there is nobody else.
func (s *Supervisor) otherOwners(c *api.Config) (uids, gids owners.Map) {
	return s.ownersOf(s.kindOf(c))
}

// ownersMap has the ids that an image has and a nested namespace shows, and those that
// they are outside.
func ownersMap(extents []userns.Extent) owners.Map {
	var m owners.Map
	for _, e := range extents {
		if e.Inside != e.Outside {
			m = append(m, owners.Range{From: e.Inside, To: e.Outside, Length: e.Length})
		}
	}
	if len(m) == 1 { // the user is alone
		return nil
	}
	return m
}

// shownDir has the mount points.
func (s *Supervisor) shownDir() string { return filepath.Join(s.Dirs.Data, "owners") }

// shownName is that of the mount point for a sandbox's image; empty: it is not shown
// with other owners. A layer is never changed, and its link's name never used again.
func (s *Supervisor) shownName(c *api.Config) string {
	uids, gids := s.otherOwners(c)
	if uids == nil && gids == nil {
		return ""
	}
	uid, gid, _ := keptIDs(c)
	top := "none"
	if len(c.Layers) > 0 {
		top = c.Layers[0]
	}
	return top + "-" + strconv.Itoa(uid) + "-" + strconv.Itoa(gid)
}

// shownLower is the mount point relative to overlay/l in the store; empty: there is
// none.
func (s *Supervisor) shownLower(c *api.Config) string {
	name := s.shownName(c)
	if name == "" {
		return ""
	}
	return "../../../" + filepath.Base(s.shownDir()) + "/" + name
}

// showImage mounts what is below a sandbox's upper directory with other owners, if it
// needs that, until release is called at least. at is the mount point.
func (s *Supervisor) showImage(c *api.Config) (at string, release func(), err error) {
	name := s.shownName(c)
	if name == "" {
		return "", func() {}, nil
	}
	at = filepath.Join(s.shownDir(), name)
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	i := s.shown.images[name]
	if i != nil && dead(at) {
		s.hide(name)
		i = nil
	}
	if i == nil {
		lower, err := s.openLower(c)
		if err != nil {
			return "", nil, err
		}
		defer lower.Close()
		uids, gids := s.otherOwners(c)
		if err := s.show(lower, uids, gids, at); err != nil {
			return "", nil, err
		}
		go readAhead(at, c.Process.Args(), c.Process.Env)
		i = &shownImage{}
		if s.shown.images == nil {
			s.shown.images = map[string]*shownImage{}
		}
		s.shown.images[name] = i
	}
	i.users++
	if i.idle != nil {
		i.idle.Stop()
	}
	return at, sync.OnceFunc(func() { s.leaveImage(name, i) }), nil
}

// dead says that nobody answers for a mount any more.
func dead(at string) bool {
	var st unix.Statfs_t
	return unix.Statfs(at, &st) != nil
}

func (s *Supervisor) leaveImage(name string, i *shownImage) {
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	i.users--
	if i.users > 0 || s.shown.images[name] != i {
		return
	}
	i.idle = time.AfterFunc(shownFor, func() {
		s.shown.mu.Lock()
		defer s.shown.mu.Unlock()
		if i.users == 0 && s.shown.images[name] == i {
			s.hide(name)
		}
	})
}

// show mounts a directory with other owners, without what is hidden, at a path, which it
// makes.
func (s *Supervisor) show(dir *os.File, uids, gids owners.Map, at string, hidden ...string) error {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return dirs.DiskError("mkdir", at, err)
	}
	mount, err := s.serve(dir, uids, gids, hidden)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return sys.AttachAt(mount, unix.AT_FDCWD, at)
}

// serve gives a process something to show: the one that waits, if there is one.
func (s *Supervisor) serve(dir *os.File, uids, gids owners.Map, hidden []string) (mount int, err error) {
	server := s.shown.spare.Swap(nil)
	if server != nil {
		if mount, err = server.Show(dir, uids, gids, hidden...); err == nil {
			go s.awaitServer(server)
			return mount, nil
		}
		s.endServer(server) // it may have been killed while it waited
	}
	if server, err = owners.Start(s.Binary); err != nil {
		return -1, err
	}
	if mount, err = server.Show(dir, uids, gids, hidden...); err != nil {
		s.endServer(server)
		return -1, err
	}
	go s.awaitServer(server)
	return mount, nil
}

func (s *Supervisor) awaitServer(server *owners.Server) {
	if status := server.Wait(); status.Signaled() || status.ExitStatus() != 0 {
		s.Log.Error("the process that shows an image with other owners has died: sandboxes with --userns keep-id cannot read it any more",
			"pid", server.PID, "signal", int(status.Signal()), "status", status.ExitStatus())
	}
}

// endServer sends a process away that shows nothing.
func (s *Supervisor) endServer(server *owners.Server) {
	server.Close()
	go server.Wait()
}

// readySpare starts a process that waits for the next image, unless there is one.
func (s *Supervisor) readySpare() {
	if s.shown.spare.Load() != nil {
		return
	}
	server, err := owners.Start(s.Binary)
	if err != nil {
		s.Log.Warn("prepare to show an image", "error", err)
		return
	}
	if !s.shown.spare.CompareAndSwap(nil, server) {
		s.endServer(server)
	}
}

// shownMount is a mount, attached nowhere, of what is below a sandbox's upper directory
// with other owners; nil: it is not shown with others.
func (s *Supervisor) shownMount(c *api.Config) (*os.File, error) {
	at, release, err := s.showImage(c)
	if err != nil || at == "" {
		return nil, err
	}
	defer release()
	mount, err := sys.CloneTree(unix.AT_FDCWD, at, false)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(mount), at), nil
}

// hide takes a mount away. The caller holds the lock.
func (s *Supervisor) hide(name string) {
	delete(s.shown.images, name)
	if err := unmountShown(filepath.Join(s.shownDir(), name)); err != nil {
		s.Log.Warn("hide an image", "error", err)
	}
}

func unmountShown(at string) error {
	err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && err != unix.EINVAL && err != unix.ENOENT { // EINVAL: nothing is mounted there
		return &os.PathError{Op: "umount2", Path: at, Err: err}
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// hideAll takes all mounts away, an earlier supervisor's too.
func (s *Supervisor) hideAll() {
	if spare := s.shown.spare.Swap(nil); spare != nil {
		s.endServer(spare)
	}
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	for name, i := range s.shown.images {
		if i.idle != nil {
			i.idle.Stop()
		}
		delete(s.shown.images, name)
	}
	left, err := os.ReadDir(s.shownDir())
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	for _, e := range left {
		err = errors.Join(err, unmountShown(filepath.Join(s.shownDir(), e.Name())))
	}
	if err != nil {
		s.Log.Warn("hide images", "error", err)
	}
}

// openShown opens what is below a sandbox's upper directory, with the owners that the
// kernel is to see.
func (s *Supervisor) openShown(c *api.Config) (*os.File, error) {
	at, release, err := s.showImage(c)
	if err != nil {
		return nil, err
	}
	defer release()
	if at == "" {
		return s.openLower(c)
	}
	return os.Open(at)
}

// withImageOwners gives do the upper directory of a sandbox with the owners that the
// files would have in an image, and without the accounts that were added at its start.
// What do opens there stays.
func (s *Supervisor) withImageOwners(c *api.Config, do func(path string) error) error {
	upper := filepath.Join(s.Dirs.Sandboxes(), c.ID, "upper")
	uids, gids := s.otherOwners(c)
	dir, err := os.Open(upper)
	if err != nil {
		return err
	}
	defer dir.Close()
	hidden, err := s.addedAccounts(c, dir)
	if err != nil {
		return err
	}
	if uids == nil && gids == nil && len(hidden) == 0 {
		return do(upper)
	}
	at := filepath.Join(s.shownDir(), "upper-"+newID())
	err = s.show(dir, uids.Inverse(), gids.Inverse(), at, hidden...)
	if err == nil {
		err = do(at)
	}
	return errors.Join(err, unmountShown(at))
}

// openUpper opens the upper directory of a sandbox with the owners that its files would
// have in an image.
func (s *Supervisor) openUpper(c *api.Config) (f *os.File, err error) {
	err = s.withImageOwners(c, func(path string) (err error) {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// translate is a function for maps of users and groups.
func translate(uids, gids owners.Map) func(uid, gid int) (int, int) {
	return func(uid, gid int) (int, int) { return uids.Apply(uid), gids.Apply(gid) }
}

// giveRoot makes the root directory of a sandbox, and its own files, belong to the root
// of one of that kind.
func (s *Supervisor) giveRoot(id string, k kind) error {
	uids, gids := s.ownersOf(k)
	if uids == nil && gids == nil {
		return nil
	}
	dir := filepath.Join(s.Dirs.Sandboxes(), id)
	for _, name := range append([]string{"upper"}, ownFiles...) {
		if err := os.Lchown(filepath.Join(dir, name), uids.Apply(0), gids.Apply(0)); err != nil {
			return dirs.DiskError("chown", filepath.Join(dir, name), err)
		}
	}
	return nil
}
