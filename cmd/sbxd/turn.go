package main

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
)

// A parent that is on its way out is given time to remove what it has made. One
// that stays makes a new one superfluous, which shows at its socket.
const (
	turnTimeout  = 20 * time.Second
	turnInterval = 10 * time.Millisecond
)

// errServed says that another parent has brought up a supervisor.
var errServed = errors.New("a supervisor is running")

// takeTurn waits until no other parent works in the runtime directory. The lock
// lasts as long as the process, kill -9 included.
func takeTurn(d dirs.Dirs) error {
	path := filepath.Join(d.Run, "parent.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return api.Wrap("open", path, errors.Unwrap(err))
	}
	// For ever: the descriptor must not be closed when f is collected.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	// There is no way to wait for two things of which one is a lock.
	tick := time.NewTicker(turnInterval)
	defer tick.Stop()
	for end := time.Now().Add(turnTimeout); time.Now().Before(end); <-tick.C {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return api.Wrap("flock", path, err)
		}
		if listening(d.Socket()) {
			return errServed
		}
	}
	return api.Errorf("flock", path, "another sbxd has held it for %v and serves nobody", turnTimeout).
		WithHint("end the sbxd that is running; sandboxes survive that")
}

func listening(socket string) bool {
	conn, err := api.Dial(socket, false)
	if err != nil {
		return false
	}
	// The supervisor greets, finds nobody, and goes on.
	_ = conn.Close()
	return true
}
