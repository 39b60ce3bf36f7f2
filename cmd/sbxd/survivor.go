package main

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// survivor is a monitor whose keeper has died.
type survivor struct {
	pid   int
	pidfd *os.File
}

// findSurvivor returns any monitor that still listens in the runtime directory,
// nil if there is none. The monitor must have called listen(2) itself: that is
// the process that its clients see as their peer.
func findSurvivor(run string) (*survivor, error) {
	sandboxes, err := sys.Named(run, "", "")
	if err != nil {
		return nil, err
	}
	for _, dir := range sandboxes {
		path := filepath.Join(dir, "monitor.sock")
		if _, err := os.Lstat(path); err != nil {
			continue // there is none
		}
		s, err := listener(path)
		if err != nil {
			return nil, api.Wrap("look for running sandboxes", path, err)
		}
		if s != nil {
			return s, nil
		}
	}
	return nil, nil
}

// listener returns who listens on a socket; nil if that is nobody of ours.
func listener(path string) (*survivor, error) {
	pid, err := listenerPid(path)
	if pid == 0 || err != nil {
		return nil, err
	}
	pidfd, err := sys.Pidfd(pid)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// If the pid had come to mean another process before pidfd was open, its
	// first owner could not be listening now.
	again, err := listenerPid(path)
	if again != pid || err != nil {
		return nil, errors.Join(err, pidfd.Close())
	}
	return &survivor{pid, pidfd}, nil
}

// listenerPid connects to ask who is there; 0 is nobody, or somebody else.
func listenerPid(path string) (int, error) {
	conn, err := api.Dial(path, false)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return 0, nil // left over
	}
	if err != nil {
		return 0, err
	}
	uid, pid, err := conn.Peer()
	if err := errors.Join(err, conn.Close()); err != nil {
		return 0, err
	}
	if uid != os.Getuid() {
		return 0, nil
	}
	return pid, nil
}
