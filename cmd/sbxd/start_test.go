package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
)

func listenAt(t *testing.T, path string) int {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 8); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestFindSurvivor(t *testing.T) {
	run := t.TempDir()
	if s, err := findSurvivor(run); s != nil || err != nil {
		t.Fatalf("in an empty directory: %v %v", s, err)
	}
	// A monitor that has died leaves its socket behind.
	unix.Close(listenAt(t, filepath.Join(run, "dead", "monitor.sock")))
	if s, err := findSurvivor(run); s != nil || err != nil {
		t.Fatalf("a socket left over: %v %v", s, err)
	}
	fd := listenAt(t, filepath.Join(run, "live", "monitor.sock"))
	defer unix.Close(fd)
	s, err := findSurvivor(run)
	if err != nil || s == nil {
		t.Fatalf("%v %v", s, err)
	}
	defer s.pidfd.Close()
	if s.pid != os.Getpid() {
		t.Errorf("pid %d is not the one that listens", s.pid)
	}
}

func TestTakeTurn(t *testing.T) {
	d := dirs.Dirs{Run: t.TempDir()}
	lock, err := os.OpenFile(filepath.Join(d.Run, "parent.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	fd := listenAt(t, d.Socket())
	if err := takeTurn(d); !errors.Is(err, errServed) {
		t.Errorf("with a supervisor there: %v", err)
	}
	unix.Close(fd)
	turn := make(chan error, 1)
	go func() { turn <- takeTurn(d) }()
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-turn; err != nil {
		t.Errorf("after the other one's end: %v", err)
	}
}

func TestStuck(t *testing.T) {
	dead := stuck()
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	<-dead
	if !zombie() {
		t.Error("somebody has reaped the child")
	}
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
	if zombie() {
		t.Error("a zombie without a child")
	}
}

func TestFindSmall(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"bin", "libexec/sbx", "elsewhere"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sbx := filepath.Join(root, "bin/sbx")
	if err := os.WriteFile(sbx, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bin", "libexec/sbx"} {
		if got, err := findSmall(filepath.Join(root, dir)); err != nil || got != sbx {
			t.Errorf("from %s: %q %v", dir, got, err)
		}
	}
	var e *api.Error
	if _, err := findSmall(filepath.Join(root, "elsewhere/far/away")); !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("not installed: %v", err)
	}
}

func TestSetEnviron(t *testing.T) {
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("NOTIFY_SOCKET", "/run/x")
	t.Setenv("_ROOTLESSKIT_REEXEC_COUNT_1_2", "1")
	t.Setenv("PATH", "/opt/bin:/usr/bin")
	t.Setenv("SBX_DATA", "")
	t.Setenv("SBX_RUN", "")
	t.Setenv("SBXD", "")
	t.Setenv(getsubidsEnv, "")
	d := dirs.Dirs{Data: "/data", Run: t.TempDir()}
	if err := setEnviron(d, "/lib/sbxd"); err != nil {
		t.Fatal(err)
	}
	env := "\n" + strings.Join(os.Environ(), "\n") + "\n"
	for _, want := range []string{"SBX_DATA=/data", "SBX_RUN=" + d.Run, "SBXD=/lib/sbxd", "PATH=/opt/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin"} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, gone := range []string{"LISTEN_FDS", "NOTIFY_SOCKET", "_ROOTLESSKIT"} {
		if strings.Contains(env, "\n"+gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	path := os.Getenv("PATH")
	if err := useHelpers(d, "/lib/sbxd"); err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(os.Getenv("PATH"), ":"); first != helperDir(d) {
		t.Errorf("helpers come after %q", first)
	}
	if err := removeHelpers(d); err != nil || os.Getenv("PATH") != path {
		t.Errorf("PATH is %q, was %q; %v", os.Getenv("PATH"), path, err)
	}
}

func TestOpenLog(t *testing.T) {
	saved, err := unix.FcntlInt(uintptr(unix.Stderr), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Dup2(saved, unix.Stderr); err != nil {
			t.Error(err)
		}
		unix.Close(saved)
	}()
	path := filepath.Join(t.TempDir(), "sbxd.log")
	for _, word := range []string{"one\n", strings.Repeat("two", maxLog), "three\n"} {
		if err := openLog(path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stderr.WriteString(word); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "three\n" {
		t.Errorf("%.20q %v", data, err)
	}
	if st, err := os.Stat(path + ".1"); err != nil || st.Size() <= maxLog {
		t.Errorf("the old log: %v %v", st, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", path); err != nil {
		t.Fatal(err)
	}
	if err := openLog(path); !errors.Is(err, unix.ELOOP) {
		t.Errorf("through a symbolic link: %v", err)
	}
}
