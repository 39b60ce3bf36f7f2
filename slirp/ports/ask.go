package ports

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// A process outside the supervisor's user namespace answers who has a socket of
// the host open: the kernel does not let those inside look, although the user is
// the same (ptrace(2), "ptrace access mode checking").
const (
	kindHolder = "holder" // the inode of a socket; the answer is a process, or ""
	askTimeout = time.Second
)

func holderSocket(run string) string { return filepath.Join(run, "holder.sock") }

// AnswerHolders serves these questions until stop is called. It is for the one
// process outside, sbxd parent.
func AnswerHolders(run string) (stop func() error, err error) {
	l, err := listenPacket(holderSocket(run))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := acceptPacket(l)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(acceptPause)
				continue
			}
			answerHolder(conn)
			conn.Close()
		}
	}()
	return func() error { return errors.Join(l.file.Close(), os.Remove(holderSocket(run))) }, nil
}

func answerHolder(conn *api.Conn) {
	if uid, _, err := conn.Peer(); err != nil || uid != os.Getuid() {
		return
	}
	if err := conn.SetReadDeadline(time.Now().Add(askTimeout)); err != nil {
		return
	}
	p, err := conn.Recv()
	if err != nil {
		return
	}
	p.CloseFiles()
	var inode uint64
	if p.Kind == kindHolder && p.Decode(&inode) == nil {
		// Whoever asks has gone if this fails.
		_ = conn.Send(kindHolder, whose(fmt.Sprint(inode)))
	}
}

// askParent is "" if there is no answer.
func askParent(run, inode string) string {
	conn, err := api.Dial(holderSocket(run), false)
	if err != nil {
		return ""
	}
	defer conn.Close()
	var number uint64
	if _, err := fmt.Sscan(inode, &number); err != nil {
		return ""
	}
	if conn.SetReadDeadline(time.Now().Add(askTimeout)) != nil || conn.Send(kindHolder, number) != nil {
		return ""
	}
	p, err := conn.Recv()
	if err != nil {
		return ""
	}
	p.CloseFiles()
	var found string
	if p.Kind != kindHolder || p.Decode(&found) != nil {
		return ""
	}
	return found
}

// listenPacket makes a listening SOCK_SEQPACKET socket for the user alone, in the
// place of one that was left over.
func listenPacket(path string) (*socket, error) {
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return nil, &os.PathError{Op: "unlink", Path: path, Err: err}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := listenAt(fd, path); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "listen", Path: path, Err: err}
	}
	return takeSocket(fd)
}

func listenAt(fd int, path string) error {
	addr, done, err := api.Sockaddr(path)
	if err != nil {
		return err
	}
	defer done()
	// The mode of the name that bind makes, without touching the umask.
	if err := unix.Fchmod(fd, 0o600); err != nil {
		return err
	}
	if err := unix.Bind(fd, addr); err != nil {
		return err
	}
	return unix.Listen(fd, backlog)
}

func acceptPacket(l *socket) (*api.Conn, error) {
	var fd int
	if err := l.reading(func(listener int) error {
		var err error
		fd, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return err
	}); err != nil {
		return nil, err
	}
	return api.ConnFd(fd, "peer")
}
