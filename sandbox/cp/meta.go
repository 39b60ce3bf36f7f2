package cp

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// meta is all there is about a file but its content.
type meta struct {
	kind     uint32
	mode     uint32
	uid, gid int
	times    [2]unix.Timespec
	attrs    map[string]string
}

func of(st *unix.Stat_t, attrs map[string]string) meta {
	return meta{
		kind: st.Mode & unix.S_IFMT, mode: st.Mode & 0o7777, uid: int(st.Uid), gid: int(st.Gid),
		times: [2]unix.Timespec{st.Atim, st.Mtim}, attrs: attrs,
	}
}

// owner is who the copy is to belong to.
func (c *copier) owner(m meta) (uid, gid int, set bool) {
	switch c.o.Owner {
	case Root:
		uid, gid = 0, 0
	case Same:
		uid, gid = m.uid, m.gid
	default:
		return 0, 0, false
	}
	if c.o.Owners != nil {
		uid, gid = c.o.Owners(uid, gid)
	}
	return uid, gid, true
}

// chown gives an open file or node its owner. An id that does not exist here is not
// kept.
func (c *copier) chown(fd int, m meta, now *unix.Stat_t, path string) error {
	uid, gid, set := c.owner(m)
	if !set || int(now.Uid) == uid && int(now.Gid) == gid {
		return nil
	}
	err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH)
	if err == unix.EINVAL || err == unix.EPERM {
		c.o.Note(Note{path, "the owner could not be kept"})
		return nil
	}
	if err != nil {
		return explain("chown", path, err)
	}
	return nil
}

// modeOf leaves set-id bits out on the host where the owner is not kept: the file
// would run as the user, with what a program in a sandbox has written, for anybody
// on the host.
func (c *copier) modeOf(m meta) uint32 {
	if c.o.Host && c.o.Owner != Same && m.kind == unix.S_IFREG {
		return m.mode &^ (unix.S_ISUID | unix.S_ISGID)
	}
	return m.mode
}

func (c *copier) dressFile(n *newFile, m meta, path string) error {
	// A new file is ours, and has the group of a set-group-id directory.
	var now unix.Stat_t
	if n.dst.st.Mode&unix.S_ISGID != 0 {
		now.Gid = n.dst.st.Gid
	}
	return c.dress(n.fd, m, &now, path)
}

func (c *copier) dressDir(to *target, m meta) error { return c.dress(to.fd(), m, &to.st, to.path) }

// dress gives an open file what it is to have, in an order in which nothing undoes
// what was done: a change of owner takes set-id bits and capabilities away.
func (c *copier) dress(fd int, m meta, now *unix.Stat_t, path string) error {
	if err := c.chown(fd, m, now, path); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, c.modeOf(m)); err != nil {
		return explain("chmod", path, err)
	}
	for name, value := range m.attrs {
		switch err := unix.Fsetxattr(fd, name, []byte(value), 0); err {
		case nil:
		case unix.ENOTSUP, unix.EPERM, unix.EINVAL:
			c.o.Note(Note{path, "attributes could not be kept"})
		default:
			return explain("setxattr", path, err)
		}
	}
	if err := futimens(fd, m.times); err != nil {
		return explain("utimensat", path, err)
	}
	return nil
}

// dressNode is dress for what cannot be opened. It was made by name: what has the
// name now must be it, and must have no other name.
func (c *copier) dressNode(dst *target, name string, m meta) error {
	fd, err := unix.Openat(dst.fd(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return err
	}
	if now.Mode&unix.S_IFMT != m.kind || now.Nlink != 1 || int(now.Uid) != os.Geteuid() {
		return unix.ESTALE
	}
	if err := c.chown(fd, m, &now, dst.child(name)); err != nil {
		return err
	}
	if m.kind == unix.S_IFIFO {
		if err := unix.Chmod(procFD(fd), m.mode); err != nil {
			return err
		}
	}
	// By name once more: a descriptor of a link itself cannot be given times before
	// Linux 5.8's AT_EMPTY_PATH. Times are no secret and no right.
	return unix.UtimesNanoAt(dst.fd(), name, m.times[:], unix.AT_SYMLINK_NOFOLLOW)
}

// futimens sets the times of an open file, utimensat(2) without a name.
func futimens(fd int, ts [2]unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// kept are the attributes that mean something elsewhere: not those of overlay and of
// fuse-overlayfs.
func kept(name string) bool {
	return name == "security.capability" ||
		strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.") && !strings.HasPrefix(name, "user.containers.") &&
			!strings.HasPrefix(name, "user.fuseoverlayfs.")
}

// attributes reads a file's extended attributes, if they are wanted.
func (c *copier) attributes(src *source) (map[string]string, error) {
	if !c.o.Attrs {
		return nil, nil
	}
	return attributes(int(src.f.Fd()), src.path)
}

func attributes(fd int, path string) (map[string]string, error) {
	names, err := xattr(func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) })
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil {
		return nil, api.Wrap("listxattr", path, err)
	}
	var attrs map[string]string
	for name := range strings.SplitSeq(string(names), "\x00") {
		if !kept(name) {
			continue
		}
		value, err := xattr(func(buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) })
		if err == unix.ENODATA {
			continue // it has just been removed
		}
		if err != nil {
			return nil, api.Wrap("getxattr", path, err)
		}
		if attrs == nil {
			attrs = map[string]string{}
		}
		attrs[name] = string(value)
	}
	return attrs, nil
}

// xattr reads what get gives into a buffer that is large enough.
func xattr(get func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := get(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		buf := make([]byte, n)
		n, err = get(buf)
		if err == unix.ERANGE {
			continue // it has grown
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// Pseudo says that a directory or file is on a file system of the kernel's own,
// which holds no files: statfs(2) has the numbers.
func Pseudo(f *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return false
	}
	switch st.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
		unix.DEVPTS_SUPER_MAGIC, unix.SECURITYFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC,
		unix.BPF_FS_MAGIC, unix.PSTOREFS_MAGIC, unix.EFIVARFS_MAGIC, unix.SELINUX_MAGIC,
		unix.NSFS_MAGIC, mqueue:
		return true
	}
	return false
}

// Readable refuses what is the kernel's own.
func Readable(src *Object) error {
	if !Pseudo(src.File) {
		return nil
	}
	return unreadable(src.Path)
}

func unreadable(path string) error {
	return api.Errorf("copy", path, "files of the kernel, as in /proc and /sys, cannot be copied").
		WithHint("let a program in the sandbox read them: sbx exec SANDBOX cat FILE")
}

// mqueue is MQUEUE_MAGIC of the kernel's ipc/mqueue.c.
const mqueue = 0x19800202
