package build

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/fuse-overlay"
)

// squash makes one layer of all that a stage has put on top of the image that it begins
// with. Files are hard links to those of the layers, which nobody writes to.
func (j *job) squash(s *stage) ([]*layer, error) {
	n := s.baseLayers()
	below, own := s.run.layers[:n:n], s.run.layers[n:]
	if len(own) < 2 {
		return s.run.layers, nil
	}
	d, err := j.newStepDir()
	if err != nil {
		return nil, err
	}
	marks, err := j.c.Marks()
	if err != nil {
		return nil, err
	}
	to, err := os.Open(d.upper())
	if err != nil {
		return nil, err
	}
	defer to.Close()
	for _, l := range own {
		// The layers of the store have the kernel's marks, whoever mounts them. One that
		// is there in name only is a directory of this build still.
		m := marks
		if l.id != "" && l.id != l.parent {
			m = fuseoverlay.Kernel
		}
		from, err := os.Open(filepath.Join(j.c.Dirs.Storage(), "overlay", "l", l.link))
		if err != nil {
			return nil, err
		}
		err = (&flattener{marks: m, ctxErr: j.ctx.Err}).dir(from, to)
		from.Close()
		if err != nil {
			return nil, err
		}
	}
	l, err := j.changes(d, below)
	if err != nil || l == nil {
		return below, err
	}
	l.created = s.run.created
	return append(below, l), nil
}

// flattener puts an upper directory on top of another one, so that the two mean what
// they meant one above the other.
type flattener struct {
	marks  fuseoverlay.Marks
	ctxErr func() error
}

// dir merges one directory. Both are open.
func (f *flattener) dir(from, to *os.File) error {
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := f.ctxErr(); err != nil {
			return err
		}
		if err := f.entry(from, to, name); err != nil {
			return err
		}
	}
	return nil
}

func (f *flattener) entry(from, to *os.File, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	hidden, deleted, err := f.marks.Deleted(from, name, &st)
	switch {
	case err != nil:
		return err
	case deleted && hidden == "":
		return nil
	case deleted:
		return f.hide(to, hidden)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return f.subdir(from, to, name, &st)
	}
	if err := clearEntry(to, name); err != nil {
		return err
	}
	if err := unix.Linkat(int(from.Fd()), name, int(to.Fd()), name, 0); err != nil {
		return &os.PathError{Op: "link", Path: name, Err: err}
	}
	return nil
}

// hide puts a mark of something deleted in place of what is there.
func (f *flattener) hide(to *os.File, name string) error {
	if err := clearEntry(to, name); err != nil {
		return err
	}
	if err := unix.Mknodat(int(to.Fd()), name, unix.S_IFCHR, 0); err != nil {
		return &os.PathError{Op: "mknod", Path: name, Err: err}
	}
	return nil
}

// subdir makes or merges a directory. One that is new where something was deleted, or
// was no directory, hides what is below it.
func (f *flattener) subdir(from, to *os.File, name string, st *unix.Stat_t) error {
	source, err := openDir(from, name)
	if err != nil {
		return err
	}
	defer source.Close()
	opaque, err := f.marks.Opaque(source)
	if err != nil {
		return err
	}
	var old unix.Stat_t
	err = unix.Fstatat(int(to.Fd()), name, &old, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	there := err == nil
	if there && (opaque || old.Mode&unix.S_IFMT != unix.S_IFDIR) {
		opaque = true
		if err := clearEntry(to, name); err != nil {
			return err
		}
		there = false
	}
	if !there {
		if err := unix.Mkdirat(int(to.Fd()), name, 0o700); err != nil {
			return &os.PathError{Op: "mkdir", Path: name, Err: err}
		}
	}
	target, err := openDir(to, name)
	if err != nil {
		return err
	}
	defer target.Close()
	if opaque {
		if err := unix.Fsetxattr(int(target.Fd()), "user.overlay.opaque", []byte("y"), 0); err != nil {
			return &os.PathError{Op: "setxattr", Path: name, Err: err}
		}
	}
	if err := f.dir(source, target); err != nil {
		return err
	}
	return dress(source, target, st)
}

// dress gives a directory the owner, mode, attributes and times of another one.
func dress(from, to *os.File, st *unix.Stat_t) error {
	fd := int(to.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return &os.PathError{Op: "chown", Path: to.Name(), Err: err}
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: to.Name(), Err: err}
	}
	if err := copyAttributes(int(from.Fd()), fd); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd), times, 0); err != nil {
		return &os.PathError{Op: "utimensat", Path: to.Name(), Err: err}
	}
	return nil
}

func openDir(at *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(at.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// clearEntry removes what is there under a name.
func clearEntry(at *os.File, name string) error {
	err := unix.Unlinkat(int(at.Fd()), name, 0)
	switch {
	case err == nil, err == unix.ENOENT:
		return nil
	case err != unix.EISDIR:
		return &os.PathError{Op: "unlink", Path: name, Err: err}
	}
	dir, err := openDir(at, name)
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	for _, sub := range names {
		err = errors.Join(err, clearEntry(dir, sub))
	}
	dir.Close()
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(int(at.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		return &os.PathError{Op: "rmdir", Path: name, Err: err}
	}
	return nil
}
