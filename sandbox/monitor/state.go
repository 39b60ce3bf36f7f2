package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// newStatus is that of a monitor without a program.
func newStatus() api.Status {
	return api.Status{State: api.Created, MonitorPID: os.Getpid(), Protocol: api.Protocol}
}

// save writes state.json by way of a temporary file, so that there is always a
// whole one. That the sandbox's directory is gone is no error: the supervisor
// may remove it as soon as it knows of the end.
func (m *monitor) save(status *api.Status) {
	data, err := json.Marshal(status)
	if err == nil {
		err = replace(filepath.Join(m.prepare.Dir, "state.json"), data)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "sbx-monitor: save state:", err)
	}
}

func replace(path string, data []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// openSocket listens for the supervisors to come.
func (m *monitor) openSocket() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	m.listen = os.NewFile(uintptr(fd), m.prepare.Socket)
	sa, done, err := api.Sockaddr(m.prepare.Socket)
	if err != nil {
		return err
	}
	defer done()
	if err := unix.Bind(fd, sa); err != nil {
		return &os.PathError{Op: "bind", Path: m.prepare.Socket, Err: err}
	}
	if err := unix.Listen(fd, 8); err != nil {
		return os.NewSyscallError("listen", err)
	}
	go m.accept()
	return nil
}

// accept lets a new supervisor take the place of the last.
func (m *monitor) accept() {
	rc, err := m.listen.SyscallConn()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbx-monitor:", err)
		return
	}
	for {
		var fd int
		var err error
		if e := rc.Read(func(listen uintptr) bool {
			fd, _, err = unix.Accept4(int(listen), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return err != unix.EAGAIN
		}); e != nil {
			return // closed: the monitor ends
		}
		if err != nil {
			if err == unix.EINTR || err == unix.ECONNABORTED {
				continue
			}
			fmt.Fprintln(os.Stderr, "sbx-monitor: accept:", err)
			return
		}
		m.adopt(fd)
	}
}

func (m *monitor) adopt(fd int) {
	conn, err := api.ConnFd(fd, "supervisor")
	if err == nil {
		var uid int
		if uid, _, err = conn.Peer(); err == nil && uid != os.Geteuid() {
			err = fmt.Errorf("uid %d is not ours", uid)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbx-monitor: supervisor:", err)
		unix.Close(fd)
		return
	}
	m.mu.Lock()
	m.supervisor = conn
	status := m.status
	m.mu.Unlock()
	var files []*os.File
	if m.child != nil {
		files = append(files, m.child.pidfd)
	}
	m.tell(KindStatus, status, files...)
	go m.serve(conn)
}
