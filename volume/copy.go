package volume

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// copier copies a tree that may be hostile: it goes from one open directory to the
// next, follows no symbolic link, and opens nothing but directories and regular
// files. What it makes is out of anybody's reach.
type copier struct {
	ctx   context.Context
	root  *os.File
	links map[fileID]string // where the first name of a file with several has gone
	count int               // entries so far
	buf   []byte
}

type fileID struct{ dev, ino uint64 }

// copyTree copies what is in a directory into an empty one, with owners, modes,
// times, extended attributes, hard links and holes. Sockets are left out, and device
// nodes, which a user namespace cannot make. It gives the number of entries that it
// has found.
func copyTree(ctx context.Context, from, to *os.File) (int, error) {
	c := &copier{ctx: ctx, root: to, links: map[fileID]string{}, buf: make([]byte, 256<<10)}
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	if err := c.below(from, to, ""); err != nil {
		return 0, err
	}
	return c.count, finish(from, to, &st)
}

// below copies the entries of a directory with the path prefix, which ends with a
// slash or is empty.
func (c *copier) below(from, to *os.File, prefix string) error {
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		c.count++
		if err := c.entry(from, to, name, prefix); err != nil {
			return named("copy", prefix+name, err)
		}
	}
	return nil
}

func (c *copier) entry(from, to *os.File, name, prefix string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		id := fileID{uint64(st.Dev), st.Ino}
		if first, ok := c.links[id]; ok {
			return unix.Linkat(int(c.root.Fd()), first, int(to.Fd()), name, 0)
		}
		c.links[id] = prefix + name
	}
	switch kind {
	case unix.S_IFDIR:
		return c.dir(from, to, name, prefix)
	case unix.S_IFREG:
		return c.file(from, to, name)
	case unix.S_IFLNK:
		return c.symlink(from, to, name, &st)
	case unix.S_IFIFO:
		if err := unix.Mknodat(int(to.Fd()), name, unix.S_IFIFO|0o600, 0); err != nil {
			return err
		}
		return c.pathMeta(to, name, &st)
	}
	return nil
}

func (c *copier) dir(from, to *os.File, name, prefix string) error {
	source, st, err := open(from, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := unix.Mkdirat(int(to.Fd()), name, 0o700); err != nil {
		return err
	}
	made, _, err := open(to, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer made.Close()
	if err := c.below(source, made, prefix+name+"/"); err != nil {
		return err
	}
	return finish(source, made, st)
}

func (c *copier) file(from, to *os.File, name string) (err error) {
	// Not to wait, should it have become a FIFO.
	source, st, err := open(from, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer source.Close()
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.ESTALE
	}
	fd, err := unix.Openat(int(to.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	made := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, made.Close()) }()
	if err := c.content(source, made, st.Size); err != nil {
		return err
	}
	return finish(source, made, st)
}

// content copies data, and leaves holes where there are some.
func (c *copier) content(from, to *os.File, size int64) error {
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break // a hole up to the end
		}
		hole := size
		if err == nil {
			hole, err = unix.Seek(int(from.Fd()), data, unix.SEEK_HOLE)
		}
		if err == unix.EINVAL { // the file system knows of no holes
			data, hole, err = at, size, nil
		}
		if err != nil {
			return err
		}
		if err := c.section(from, to, data, min(hole, size)); err != nil {
			return err
		}
		at = hole
	}
	return to.Truncate(size)
}

func (c *copier) section(from, to *os.File, at, end int64) error {
	for at < end {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n, err := from.ReadAt(c.buf[:min(end-at, int64(len(c.buf)))], at)
		if n == 0 && err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if _, err := to.WriteAt(c.buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

func (c *copier) symlink(from, to *os.File, name string, st *unix.Stat_t) error {
	target, err := sys.Readlink(int(from.Fd()), name)
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(target, int(to.Fd()), name); err != nil {
		return err
	}
	return c.pathMeta(to, name, st)
}

// pathMeta gives owner, mode and times to what cannot be opened.
func (c *copier) pathMeta(to *os.File, name string, st *unix.Stat_t) error {
	at := int(to.Fd())
	if err := unix.Fchownat(at, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(at, name, st.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(at, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// finish gives an open file or directory what st and the attributes of another say.
// The owner comes first: a change of it clears mode bits and capabilities.
func finish(from, to *os.File, st *unix.Stat_t) error {
	fd := int(to.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return err
	}
	if err := copyAttributes(int(from.Fd()), fd); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// copyAttributes leaves out what means something to the kernel's overlay only, labels
// of security modules, and what the file system or the user namespace does not take.
func copyAttributes(from, to int) error {
	list, err := attribute(func(buf []byte) (int, error) { return unix.Flistxattr(from, buf) })
	if err == unix.ENOTSUP {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if name == "" || name == "security.selinux" || strings.HasPrefix(name, "trusted.") ||
			strings.HasPrefix(name, "user.overlay.") || strings.HasPrefix(name, "user.containers.") {
			continue
		}
		value, err := attribute(func(buf []byte) (int, error) { return unix.Fgetxattr(from, name, buf) })
		if err == nil {
			err = unix.Fsetxattr(to, name, value, 0)
		}
		if err != nil && err != unix.ENODATA && err != unix.ENOTSUP && err != unix.EPERM {
			return err
		}
	}
	return nil
}

// attribute reads what get gives into a buffer that is large enough.
func attribute(get func([]byte) (int, error)) ([]byte, error) {
	for {
		size, err := get(nil)
		if err != nil || size == 0 {
			return nil, err
		}
		buf := make([]byte, size)
		n, err := get(buf)
		if err != unix.ERANGE { // it has grown
			return buf[:max(n, 0)], err
		}
	}
}

// open opens a directory or a regular file, and says what it is.
func open(dir *os.File, name string, flags int) (*os.File, *unix.Stat_t, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name)), &st, nil
}

// named says where an error has happened, once.
func named(op, path string, err error) error {
	var known *os.PathError
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return &os.PathError{Op: op, Path: printable("/" + path), Err: err}
}
