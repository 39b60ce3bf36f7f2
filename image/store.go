package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"go.podman.io/storage"
	"go.podman.io/storage/drivers/overlay"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// pending is the prefix of the name that an image has until it is complete. What
// is found under such a name by Open was left behind by a crash.
const pending = "localhost/sbx-pending/"

// Store is an open image store. Its methods may be called from several goroutines.
type Store struct {
	graphRoot  string
	held       *os.File // of graphRoot, if the library has it by that; see place
	store      storage.Store
	uids, gids idMap
	umask      uint32 // of this process
	program    bool   // fuse-overlayfs mounts the layers

	write sync.Mutex            // one record is made, and the index replaced, at a time
	index atomic.Pointer[index] // nil until it is first needed

	litter   litter
	removing map[string]bool // ids of images that are on their way out; guarded by write
	disk     diskSizes
}

// Open opens the store at graphRoot, or makes a new one, and removes what an
// import that was killed left there. Files that need not survive a reboot go to
// runRoot. It must be called as uid 0 of a user namespace that owns the mount
// namespace, and by one process at a time; storage.conf is not read.
//
// With a single id mapped, all files of all images are stored as belonging to
// it. Such a store and an ordinary one do not mix: use another graphRoot.
//
// Overlay mounts in a user namespace need Linux 5.11.
func Open(graphRoot, runRoot string) (*Store, error) { return OpenWith(graphRoot, runRoot, "") }

// OpenWith is Open for a place where only fuse-overlayfs, whose path program is, can
// mount an overlay; "" is for the kernel. The store itself mounts none.
func OpenWith(graphRoot, runRoot, program string) (_ *Store, err error) {
	const op = "open image store"
	s := &Store{graphRoot: graphRoot, program: program != "", removing: map[string]bool{}}
	if s.uids, err = readIDMap("/proc/self/uid_map"); err != nil {
		return nil, api.Wrap(op, graphRoot, err)
	}
	if s.gids, err = readIDMap("/proc/self/gid_map"); err != nil {
		return nil, api.Wrap(op, graphRoot, err)
	}
	if s.umask, err = readUmask(); err != nil {
		return nil, api.Wrap(op, graphRoot, err)
	}
	for _, dir := range []string{graphRoot, runRoot} {
		if err := private(dir); err != nil {
			return nil, api.Wrap(op, dir, err).WithHint("set SBX_DATA and SBX_RUN to directories of your own")
		}
	}
	at, err := s.place()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	// The library's warnings are about its own configuration files and caches.
	logrus.SetLevel(logrus.ErrorLevel)
	// Asked first, because the library would go on with a fuse-overlayfs that it finds.
	if program == "" {
		if err := native(graphRoot, at, filepath.Join(runRoot, "overlay")); err != nil {
			return nil, err
		}
	}
	if s.store, err = getStore(s.options(at, runRoot, program)); err != nil {
		return nil, api.Wrap(op, graphRoot, err).WithHint("if it is damaged: sbx system reset removes all images and sandboxes")
	}
	if err := s.sweep(); err != nil {
		return nil, api.Wrap(op, graphRoot, fmt.Errorf("remove unfinished images: %w", err))
	}
	return s, nil
}

// native says why the library would find that the kernel has no overlay for it, if so.
// It has the store by the name at.
func native(graphRoot, at, runHome string) error {
	const op = "open image store"
	if err := refuseNamed(graphRoot); err != nil {
		return err
	}
	home := filepath.Join(graphRoot, "overlay")
	// The library's note that it was opened with a program before, which holds for it
	// whatever the kernel can do by now.
	if err := os.Remove(filepath.Join(home, ".has-mount-program")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return api.Wrap(op, graphRoot, err)
	}
	ok, err := overlay.SupportsNativeOverlay(filepath.Join(at, "overlay"), runHome)
	if err != nil {
		return api.Wrap(op, graphRoot, err)
	}
	if !ok {
		return noOverlay(graphRoot, at, runHome)
	}
	return nil
}

