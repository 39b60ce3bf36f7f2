package tests

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func probePointer(c *byte) unsafe.Pointer { return unsafe.Pointer(c) }

// attackExhaust takes as much of args[0] as it gets, at most 2000, says how much
// that was and holds it.
func attackExhaust(args []string) {
	n, err := 0, error(nil)
	for n < 2000 && err == nil {
		switch args[0] {
		case "processes":
			_, err = syscall.ForkExec("/proc/self/exe", []string{"sleeper", "sleep"}, &syscall.ProcAttr{Env: []string{probeEnv + "=exhaust"}})
		case "files":
			_, err = unix.Open("/dev/null", unix.O_RDONLY, 0)
		case "terminals":
			_, err = unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
		case "inotify":
			_, err = unix.InotifyInit()
		case "sleep":
			stay()
		}
		n++
	}
	fmt.Println("took", n-1, args[0], err)
	stay()
}

// stay waits for ever without the help of the Go runtime, which would want
// descriptors for that.
func stay() {
	for {
		_ = unix.Pause() // it only ever returns EINTR
	}
}

// usable says whether sbx still does what it is there for while a sandbox has
// taken all it can get.
func (e *Env) usable(while string) {
	e.t.Helper()
	for _, args := range [][]string{
		{"run", "--rm", "host", "echo", "fine"}, {"ps"}, {"version"}, {"logs", while}, {"inspect", while}, {"top", while},
	} {
		if r := e.Run(args...); r.Code != 0 || args[0] == "run" && r.Out != "fine\n" {
			e.t.Errorf("while %s has taken everything, sbx %q: %+v", while, args, r)
		}
	}
	follow := e.Start("logs", "-f", while)
	follow.Expect("took")
	follow.Signal(syscall.SIGINT)
	follow.Wait()
}

func TestThreat47Exhaustion(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, c := range []struct {
		what, name string
		most       int
		flags      []string
	}{
		{"processes", "bomb", 60, []string{"--ulimit", "nproc=60"}},
		{"files", "files", 100, []string{"--ulimit", "nofile=100"}},
		{"terminals", "ptys", 200, []string{"--ulimit", "nofile=200"}},
		{"inotify", "inotify", 1999, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			args := append([]string{"run", "-d", "--name", c.name}, e.probeFlags("exhaust")...)
			args = append(append(args, c.flags...), "host", probeTarget, c.what)
			e.OK(args...)
			e.Eventually("it has taken what it gets", func() bool { return strings.Contains(e.Run("logs", c.name).Out, "took") })
			var n int
			out := e.OK("logs", c.name)
			if _, err := fmt.Sscanf(out, "took %d", &n); err != nil || n > c.most || n < 1 {
				t.Errorf("%q, want at most %d", out, c.most)
			}
			e.usable(c.name)
			e.OK("stop", "-t", "0", c.name)
			e.OK("rm", c.name)
		})
	}
}

// What a sandbox may fill has an end.
func TestThreat47Filling(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := e.Run("run", "--rm", "--tmpfs", "/mnt:size=1m", "host", "dd", "if=/dev/zero", "of=/mnt/f", "bs=64k", "count=64")
	if r.Code == 0 || !strings.Contains(r.Err, "No space left") {
		t.Errorf("a tmpfs of 1m takes 4m: %+v", r)
	}
	r = e.Run("run", "--rm", "--tmpfs", "/mnt:nr_inodes=100", "host", "sh", "-c", "for i in $(seq 200); do : >/mnt/$i || exit 9; done")
	if r.Code == 0 {
		t.Errorf("a tmpfs of 100 inodes takes 200 files: %+v", r)
	}
	r = e.Run("run", "--rm", "host", "dd", "if=/dev/zero", "of=/dev/f", "bs=1M", "count=100")
	if r.Code == 0 {
		t.Errorf("/dev has no size: %+v", r)
	}
	e.OK("run", "-d", "--name", "talker", "--log-opt", "max-size=100k", "--log-opt", "max-file=2", "host", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' '\\n'; echo over; sleep 1000")
	e.Eventually("it has said it all", func() bool { return strings.HasSuffix(e.Run("logs", "--tail", "1", "talker").Out, "over\n") })
	if size := treeSize(t, e.Data+"/sandboxes"); size > 1<<20 {
		t.Errorf("the log has %d bytes, with a limit of 200k", size)
	}
}

func treeSize(t *testing.T, dir string) (size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsPermission(err) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			size += treeSize(t, dir+"/"+entry.Name())
			continue
		}
		// The slot that this belongs to may be gone.
		if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
	}
	return size
}
