package sandbox

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// recycle gives the directories of an ended sandbox of which nothing is kept to
// the next one, by a rename, if its program has left them as they were when they
// were made. ext4 without a journal looks for a free inode past all that were deleted in the last
// minutes (recently_deleted in fs/ext4/ialloc.c), so that making and removing
// directories at the rate of sandboxes would cost more with each of them.
//
// It says false when the old directories are to be cleared.
func (s *Supervisor) recycle(old, next string) bool {
	if !isID(old) {
		return false
	}
	dir := filepath.Join(s.Dirs.Sandboxes(), old)
	if err := pristine(dir); err != nil {
		if !errors.Is(err, errUsed) {
			s.Log.Debug("recycle", "id", shortID(old), "error", err)
		}
		return false
	}
	// The configuration is gone by now: a supervisor that finds the directory
	// after a crash takes it for a slot's, whichever name it has.
	if err := os.Rename(dir, filepath.Join(s.Dirs.Sandboxes(), next)); err != nil {
		s.Log.Warn("recycle", "error", err)
		return false
	}
	return true
}

// errUsed says that a program has written something.
var errUsed = errors.New("used")

// pristine takes out what every sandbox leaves, and finds out whether there is
// anything else.
func pristine(dir string) error {
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		return err
	}
	// See renew. The overlay makes "work" anew when it is mounted.
	work := filepath.Join(dir, "work")
	own := filepath.Join(work, "work")
	volatile := filepath.Join(own, "incompat", "volatile")
	for _, left := range []string{filepath.Join(dir, "state.json"), filepath.Join(volatile, "dirty"), volatile, filepath.Dir(volatile)} {
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, want := range []struct {
		path    string
		entries int
	}{{dir, 2 + len(ownFiles)}, {filepath.Join(dir, "upper"), 0}, {work, 1}, {own, 0}} {
		if err := untouched(want.path, want.entries); err != nil {
			return err
		}
	}
	for _, name := range ownFiles {
		if err := asNew(filepath.Join(dir, name), unix.S_IFREG|0o644); err != nil {
			return err
		}
	}
	upper := filepath.Join(dir, "upper")
	if err := asNew(upper, unix.S_IFDIR|0o755); err != nil {
		return err
	}
	now := unix.Timespec{Nsec: unix.UTIME_NOW}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, upper, []unix.Timespec{now, now}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimensat", Path: upper, Err: err}
	}
	return nil
}

// private says that nothing of a sandbox can have a descriptor of its files when it
// has ended: they must not be the next one's then. With what it shared with others,
// a network or a directory with a socket in it, a program can have given them one
// (unix(7), SCM_RIGHTS). The caller holds the lock.
func (b *box) private() bool {
	return !b.shared && !slices.ContainsFunc(b.config.Mounts, func(m api.Mount) bool { return m.Type != "tmpfs" })
}

// untouched wants just so many entries. Which ones follows from how they were made.
func untouched(path string, entries int) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(entries + 1)
	if err != nil && err != io.EOF {
		return err
	}
	if len(names) != entries {
		return errUsed
	}
	return nil
}

// asNew wants the attributes that makeDirs has given to the root of the upper
// layer, which is the root directory of the program, or to one of its own files: it
// may have changed them.
func asNew(path string, mode uint32) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	// The mount has left its identity, which is not to be the next one's.
	// Documentation/filesystems/overlayfs.rst, "UUID and fsid", Linux 6.6.
	if err := unix.Fremovexattr(fd, "user.overlay.uuid"); err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP {
		return &os.PathError{Op: "removexattr", Path: path, Err: err}
	}
	attributes, err := unix.Flistxattr(fd, nil)
	if err != nil && err != unix.EOPNOTSUPP {
		return &os.PathError{Op: "listxattr", Path: path, Err: err}
	}
	const block = 4096 // a directory that was large once stays so
	if st.Mode != mode || int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid() || attributes > 0 || st.Size > block {
		return errUsed
	}
	// Flags of chattr(1) stay too. What a file system sets by itself differs; it
	// then has its directories made anew.
	const ordinary = 0x80000 // FS_EXTENT_FL
	if flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS); err == nil && flags&^ordinary != 0 {
		return errUsed
	}
	return nil
}
