package keeper

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// backlog is how many clients can wait while a supervisor is started again. The
// kernel caps it at net.core.somaxconn (4096 since Linux 5.4).
const backlog = 1024

// socket is the listening socket that the supervisor serves.
type socket struct {
	fd   int
	path string
	ino  uint64 // of the name
}

// listen makes the socket, in the place of one that a dead keeper has left. Only
// the user can connect: mode 0600, in a directory of mode 0700.
func listen(path string) (*socket, error) {
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, &os.PathError{Op: "unlink", Path: path, Err: err}
	}
	const kind = unix.SOCK_SEQPACKET | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(unix.AF_UNIX, kind, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd, path: path}
	if err := s.bind(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *socket) bind() error {
	addr, done, err := api.Sockaddr(s.path)
	if err != nil {
		return &os.PathError{Op: "open directory of", Path: s.path, Err: err}
	}
	defer done()
	// The umask is the process's; no other thread makes files yet.
	old := unix.Umask(0o177)
	err = unix.Bind(s.fd, addr)
	unix.Umask(old)
	if err != nil {
		return &os.PathError{Op: "bind", Path: s.path, Err: err}
	}
	if s.ino, err = inode(s.path); err != nil {
		return err
	}
	return os.NewSyscallError("listen", unix.Listen(s.fd, backlog))
}

// pending says whether a client waits to be accepted.
func (s *socket) pending() bool {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// withdraw takes the name of the socket away, so that the next client starts a
// new keeper. It reports false, with the name back in its place, if a client
// has connected before the name was gone.
func (s *socket) withdraw() (bool, error) {
	if s.pending() {
		return false, nil
	}
	if ino, err := inode(s.path); err != nil || ino != s.ino {
		return true, nil // removed, or another keeper's by now: none of our business
	}
	aside := s.path + ".closing"
	if err := unix.Rename(s.path, aside); err != nil {
		return false, &os.PathError{Op: "rename", Path: s.path, Err: err}
	}
	if s.pending() {
		return false, os.NewSyscallError("rename", unix.Rename(aside, s.path))
	}
	return true, os.NewSyscallError("unlink", unix.Unlink(aside))
}

func inode(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}
