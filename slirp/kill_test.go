package slirp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// The test binary called pasta does nothing until its input ends.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == Pasta {
		buf := make([]byte, 1)
		_, _ = os.Stdin.Read(buf)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// stand starts a process with the arguments and writes its pid to file.
func stand(t *testing.T, file string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: args}
	if args[0] == "sh" {
		cmd.Path = "/bin/sh"
	}
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hold.Close()
		_ = cmd.Wait() // a second time for those that the test has waited for
	})
	if err := os.WriteFile(file, fmt.Appendln(nil, cmd.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestKillByPidFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pasta.pid")
	cmd := stand(t, file, "/usr/bin/pasta.avx2", "--pid", file)
	p := &pasta{run: filepath.Dir(file)}
	if !p.running() {
		t.Error("not seen running")
	}
	if err := killByPidFile(file, Pasta); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pid file: %v", err)
	}
	if p.running() {
		t.Error("still seen running")
	}
	if err := killByPidFile(file, Pasta); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// A pid that is used again must not cost somebody else's life.
func TestKillByPidFileSparesOthers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pasta.pid")
	other := filepath.Join(dir, "other.pid")
	for name, args := range map[string][]string{
		"another pasta":   {"pasta", "--pid", other},
		"another program": {"sh", "-c", "read x", "--pid", file},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := stand(t, file, args...)
			if err := killByPidFile(file, Pasta); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("it is gone: %v", err)
			}
		})
	}
}

func TestPidFileContents(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pasta.pid")
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "x", "-1", "0", "99999999999999999999", "2147483647", strconv.Itoa(gone.Process.Pid)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := killByPidFile(file, Pasta); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: file is still there", text)
		}
	}
}
