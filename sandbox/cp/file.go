package cp

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// newFile is a regular file that has no name yet, or a temporary one where the file
// system cannot make files without.
type newFile struct {
	dst *target
	fd  int
	tmp string
}

// create makes a file in a directory that nobody else can open yet.
func create(dst *target) (*newFile, error) {
	fd, err := unix.Openat(dst.fd(), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return &newFile{dst: dst, fd: fd}, nil
	}
	// open(2): EOPNOTSUPP, or EISDIR where O_TMPFILE is not known at all.
	if err != unix.EOPNOTSUPP && err != unix.EISDIR && err != unix.ENOENT {
		return nil, err
	}
	n := &newFile{dst: dst, tmp: tempName()}
	n.fd, err = unix.Openat(dst.fd(), n.tmp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// tempName is a name that nothing has.
func tempName() string {
	var b [8]byte
	rand.Read(b[:])
	return ".sbx-cp-" + hex.EncodeToString(b[:])
}

// drop closes the file, and removes it if place has not given it its name.
func (n *newFile) drop() {
	if n.tmp != "" {
		// The error that led here is the one to tell.
		_ = unix.Unlinkat(n.dst.fd(), n.tmp, 0)
	}
	unix.Close(n.fd)
}

// errBusy says that something is mounted on the file that is to be replaced.
var errBusy = errors.New("a file is mounted there")

// place gives the file its name. What has the name is replaced, unless it is a
// directory.
func (n *newFile) place(name string) error {
	if n.tmp == "" {
		err := unix.Linkat(unix.AT_FDCWD, procFD(n.fd), n.dst.fd(), name, unix.AT_SYMLINK_FOLLOW)
		if err != unix.EEXIST {
			return err
		}
		tmp := tempName()
		if err := unix.Linkat(unix.AT_FDCWD, procFD(n.fd), n.dst.fd(), tmp, unix.AT_SYMLINK_FOLLOW); err != nil {
			return err
		}
		n.tmp = tmp
	}
	err := replace(n.dst.fd(), n.tmp, name)
	if err == nil {
		n.tmp = ""
	}
	return err
}

// replace renames tmp to name. rename(2) protects what something is mounted on in the
// caller's own mount namespace only; in another one it takes the mount away. And the
// sandbox's is another one.
func replace(at int, tmp, name string) error {
	if mounted(at, name) {
		return errBusy
	}
	err := unix.Renameat(at, tmp, at, name)
	if err == unix.EBUSY {
		return errBusy
	}
	return err
}

// mounted says that a name leads to the root of a mount. Linux 5.8, statx(2).
func mounted(at int, name string) bool {
	var st unix.Statx_t
	err := unix.Statx(at, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

func inTheWay(path string) error {
	return api.Errorf("copy to", path, "it is a directory, and cannot be replaced by a file").WithHint("remove it first")
}

func unplaced(dst *target, name string, err error) error {
	if errors.Is(err, errBusy) {
		return api.Errorf("copy to", dst.child(name), "another file is mounted there")
	}
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTEMPTY) {
		return inTheWay(dst.child(name))
	}
	return explain("copy to", dst.child(name), err)
}

// file copies a regular file.
func (c *copier) file(src *source, st *unix.Stat_t, dst *target, name string) error {
	out, err := create(dst)
	if err != nil {
		return explain("create", dst.child(name), err)
	}
	defer out.drop()
	if err := c.data(out.fd, src, st, dst.child(name)); err != nil {
		return err
	}
	attrs, err := c.attributes(src)
	if err != nil {
		return err
	}
	if err := c.dressFile(out, of(st, attrs), dst.child(name)); err != nil {
		return err
	}
	err = out.place(name)
	if errors.Is(err, errBusy) {
		return c.overwrite(src, st, dst, name)
	}
	if err != nil {
		return unplaced(dst, name, err)
	}
	if st.Nlink > 1 {
		c.remember(st, out, dst, name)
	}
	return nil
}

// overwrite copies into a file that is mounted at its place, and so cannot be
// replaced.
func (c *copier) overwrite(src *source, st *unix.Stat_t, dst *target, name string) error {
	path := dst.child(name)
	fd, err := unix.Openat(dst.fd(), name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return explain("open", path, err)
	}
	defer unix.Close(fd)
	var old unix.Stat_t
	if err := unix.Fstat(fd, &old); err != nil {
		return explain("stat", path, err)
	}
	if old.Mode&unix.S_IFMT != unix.S_IFREG {
		return api.Errorf("copy to", path, "%s is mounted there", kindName(old.Mode))
	}
	if idOf(&old) == idOf(st) {
		return api.Errorf("copy", src.path, "source and destination are the same file")
	}
	if err := unix.Ftruncate(fd, 0); err != nil {
		return explain("truncate", path, err)
	}
	return c.data(fd, src, st, path)
}

// made is a copy of a file that has several names.
type made struct {
	rel string // below the anchor
	id  fileID
}

// remember keeps in mind where the first copy of a file with several names is.
func (c *copier) remember(st *unix.Stat_t, out *newFile, dst *target, name string) {
	var now unix.Stat_t
	if unix.Fstat(out.fd, &now) == nil {
		rel := name
		if dst.rel != "" {
			rel = dst.rel + "/" + name
		}
		c.links[idOf(st)] = made{rel, idOf(&now)}
	}
}

// linkAgain makes a hard link to the copy of a file that was copied under another
// name. It says no where that cannot be done; the file is copied once more then.
func (c *copier) linkAgain(st *unix.Stat_t, dst *target, name string) bool {
	if st.Nlink < 2 {
		return false
	}
	first, ok := c.links[idOf(st)]
	if !ok {
		return false
	}
	fd, err := openBeneath(c.anchor.fd(), first.rel)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil || idOf(&now) != first.id {
		return false
	}
	err = unix.Linkat(unix.AT_FDCWD, procFD(fd), dst.fd(), name, unix.AT_SYMLINK_FOLLOW)
	if err != unix.EEXIST {
		return err == nil
	}
	tmp := tempName()
	if unix.Linkat(unix.AT_FDCWD, procFD(fd), dst.fd(), tmp, unix.AT_SYMLINK_FOLLOW) != nil {
		return false
	}
	err = replace(dst.fd(), tmp, name)
	// rename(2) does nothing where both names are of the same file already.
	_ = unix.Unlinkat(dst.fd(), tmp, 0)
	return err == nil
}

// openBeneath opens a file that was made below a directory, if it is still there:
// no symbolic link is followed.
func openBeneath(at int, rel string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	for {
		fd, err := unix.Openat2(at, rel, &how)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// special makes a symbolic link or a named pipe.
func (c *copier) special(dst *target, name string, m meta, link string) error {
	as, err := c.mknod(dst, name, m, link)
	if err == nil && as != name {
		if err = replace(dst.fd(), as, name); err != nil {
			_ = unix.Unlinkat(dst.fd(), as, 0) // the error is the one to tell
		}
	}
	if err != nil {
		return unplaced(dst, name, err)
	}
	return nil
}

// mknod makes the node under a name of its own if there is something already.
func (c *copier) mknod(dst *target, name string, m meta, link string) (as string, err error) {
	for as = name; ; as = tempName() {
		if m.kind == unix.S_IFLNK {
			err = unix.Symlinkat(link, dst.fd(), as)
		} else {
			err = unix.Mknodat(dst.fd(), as, unix.S_IFIFO|0o600, 0)
		}
		if err != unix.EEXIST || as != name {
			break
		}
	}
	if err != nil {
		return "", err
	}
	if err := c.dressNode(dst, as, m); err != nil {
		_ = unix.Unlinkat(dst.fd(), as, 0)
		return "", err
	}
	return as, nil
}
