package confined

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// target is the file that a call is about, by its arguments.
type target struct {
	dir   uint64 // descriptor of a directory, or AT_FDCWD; of the file itself without a name
	name  uint64 // address of the name; 0: none
	flags uint64 // AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH
	named bool   // a missing name is an error
}

// open gives an O_PATH descriptor of the target, as the thread would have found it.
func (t tracee) open(at target) (int, unix.Errno) {
	if at.flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return -1, unix.EINVAL
	}
	proc := "/proc/" + strconv.Itoa(t.pid) + "/"
	name := ""
	if at.name != 0 {
		var errno unix.Errno
		if name, errno = t.text(at.name); errno != 0 {
			return -1, errno
		}
	} else if at.named {
		return -1, unix.EFAULT
	}
	if name == "" && at.name != 0 && at.flags&unix.AT_EMPTY_PATH == 0 {
		return -1, unix.ENOENT
	}
	// What these mean to the thread they do not mean to us.
	for _, own := range []string{"/proc/self/", "/proc/thread-self/"} {
		if rest, ok := strings.CutPrefix(name, own); ok {
			name = proc + rest
		}
	}
	flags := unix.O_PATH | unix.O_CLOEXEC
	if at.flags&unix.AT_SYMLINK_NOFOLLOW != 0 {
		flags |= unix.O_NOFOLLOW
	}
	dir := unix.AT_FDCWD
	if !strings.HasPrefix(name, "/") {
		base := proc + "cwd"
		if int32(at.dir) != unix.AT_FDCWD {
			base = proc + "fd/" + strconv.Itoa(int(int32(at.dir)))
		}
		var err error
		if dir, err = unix.Open(base, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			if err == unix.ENOENT {
				err = unix.EBADF
			}
			return -1, errnoOf(err)
		}
		if name == "" {
			return t.opened(dir, nil)
		}
		defer unix.Close(dir)
	}
	fd, err := unix.Openat(dir, name, flags, 0)
	return t.opened(fd, err)
}

// opened gives fd if the thread was there all the time.
func (t tracee) opened(fd int, err error) (int, unix.Errno) {
	if err != nil {
		return -1, errnoOf(err)
	}
	if !t.still() {
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, 0
}

// text reads a string of up to PATH_MAX bytes.
func (t tracee) text(addr uint64) (string, unix.Errno) {
	const most = 4096 // PATH_MAX
	var text []byte
	for len(text) < most {
		// The next page need not be there.
		chunk := make([]byte, min(most-len(text), 4096-int(addr%4096)))
		if errno := t.read(addr, chunk); errno != 0 {
			return "", errno
		}
		if end := bytes.IndexByte(chunk, 0); end >= 0 {
			return string(append(text, chunk[:end]...)), 0
		}
		text = append(text, chunk...)
		addr += uint64(len(chunk))
	}
	return "", unix.ENAMETOOLONG
}

// read copies memory of the thread. process_vm_readv(2).
func (t tracee) read(addr uint64, to []byte) unix.Errno {
	local := []unix.Iovec{{Base: &to[0]}}
	local[0].SetLen(len(to))
	n, err := unix.ProcessVMReadv(t.pid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(to)}}, 0)
	switch {
	case err != nil:
		return errnoOf(err)
	case n != len(to):
		return unix.EFAULT
	}
	return 0
}

func fdName(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// realPath is where an open file is, without links. One that is deleted has a path
// that is no other file's.
func realPath(fd int) (string, error) { return os.Readlink(fdName(fd)) }

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return errno
	}
	return unix.EIO
}
