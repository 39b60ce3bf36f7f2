package cp

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// clear removes what is in the way of an entry of an archive: a directory where a file
// is to be made, or the other way round.
func (x *extractor) clear(dst *target, name, base string, dir bool) error {
	var st unix.Stat_t
	err := unix.Fstatat(dst.fd(), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return explain("stat", dst.child(base), err)
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if isDir == dir {
		return nil // directories are merged; a file is replaced when the new one is complete
	}
	if dir {
		if err := unix.Unlinkat(dst.fd(), base, 0); err != nil {
			return explain("unlink", dst.child(base), err)
		}
		return nil
	}
	if err := removeTree(dst.fd(), base, 0); err != nil {
		return explain("remove", dst.child(base), err)
	}
	gone := func(other string) bool { return other == name || strings.HasPrefix(other, name+"/") }
	for other := range x.known {
		if gone(other) {
			delete(x.known, other)
			delete(x.late, other)
		}
	}
	x.order = slices.DeleteFunc(x.order, gone)
	return nil
}

// removeTree removes a directory with all that is in it, and follows no link.
func removeTree(at int, name string, depth int) error {
	if depth > deepest {
		return unix.ELOOP
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), name)
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		err := unix.Unlinkat(fd, n, 0)
		if errors.Is(err, unix.EISDIR) {
			err = removeTree(fd, n, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}
