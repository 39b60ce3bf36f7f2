package cgroup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/cgroup"
	"sbx/cgroup/delegate"
	"sbx/tests/promised"
)

// Most tests want a home. Its process moves to its leaf, so they run in a child of
// the one that was started.
const (
	inside = "SBX_TEST_CGROUP_INSIDE"
	actEnv = "SBX_TEST_CGROUP_ACT" // what a process in a group does
)

var home cgroup.Home

func TestMain(m *testing.M) {
	if act := os.Getenv(actEnv); act != "" {
		os.Exit(play(act))
	}
	if os.Getenv(inside) == "" {
		os.Exit(child())
	}
	if err := findHome(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func findHome() error {
	if os.Geteuid() == 0 {
		home.Why = "to root all cgroups are writable, the machine's own, too"
		return nil
	}
	run, err := os.MkdirTemp("", "sbx-cgroup-")
	if err != nil {
		return err
	}
	home, err = delegate.Obtain(context.Background(), run)
	return errors.Join(err, os.RemoveAll(run))
}

func child() int {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return 1
	}
	return 0
}

// need skips a test where there is no home or no such controller. SBX_MUST=cgroup
// forbids the first, SBX_MUST=cgroup-NAME the second.
func need(t *testing.T, controllers ...string) {
	t.Helper()
	if !home.Exists() {
		promised.OrSkip(t, "cgroup", home.Why)
	}
	for _, c := range controllers {
		if err := home.Lacks("test", c); err != nil {
			promised.OrSkip(t, "cgroup-"+c, err)
		}
	}
}

var lastID int

// group makes one that is removed after the test, with everything in it.
func group(t *testing.T, l api.Limits) cgroup.Group {
	t.Helper()
	plan, err := home.Plan(l)
	if err != nil {
		t.Fatal(err)
	}
	lastID++
	g, err := home.Make(l.CgroupParent, fmt.Sprintf("%012x", lastID))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(g.Path); err == nil {
			if err := g.Kill(); err != nil {
				t.Error(err)
			}
		}
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(g.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", g.Path, err)
		}
	})
	if err := g.Set(plan); err != nil {
		t.Fatal(err)
	}
	return g
}

// start starts a process in a group that plays an act of this file.
func start(t *testing.T, g cgroup.Group, act string) *exec.Cmd {
	t.Helper()
	dir, err := g.File()
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	c := exec.CommandContext(t.Context(), "/proc/self/exe")
	c.Env = []string{actEnv + "=" + act}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	c.Stdout = out
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// end waits for a process, and gives its exit status, 128+n for a signal.
func end(t *testing.T, c *exec.Cmd) int {
	t.Helper()
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ws := c.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return c.ProcessState.ExitCode()
}

// output is what it has written so far.
func output(c *exec.Cmd) string {
	text, err := os.ReadFile(c.Stdout.(*os.File).Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// play is what processes in groups do. The output is for the test.
func play(act string) int {
	verb, arg, _ := strings.Cut(act, " ")
	n, _ := strconv.Atoi(arg)
	switch verb {
	case "sleep":
		time.Sleep(time.Minute)
	case "eat": // n MiB
		for range n {
			for b := make([]byte, 1<<20); len(b) > 0; b = b[min(len(b), 4096):] {
				b[0] = 1
				eaten = append(eaten, b[:1])
			}
		}
	case "spin": // n milliseconds
		for end := time.Now().Add(time.Duration(n) * time.Millisecond); time.Now().Before(end); {
		}
	case "fork": // as many as can be
		count := 0
		for range n {
			if _, err := os.StartProcess("/proc/self/exe", []string{"x"}, &os.ProcAttr{Env: []string{actEnv + "=sleep"}}); err != nil {
				fmt.Println(count, errors.Is(err, unix.EAGAIN))
				break
			}
			count++
		}
		time.Sleep(time.Minute)
	case "bomb": // for ever, in all directions
		for {
			_, _ = os.StartProcess("/proc/self/exe", []string{"x"}, &os.ProcAttr{Env: []string{actEnv + "=bomb"}})
		}
	case "cpus":
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &set); err != nil {
			return 1
		}
		for i := range 64 {
			if set.IsSet(i) {
				fmt.Print(i, " ")
			}
		}
	}
	return 0
}

var eaten [][]byte

func watch(t *testing.T, g cgroup.Group) *cgroup.Watch {
	t.Helper()
	w, err := cgroup.NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if err := w.Add(g); err != nil {
		t.Fatal(err)
	}
	return w
}

func next(t *testing.T, w *cgroup.Watch) cgroup.Event {
	t.Helper()
	timeout := time.AfterFunc(20*time.Second, func() { w.Close() })
	defer timeout.Stop()
	e, err := w.Next()
	if err != nil {
		t.Fatal(err)
	}
	return e
}
