package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStartTimeAndPidNameOneProcess(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A command name made to be mistaken for other fields of /proc/PID/stat.
	odd := filepath.Join(t.TempDir(), ") S 1 (7 8")
	if err := os.Symlink(exe, odd); err != nil {
		t.Fatal(err)
	}
	first, second := waiting(t, exe, 0, 0), waiting(t, odd, 0, 0)
	ours, err := StartTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*os.Process{first, second} {
		start, err := StartTime(p.Pid)
		if err != nil || start < ours {
			t.Fatalf("start time %d, ours %d, %v", start, ours, err)
		}
		f, err := Find(p.Pid, start)
		if err != nil {
			t.Fatal(err)
		}
		if Ended(f) {
			t.Error("a process that waits is said to have ended")
		}
		f.Close()
		// The same number, another process.
		if f, err := Find(p.Pid, start-1); !errors.Is(err, unix.ESRCH) || f != nil {
			t.Errorf("of another start time: %v, %v", f, err)
		}
	}
	if _, err := StartTime(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("start time of nobody: %v", err)
	}
	if _, err := Find(1<<30, ours); err == nil {
		t.Error("nobody was found")
	}
}

func TestSignalReachesItsProcessOnly(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := waiting(t, exe, 0, 0)
	start, err := StartTime(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Pidfd(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Signal(f, unix.Signal(0)); err != nil {
		t.Errorf("signal 0: %v", err)
	}
	if err := Signal(f, unix.Signal(99)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("signal 99: %v", err)
	}
	if err := Signal(f, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			break
		}
	}
	if !Ended(f) {
		t.Error("a zombie is said to run")
	}
	if _, err := wait(p.Pid); err == nil || err.Error() != "signal killed" {
		t.Errorf("its end: %v", err)
	}
	if err := Signal(f, unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal after the end: %v", err)
	}
	if _, err := Find(p.Pid, start); err == nil {
		t.Error("a process that is gone was found")
	}
}
