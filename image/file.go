package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// earlySize is from which size on a file is sent to the disk as soon as it is there,
// and earlyStep what a large one is sent in pieces of.
const (
	earlySize = 128 << 10
	earlyStep = 16 << 20
)

const xattrPrefix = "SCHILY.xattr."

// file makes a regular file. Nothing that exists is ever written to: it may have
// other names.
func (u *unpacker) file(d *openDir, base string, h *tar.Header) (err error) {
	name := d.child(base)
	mode := uint32(h.Mode) & 0o7777
	fd := -1
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	err = u.make("open", d, base, func() (err error) {
		fd, err = unix.Openat(d.fd, base, flags, mode&0o777)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		// Where a close can fail (NFS, quota), the data is not there.
		if err2 := unix.Close(fd); err == nil {
			err = named("close", name, err2)
		}
	}()
	if Sparse(h) {
		err = u.sparseBody(fd, name, h)
	} else {
		err = u.body(fd, name, h)
	}
	if err != nil {
		return err
	}
	if u.foreign(h) {
		if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
			return named("chown", name, err)
		}
	}
	if mode&0o7000 != 0 || mode&u.umask != 0 {
		if err := unix.Fchmod(fd, mode); err != nil {
			return named("chmod", name, err)
		}
	}
	if err := u.xattrs(d, base, h.PAXRecords); err != nil {
		return err
	}
	return named("utimensat", name, futimens(fd, times(h)))
}

func (u *unpacker) body(fd int, name string, h *tar.Header) error {
	if h.Size == 0 {
		return nil
	}
	var sum uint64
	var done, sent int64
	err := u.in.body(h.Size, func(b []byte) error {
		// The disk works while the rest is unpacked; Commit then waits for little. What
		// cannot be written will be told by its syncfs.
		if done-sent >= earlyStep {
			_ = unix.SyncFileRange(fd, sent, done-sent, unix.SYNC_FILE_RANGE_WRITE)
			sent = done
		}
		done += int64(len(b))
		sum = crc(sum, b)
		if u.holes {
			return named("write", name, writeHoles(fd, b))
		}
		return named("write", name, write(fd, b))
	})
	if err == nil && u.holes {
		err = named("truncate", name, unix.Ftruncate(fd, h.Size))
	}
	if err != nil {
		return err
	}
	if h.Size >= earlySize {
		_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	return u.split.file(name, h.Size, sum)
}

// Sparse says that the archive keeps a file without its holes, so that the bytes in it
// are not those of the file.
func Sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// sparseBody leaves holes where there are zeros.
func (u *unpacker) sparseBody(fd int, name string, h *tar.Header) error {
	err := u.in.rawBody(func(b []byte) error { return named("write", name, writeHoles(fd, b)) })
	if err != nil {
		return err
	}
	return named("truncate", name, unix.Ftruncate(fd, h.Size))
}

// writeHoles goes over blocks of zeros, and writes what is between them.
func writeHoles(fd int, b []byte) error {
	for len(b) > 0 {
		n := run(b, true)
		if n > 0 {
			if _, err := unix.Seek(fd, int64(n), unix.SEEK_CUR); err != nil {
				return err
			}
		}
		b = b[n:]
		n = run(b, false)
		if err := write(fd, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

var zeros [block]byte

// run is the length of the blocks at the beginning of b that are zeros, or are not.
func run(b []byte, zero bool) (n int) {
	for n < len(b) {
		piece := b[n:min(n+block, len(b))]
		if bytes.Equal(piece, zeros[:len(piece)]) != zero {
			break
		}
		n += len(piece)
	}
	return n
}

func write(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// futimens sets the times of an open file, utimensat(2) without a name.
func futimens(fd int, ts [2]unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// foreign says that the file is not uid 0's, as what is made here is.
func (u *unpacker) foreign(h *tar.Header) bool { return !u.squash && (h.Uid != 0 || h.Gid != 0) }

func (u *unpacker) chown(d *openDir, base string, h *tar.Header) error {
	if !u.foreign(h) {
		return nil
	}
	return named("chown", d.child(base), unix.Fchownat(d.fd, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW))
}

// meta gives owner, attributes and times to what is no directory and not open.
func (u *unpacker) meta(d *openDir, base string, h *tar.Header) error {
	if h.Typeflag == tar.TypeSymlink { // the others have their owner, which clears mode bits
		if err := u.chown(d, base, h); err != nil {
			return err
		}
	}
	if err := u.xattrs(d, base, h.PAXRecords); err != nil {
		return err
	}
	ts := times(h)
	return named("utimensat", d.child(base), unix.UtimesNanoAt(d.fd, base, ts[:], unix.AT_SYMLINK_NOFOLLOW))
}

// xattrs sets the attributes of an entry. Those that the file system does not have,
// and those that cannot be set in a user namespace, are left out; the kernel writes
// our root into a security.capability, capabilities(7).
func (u *unpacker) xattrs(d *openDir, base string, records map[string]string) error {
	for key, value := range records {
		attr, ok := strings.CutPrefix(key, xattrPrefix)
		if !ok || attr == "security.selinux" || strings.HasPrefix(attr, "trusted.") {
			continue
		}
		err := unix.Lsetxattr(procFD(d.fd)+"/"+base, attr, []byte(value), 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
			return named("setxattr "+printable(attr), d.child(base), err)
		}
	}
	return nil
}

func newLate(h *tar.Header, name string) late {
	l := late{name: name, mode: uint32(h.Mode) & 0o7777, times: times(h)}
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, xattrPrefix) {
			if l.xattrs == nil {
				l.xattrs = map[string]string{}
			}
			l.xattrs[key] = value
		}
	}
	return l
}

// finish completes the directories.
func (u *unpacker) finish() error {
	for i := range u.late {
		l := &u.late[i]
		if l.gone {
			continue
		}
		d, err := u.dirs.existing(orDot(l.name))
		if err != nil {
			return err
		}
		err = u.complete(d, l)
		unix.Close(d.fd)
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) complete(d *openDir, l *late) error {
	if err := unix.Fchmod(d.fd, l.mode); err != nil {
		return named("chmod", d.real, err)
	}
	if err := u.xattrs(d, ".", l.xattrs); err != nil {
		return err
	}
	return named("utimensat", d.real, futimens(d.fd, l.times))
}
