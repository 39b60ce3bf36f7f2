package slirp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	asDaemon   = "SBX_TEST_PASTA"         // makes the test binary called pasta fork
	ownNetwork = "SBX_TEST_SLIRP_NETWORK" // says that the network is the tests' own
)

// TestMain runs the tests in a network namespace of their own where that can be
// had. The test binary called pasta does nothing until its input ends.
func TestMain(m *testing.M) {
	program, _, _ := strings.Cut(filepath.Base(os.Args[0]), ".avx")
	switch {
	case program == Pasta && os.Getenv(asDaemon) != "":
		os.Exit(pretendPasta())
	case program == Pasta:
		buf := make([]byte, 1)
		_, _ = os.Stdin.Read(buf)
		os.Exit(0)
	case os.Getenv(ownNetwork) == "":
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), ownNetwork+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		if cmd.Start() == nil {
			_ = cmd.Wait()
			os.Exit(cmd.ProcessState.ExitCode())
		}
	}
	os.Exit(m.Run())
}

// pretendPasta leaves a process behind with the same command line.
func pretendPasta() int {
	file := os.Args[slices.Index(os.Args, "--pid")+1]
	if os.Getenv(asDaemon) != "1" {
		if os.WriteFile(file+".new", fmt.Appendln(nil, os.Getpid()), 0o600) != nil || os.Rename(file+".new", file) != nil {
			return 1
		}
		time.Sleep(time.Minute)
		return 0
	}
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: os.Args, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	cmd.Env = append(os.Environ(), asDaemon+"=2")
	if cmd.Start() != nil {
		return 1
	}
	for range 1000 {
		if pid, err := readPid(file); err == nil && pid == cmd.Process.Pid {
			return 0
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 1
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
	if p.adopt() == nil {
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
	if p.adopt() != nil {
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
