package confined

import (
	"encoding/binary"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// watcher gets the calls of the program that seccomp.Shared reports, and answers them:
// with an error, or by doing here what was asked. Nothing is ever let through: what a
// pointer points to can change after it was looked at. seccomp_unotify(2).
type watcher struct {
	ours, theirs *os.File // socket that the listener comes by
	place        *os.File // holds the number that it has in the child
	listener     *os.File
}

func newWatcher() (*watcher, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	w := &watcher{ours: os.NewFile(uintptr(fds[0]), "watcher"), theirs: os.NewFile(uintptr(fds[1]), "watcher")}
	if w.place, err = os.Open(os.DevNull); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *watcher) close() {
	for _, f := range []*os.File{w.ours, w.theirs, w.place, w.listener} {
		if f != nil {
			f.Close()
		}
	}
}

// pass has a child send the listener, which the call before it in the script has
// given. Its number is known by then only, so that it gets another one first.
func (w *watcher) pass(s *sys.Script) {
	place := w.place.Fd()
	s.CallOn("dup3", unix.SYS_DUP3, place, unix.O_CLOEXEC)
	rights := unix.UnixRights(int(place))
	word := []byte{1}
	msg := &unix.Msghdr{
		Iov:     &unix.Iovec{Base: &word[0], Len: 1},
		Iovlen:  1,
		Control: &rights[0],
	}
	msg.SetControllen(len(rights))
	s.Call("sendmsg", unix.SYS_SENDMSG, w.theirs.Fd(), sys.Pointer(s, msg), 0)
}

// serve answers until no process with the filter is left.
func (w *watcher) serve(writable []grant) {
	defer w.close()
	if err := w.receive(); err != nil {
		return // the calls get ENOSYS
	}
	paths := make([]string, 0, len(writable))
	for _, g := range writable {
		paths = append(paths, g.path)
	}
	fd := w.listener.Fd()
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, -1); err == unix.EINTR || err == nil && n == 0 {
			continue
		} else if err != nil || fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var call notification
		if ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&call)) != 0 {
			continue // who made it is dead
		}
		t := tracee{pid: int(call.PID), still: func() bool {
			return ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&call.ID)) == 0
		}}
		r := response{ID: call.ID, Error: -int32(t.answer(call.Nr, call.Args, paths))}
		// ENOENT: it was killed meanwhile.
		_ = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	}
}

func (w *watcher) receive() error {
	w.theirs.Close() // of the child's copy nothing is left after its execve
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(w.ours.Fd()), make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return api.Errorf("receive", "the listener", "it has not come")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	w.listener = os.NewFile(uintptr(fds[0]), "listener")
	return nil
}

func ioctl(fd, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg))
	return errno
}

// notification is struct seccomp_notif, response is struct seccomp_notif_resp.
type notification struct {
	ID         uint64
	PID, Flags uint32
	Nr         int32
	Arch       uint32
	IP         uint64
	Args       [6]uint64
}

type response struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// tracee is the thread that has made a call, and waits.
type tracee struct {
	pid   int
	still func() bool // it waits yet, so that its number is its own
}

// answer does what a call asks for, for a file below one of the paths.
func (t tracee) answer(nr int32, args [6]uint64, paths []string) unix.Errno {
	const at = uint64(^uint32(99)) // AT_FDCWD, -100, as an unsigned int
	switch int(nr) {
	case sysChmod:
		return t.chmod(target{dir: at, name: args[0]}, args[1], paths)
	case unix.SYS_FCHMOD:
		return t.chmod(target{dir: args[0]}, args[1], paths)
	case unix.SYS_FCHMODAT:
		return t.chmod(target{dir: args[0], name: args[1]}, args[2], paths)
	case unix.SYS_FCHMODAT2:
		return t.chmod(target{dir: args[0], name: args[1], flags: args[3], named: true}, args[2], paths)
	case unix.SYS_UTIMENSAT:
		return t.setTimes(target{dir: args[0], name: args[1], flags: args[3], named: args[1] != 0}, args[2], paths)
	}
	return unix.ENOSYS
}

func (t tracee) chmod(at target, mode uint64, paths []string) unix.Errno {
	return t.change(at, paths, func(name string) error { return unix.Chmod(name, uint32(mode)) })
}

// setTimes takes two struct timespec, or none for the time now.
func (t tracee) setTimes(at target, times uint64, paths []string) unix.Errno {
	ts := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	if times != 0 {
		raw := make([]byte, 32)
		if err := t.read(times, raw); err != 0 {
			return err
		}
		for i := range ts {
			ts[i].Sec = int64(binary.NativeEndian.Uint64(raw[16*i:]))
			ts[i].Nsec = int64(binary.NativeEndian.Uint64(raw[16*i+8:]))
		}
	}
	return t.change(at, paths, func(name string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, name, ts, 0) })
}

// change opens the file that is meant, and does it to that one if it lies below one of
// the paths.
func (t tracee) change(at target, paths []string, do func(name string) error) unix.Errno {
	fd, errno := t.open(at)
	if errno != 0 {
		return errno
	}
	defer unix.Close(fd)
	path, err := realPath(fd)
	if err != nil || !slices.ContainsFunc(paths, func(p string) bool { return below(path, p) }) {
		return unix.EPERM
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return errnoOf(err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.EOPNOTSUPP // as the kernel has it for modes
	}
	return errnoOf(do(fdName(fd)))
}
