package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
)

// launchTimeout bounds the start of a supervisor. It takes a tenth of a second
// on an idle machine.
const launchTimeout = time.Minute

// launch starts the supervisor unless somebody else has just done so, and
// connects to it.
func launch(d dirs.Dirs) (*api.Conn, error) {
	if err := d.Make(); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(d.Lock(), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, api.Wrap("open", d.Lock(), errors.Unwrap(err))
	}
	defer lock.Close()
	if err := flock(lock); err != nil {
		return nil, api.Wrap("flock", d.Lock(), err)
	}
	if conn, err := dial(d); !absent(err) {
		return conn, err
	}
	if err := startSupervisor(d); err != nil {
		return nil, err
	}
	conn, err := dial(d)
	if absent(err) {
		return nil, api.Errorf("connect", d.Socket(), "the supervisor said that it is ready, but nobody listens").
			WithHint("see %s", d.Log())
	}
	return conn, err
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			return err
		}
	}
}

// startSupervisor runs "sbxd parent" in a session of its own and waits until it
// listens.
func startSupervisor(d dirs.Dirs) error {
	path, err := findSupervisor()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return api.Wrap("start the supervisor", path, err)
	}
	defer null.Close()
	ours, theirs, err := readPipe()
	if err != nil {
		return api.Wrap("start the supervisor", path, err)
	}
	defer ours.Close()
	_, err = syscall.ForkExec(path, []string{"sbxd", "parent"}, &syscall.ProcAttr{
		Dir:   "/", // keep no directory of the user's busy
		Env:   supervisorEnv(os.Environ()),
		Files: []uintptr{null.Fd(), theirs.Fd(), null.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	// With a copy of our own, the end of a supervisor that dies would not show.
	theirs.Close()
	if err != nil {
		return api.Wrap("start the supervisor", path, err)
	}
	return awaitReady(ours, d)
}

// awaitReady reads "ready", or the reason why not, as {"error": ...}.
func awaitReady(r *os.File, d dirs.Dirs) error {
	if err := r.SetReadDeadline(time.Now().Add(launchTimeout)); err != nil {
		return err
	}
	var line []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(line, []byte("\n")) && len(line) < api.MaxPacket {
		n, err := r.Read(buf)
		line = append(line, buf[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return api.Errorf("start the supervisor", "", "not ready after %s", launchTimeout).WithHint("see %s", d.Log())
		case errors.Is(err, io.EOF):
			return api.Errorf("start the supervisor", "", "it ended before it was ready").WithHint("see %s", d.Log())
		case err != nil:
			return api.Wrap("start the supervisor", "", err)
		}
	}
	text, _, _ := strings.Cut(string(line), "\n")
	if text == "ready" {
		return nil
	}
	var failed struct {
		Error *api.Error `json:"error"`
	}
	if err := json.Unmarshal([]byte(text), &failed); err == nil && failed.Error != nil {
		return failed.Error
	}
	return &api.Error{Op: "start the supervisor", Msg: text, Hint: "see " + d.Log()}
}

// findSupervisor looks where SBXD says, beside sbx itself, and in ../libexec/sbx.
func findSupervisor() (string, error) {
	if path := os.Getenv("SBXD"); path != "" {
		if !filepath.IsAbs(path) {
			return "", api.Errorf("find sbxd", path, "SBXD is not an absolute path")
		}
		return path, nil
	}
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", api.Wrap("find sbxd", "", err)
	}
	dir := filepath.Dir(self)
	for _, path := range []string{filepath.Join(dir, "sbxd"), filepath.Join(dir, "../libexec/sbx/sbxd")} {
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", api.Errorf("find sbxd", "", "it is neither in %s nor in %s", dir, filepath.Join(dir, "../libexec/sbx")).
		WithHint("install sbxd beside sbx, or set SBXD to its path")
}

// supervisorEnv is what a supervisor needs of the environment. It outlives this
// command, so nothing else of it (tokens, agents, proxies) goes along.
func supervisorEnv(env []string) []string {
	var keep []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "HOME", "USER", "LOGNAME", "PATH", "LANG", "DBUS_SESSION_BUS_ADDRESS":
			keep = append(keep, kv)
		default:
			if strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "SBX_") {
				keep = append(keep, kv)
			}
		}
	}
	return keep
}
