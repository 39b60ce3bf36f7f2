package files

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
)

func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// ownerOf is who the copy of a file belongs to.
func (w *writer) ownerOf(st *unix.Stat_t) ids {
	switch {
	case w.owner != nil:
		return *w.owner
	case w.from.Owners:
		return ids{int(st.Uid), int(st.Gid)}
	}
	return ids{}
}

// timesOf are the times of a copy.
func (w *writer) timesOf(st *unix.Stat_t) [2]unix.Timespec {
	ts := [2]unix.Timespec{st.Atim, st.Mtim}
	if w.c.Epoch == nil {
		return ts
	}
	for i := range ts {
		if ts[i].Sec >= *w.c.Epoch {
			ts[i] = unix.Timespec{Sec: *w.c.Epoch}
		}
	}
	return ts
}

// dress gives an open file or directory what it is to have besides content, in an
// order in which nothing undoes what was done: a change of the owner takes set-id bits
// and capabilities away. Unless chown is set, it belongs to root already.
func (w *writer) dress(fd int, st *unix.Stat_t, attrs map[string]string, real string, chown bool) error {
	if owner := w.ownerOf(st); chown || owner != (ids{}) {
		if err := unix.Fchown(fd, owner.uid, owner.gid); err != nil {
			return unowned(real, owner, err)
		}
	}
	mode := w.mode.apply(st.Mode)
	if w.c.NoSetID && st.Mode&unix.S_IFMT == unix.S_IFREG {
		mode &^= unix.S_ISUID | unix.S_ISGID
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return failed("chmod", real, err)
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		switch err := unix.Fsetxattr(fd, name, []byte(attrs[name]), 0); err {
		case nil:
		case unix.ENOTSUP, unix.EPERM, unix.EINVAL:
			w.c.note("/"+real, "the attribute "+name+" could not be kept")
		default:
			return failed("setxattr", real, err)
		}
	}
	return times(fd, "", w.timesOf(st), real)
}

// times sets access and modification time: of an open file if the name is empty, else
// of what has the name, which may be a symbolic link. utimensat(2).
func times(at int, name string, ts [2]unix.Timespec, real string) error {
	var err error
	switch {
	case name == "":
		if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(at), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0); errno != 0 {
			err = errno
		}
	case strings.HasPrefix(name, "/"): // of a descriptor that was opened with O_PATH
		err = unix.UtimesNanoAt(unix.AT_FDCWD, name, ts[:], 0)
	default:
		err = unix.UtimesNanoAt(at, name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
	}
	return failed("utimensat", real, err)
}

// failed is an error of the destination, nil if there is none. The path is one below
// its root.
func failed(op, real string, err error) error {
	var known *api.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return dirs.DiskError(op, "/"+strings.TrimPrefix(real, "/"), err)
}

// unowned is an error of a change of owner.
func unowned(real string, owner ids, err error) error {
	if errors.Is(err, unix.EINVAL) {
		return api.Errorf("chown", "/"+real, "there is no user or group %d:%d in your range of ids", owner.uid, owner.gid).
			WithHint("use smaller numbers, or get more subordinate ids: see /etc/subuid")
	}
	return failed("chown", real, err)
}
