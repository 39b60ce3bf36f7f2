package sys

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Mount attributes, mount_setattr(2).
const (
	RDONLY = unix.MOUNT_ATTR_RDONLY
	NOSUID = unix.MOUNT_ATTR_NOSUID
	NODEV  = unix.MOUNT_ATTR_NODEV
	NOEXEC = unix.MOUNT_ATTR_NOEXEC
)

// NewMount makes a detached mount of a new file system instance. Each option is
// a key with a value, or with "" a flag. Linux 5.2, fsopen(2).
func NewMount(fstype string, attr int, options ...[2]string) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, &os.PathError{Op: "fsopen", Path: fstype, Err: err}
	}
	defer unix.Close(fs)
	for _, o := range options {
		if o[1] == "" {
			err = unix.FsconfigSetFlag(fs, o[0])
		} else {
			err = unix.FsconfigSetString(fs, o[0], o[1])
		}
		if err != nil {
			return -1, &os.PathError{Op: "fsconfig " + fstype, Path: o[0] + "=" + o[1], Err: err}
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, &os.PathError{Op: "fsconfig create", Path: fstype, Err: err}
	}
	m, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return -1, &os.PathError{Op: "fsmount", Path: fstype, Err: err}
	}
	return m, nil
}

// Reconfigure changes options of the file system that is mounted at path below
// dir. Linux 5.2, fspick(2).
func Reconfigure(dir int, path string, options ...[2]string) error {
	fs, err := unix.Fspick(dir, path, unix.FSPICK_CLOEXEC|unix.FSPICK_SYMLINK_NOFOLLOW|unix.FSPICK_NO_AUTOMOUNT)
	if err != nil {
		return &os.PathError{Op: "fspick", Path: name(dir, path), Err: err}
	}
	defer unix.Close(fs)
	for _, o := range options {
		if err := unix.FsconfigSetString(fs, o[0], o[1]); err != nil {
			return &os.PathError{Op: "fsconfig " + o[0], Path: o[1], Err: err}
		}
	}
	if err := unix.FsconfigReconfigure(fs); err != nil {
		return &os.PathError{Op: "fsconfig reconfigure", Path: name(dir, path), Err: err}
	}
	return nil
}

// CloneTree makes a detached copy of the mount at path below dir, or of dir
// itself when path is empty, with all mounts below it if recursive is set.
// Linux 5.2, open_tree(2).
func CloneTree(dir int, path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if err != nil {
		return -1, &os.PathError{Op: "open_tree", Path: name(dir, path), Err: err}
	}
	return fd, nil
}

// Attach moves the mount from, detached or attached, onto the file or directory
// that the descriptor target refers to. move_mount(2).
func Attach(from, target int) error {
	err := unix.MoveMount(from, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return &os.PathError{Op: "move_mount", Path: name(target, ""), Err: err}
	}
	return nil
}

// AttachAt moves the mount from onto path below dir. It follows no symbolic link
// in the last component.
func AttachAt(from, dir int, path string) error {
	if err := unix.MoveMount(from, "", dir, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: name(dir, path), Err: err}
	}
	return nil
}

// SetAttr sets mount attributes and makes the mount private, with the mounts below
// it if recursive is set: what the host mounts there later does not show.
// Linux 5.12, mount_setattr(2).
func SetAttr(mount int, attr uint64, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(mount, "", flags, &unix.MountAttr{Attr_set: attr, Propagation: unix.MS_PRIVATE}); err != nil {
		return &os.PathError{Op: "mount_setattr", Path: name(mount, ""), Err: err}
	}
	return nil
}

// OpenInRoot opens path with root as "/": symbolic links, absolute ones and ".."
// stay inside. Magic links of /proc are refused. Linux 5.6, openat2(2).
func OpenInRoot(root int, path string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	// EAGAIN: a rename elsewhere raced with "..", and the kernel could not tell
	// whether the walk stayed inside.
	for range 100 {
		fd, err := unix.Openat2(root, path, &how)
		if err == nil {
			return fd, nil
		}
		if err != unix.EAGAIN && err != unix.EINTR {
			return -1, &os.PathError{Op: "openat2", Path: path, Err: err}
		}
	}
	return -1, &os.PathError{Op: "openat2", Path: path, Err: unix.EAGAIN}
}

func name(fd int, path string) string {
	if fd == unix.AT_FDCWD {
		return path
	}
	at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		at = "fd " + strconv.Itoa(fd)
	}
	if path == "" {
		return at
	}
	return at + "/" + path
}