func (s *Store) options(at, runRoot, program string) storage.StoreOptions {
	o := storage.StoreOptions{
		GraphRoot:       at,
		RunRoot:         runRoot,
		GraphDriverName: "overlay",
		GraphDriverOptions: []string{
			// The default: Commit sees to it, once, that the files of all layers reach
			// the disk before the record that names them.
			"overlay.sync=none",
			// The bind mount of the store onto itself is for mounts the library
			// makes. It makes none here.
			"overlay.skip_mount_home=true",
		},
	}
	if program != "" {
		o.GraphDriverOptions = append(o.GraphDriverOptions, "overlay.mount_program="+program)
	}
	if s.squash() {
		o.GraphDriverOptions = append(o.GraphDriverOptions, "overlay.ignore_chown_errors=true")
	}
	return o
}

// OneID says that there is one id only, so that ownership cannot be kept.
func (s *Store) OneID() bool { return s.squash() }

func (s *Store) squash() bool { return s.uids.size() == 1 || s.gids.size() == 1 }

// getStore keeps storage.GetStore from reading storage.conf: it parses the files
// of the user and the system even when all options are given, and fails when they
// are broken. The variable makes it read an empty one.
func getStore(o storage.StoreOptions) (storage.Store, error) {
	for key, value := range map[string]string{"CONTAINERS_STORAGE_CONF": os.DevNull, "CONTAINERS_STORAGE_CONF_OVERRIDE": ""} {
		if old, set := os.LookupEnv(key); set {
			defer os.Setenv(key, old)
		} else {
			defer os.Unsetenv(key)
		}
		if err := os.Setenv(key, value); err != nil {
			return nil, err
		}
	}
	return storage.GetStore(o)
}

// Close ends the use of the store. Sandboxes that run from its layers go on.
func (s *Store) Close() error {
	_, err := s.store.Shutdown(false)
	if err = errors.Join(err, s.release()); err != nil {
		return fmt.Errorf("close image store %s: %w", s.graphRoot, err)
	}
	return nil
}

// private makes dir, or checks that nobody else can enter it: images hold setuid
// programs and whatever was secret to their makers (CVE-2021-41091).
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user id %d", dir, st.Uid)
	}
	if st.Mode&0o077 == 0 {
		return nil
	}
	if err := unix.Fchmod(fd, 0o700); err != nil {
		return &os.PathError{Op: "chmod", Path: dir, Err: err}
	}
	return nil
}

// noOverlay finds out why overlay cannot be used.
func noOverlay(graphRoot, at, runHome string) error {
	// The library has noted the failure there. Forget it: the cause may be gone
	// at the next start.
	if err := os.RemoveAll(runHome); err != nil {
		return api.Wrap("open image store", runHome, err)
	}
	e := &api.Error{Op: "mount overlay", Path: graphRoot}
	err := tryOverlay(at)
	switch {
	case err == nil:
		e.Msg = "the storage library finds no use for it"
		e.Hint = "set SBX_DATA to a directory on ext4, xfs or btrfs"
	case errors.Is(err, unix.ENODEV):
		e = api.Wrap(e.Op, e.Path, err).WithRemedy(remedy.OverlayModule())
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e = api.Wrap(e.Op, e.Path, err).WithRemedy(remedy.OverlayForbidden())
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e = api.Wrap(e.Op, e.Path, err).WithHint("free some space, or set SBX_DATA to a directory elsewhere")
	default:
		e = api.Wrap(e.Op, e.Path, err).WithRemedy(remedy.LocalDisk())
	}
	return e
}

// tryOverlay mounts one the way a sandbox does, userxattr included.
func tryOverlay(dir string) (err error) {
	top, err := os.MkdirTemp(dir, "probe")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(top, name), 0o700); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work,userxattr", top)
	merged := filepath.Join(top, "merged")
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return err
	}
	return unix.Unmount(merged, 0)
}
