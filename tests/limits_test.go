package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// home is the directory below which the cgroups of sandboxes are.
func (e *Env) home() string {
	e.t.Helper()
	text, err := os.ReadFile(filepath.Join(e.Instance.Run, "cgroup.json"))
	if err != nil {
		e.t.Fatal(err)
	}
	var h struct{ Path string }
	if err := json.Unmarshal(text, &h); err != nil {
		e.t.Fatal(err)
	}
	return h.Path
}

// groups are the cgroups of sandboxes and slots that have processes.
func (e *Env) groups() []string {
	e.t.Helper()
	list, err := filepath.Glob(e.home() + "/*/cgroup.events")
	if err != nil {
		e.t.Fatal(err)
	}
	var dirs []string
	for _, file := range list {
		if dir := filepath.Dir(file); filepath.Base(dir) != "sbx" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// The program dies of want of memory, sbx does not, and both inspect and events say
// what it was.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("memory")
	image := e.Busybox()
	if r := e.Run("run", "--name", "hog", "-m", "32m", "--memory-swap", "32m", image, "tail", "/dev/zero"); r.Code != 137 {
		t.Errorf("a hog ended with %+v", r)
	}
	e.Is("true 137 exited", "inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Status}}", "hog")
	e.OK("run", "--name", "child", "-m", "32m", "--memory-swap", "32m", image, "sh", "-c", "{ tail /dev/zero; sleep 1; true; } 2>/dev/null")
	e.Is("true 0", "inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "child")
	e.OK("run", "--name", "fine", "-m", "32m", image, "true")
	e.Is("false 0", "inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "fine")
	for _, name := range []string{"hog", "child"} {
		out := e.OK("events", "--since", "10m", "--until", "0s", "--filter", "container="+name, "--format", "{{.Action}}")
		oom, die := strings.Index(out, "oom"), strings.Index(out, "die")
		if oom < 0 || die < oom {
			t.Errorf("%s: the events are %q", name, out)
		}
	}
	if out := e.OK("events", "--since", "10m", "--until", "0s", "--filter", "container=fine", "--format", "{{.Action}}"); strings.Contains(out, "oom") {
		t.Errorf("one that had enough: the events are %q", out)
	}
}

func TestProcessorLimit(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("cpu")
	e.OK("run", "-d", "--name", "box", "--cpus", "0.5", e.Busybox(), "sh", "-c", "while :; do :; done")
	// Microseconds of the processor in hundredths of a second, by the clock inside.
	const measure = `u() { awk '/^usage_usec/ { print $2 }' /sys/fs/cgroup/cpu.stat; }; now() { awk '{ print int($1*100) }' /proc/uptime; }
		a=$(u) s=$(now); sleep 4; b=$(u) e=$(now); echo $((b-a)) $((e-s))`
	var seen []float64
	for range 4 { // others want the processors too
		var used, time float64
		if _, err := fmt.Sscan(e.OK("exec", "box", "sh", "-c", measure), &used, &time); err != nil {
			t.Fatal(err)
		}
		share := used / time / 1e4
		if seen = append(seen, share); share > 0.45 && share < 0.55 {
			return
		}
	}
	t.Errorf("half a processor is %.3v", seen)
}

func TestProcessorSet(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("cpuset")
	for _, cpu := range []string{"0", "1"} {
		e.Is("Cpus_allowed_list:\t"+cpu, "run", "--rm", "--cpuset-cpus", cpu, e.Busybox(), "grep", "Cpus_allowed_list", "/proc/self/status")
	}
}

// A fork bomb stops at the limit, and dies at once.
func TestProcessLimit(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("pids")
	const bomb = "f() { f | f & }; f 2>/dev/null; sleep 1000"
	for _, end := range [][]string{{"rm", "-f", "bomb"}, {"kill", "bomb"}, {"stop", "-t", "0", "bomb"}} {
		e.OK("run", "-d", "--name", "bomb", "--pids-limit", "60", e.Busybox(), "sh", "-c", bomb)
		dir := e.groupOf("bomb")
		e.Eventually("the limit is reached", func() bool {
			text, err := os.ReadFile(dir + "/pids.events")
			return err == nil && !strings.Contains(string(text), "max 0\n")
		})
		text, err := os.ReadFile(dir + "/pids.peak")
		if peak, _ := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && peak > 60 {
			t.Errorf("%d processes, 60 were allowed", peak)
		}
		e.OK(end...)
		e.Eventually("nothing is left", func() bool {
			_, err := os.Stat(dir)
			return os.IsNotExist(err)
		})
		e.Run("rm", "-f", "bomb")
	}
}

// groupOf is the directory of a running sandbox's cgroup.
func (e *Env) groupOf(name string) string {
	e.t.Helper()
	return filepath.Join(e.home(), e.OK("inspect", "-f", "{{.Id}}", name))
}

// What a sandbox sees of its cgroup is its own, and no more than that.
func TestCgroupNamespace(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("memory")
	image := e.Busybox()
	limit := []string{"run", "--rm", "-m", "64m"}
	inside := func(flags ...string) []string {
		return append(append(limit[:len(limit):len(limit)], flags...), image, "sh", "-c")
	}
	e.Is("0::/", append(inside(), "cat /proc/self/cgroup")...)
	e.Is("67108864", append(inside(), "cat /sys/fs/cgroup/memory.max")...)
	// Read-only; and with a mount that can be written, which --privileged makes, the
	// kernel keeps the limits (nsdelegate).
	for _, flags := range [][]string{nil, {"--privileged"}} {
		e.Is("67108864", append(inside(flags...), "{ echo max >/sys/fs/cgroup/memory.max; } 2>/dev/null; cat /sys/fs/cgroup/memory.max")...)
	}
	e.OK(append(inside("--privileged"), "mkdir /sys/fs/cgroup/mine && rmdir /sys/fs/cgroup/mine")...)
	if r := e.Run(append(inside(), "mkdir /sys/fs/cgroup/mine")...); r.Code == 0 {
		t.Error("a sandbox can divide its cgroup")
	}
	if out := e.OK(append(inside("--cgroupns", "host"), "cat /proc/self/cgroup")...); !strings.Contains(out, "sbx") {
		t.Errorf("with the host's cgroup namespace it is in %q", out)
	}
	e.OK("run", "-d", "--name", "box", "--cgroup-parent", "batch/night", image, "sleep", "1000")
	dir := filepath.Join(e.home(), "batch/night", e.OK("inspect", "-f", "{{.Id}}", "box"))
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	e.Is("0::/", "exec", "box", "cat", "/proc/self/cgroup")
	e.OK("rm", "-f", "box")
	if _, err := os.Stat(filepath.Join(e.home(), "batch")); !os.IsNotExist(err) {
		t.Errorf("the parent is left: %v", err)
	}
}

// A daemon that a program leaves in a pid namespace that is not its own ends with
// the sandbox.
func TestCgroupTakesAll(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable()
	e.OK("run", "-d", "--name", "first", e.Busybox(), "sleep", "1000")
	dir := e.groupOf("first")
	for _, flags := range [][]string{{"--pid", "host"}, {"--pid", "container:first"}} {
		e.OK(append(append([]string{"run", "--name", "daemon"}, flags...), e.Busybox(), "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & sleep 0.1")...)
		gone := e.groupOf("daemon")
		e.Eventually("the cgroup is removed", func() bool {
			_, err := os.Stat(gone)
			return os.IsNotExist(err)
		})
		e.OK("rm", "daemon")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

// Deaths, and hands that meddle: limits stay, and nothing is left.
func TestCgroupFaults(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("memory")
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", "-m", "64m", image, "sleep", "1000")
	dir := e.groupOf("box")
	for _, role := range []string{"supervisor", "sbx-keeper", "parent"} {
		e.fell(e.roles()[role][0])
		e.Is("67108864", "exec", "box", "cat", "/sys/fs/cgroup/memory.max")
		e.OK("update", "-m", "64m", "--memory-swap", "128m", "box")
		e.Is("0::/", "run", "--rm", "-m", "32m", image, "cat", "/proc/self/cgroup")
	}
	// Somebody moves the program out of its cgroup.
	pid := e.OK("inspect", "-f", "{{.State.Pid}}", "box")
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "sbx", "cgroup.procs"), []byte(pid), 0); err != nil {
		t.Fatal(err)
	}
	e.OK("stop", "-t", "0", "box")
	e.Is("exited", "inspect", "-f", "{{.State.Status}}", "box")
	e.OK("start", "box")
	e.Is("67108864", "exec", "box", "cat", "/sys/fs/cgroup/memory.max")
	e.fell(e.roles()["sbx-monitor"][0])
	e.OK("rm", "-f", "box")
	e.Eventually("nothing is left", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
}

// As many starts as a busy day has leave no cgroup behind.
func TestCgroupCycles(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("memory", "pids")
	image := e.Busybox()
	cycles, workers := 1000, 4
	if testing.Short() {
		cycles = 40
	}
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for range cycles / workers {
				if r := e.Run("run", "--rm", "-m", "64m", "--pids-limit", "20", image, "true"); r.Code != 0 {
					t.Errorf("%+v", r)
					return
				}
			}
		})
	}
	wait.Wait()
	// Some slots wait for the next start; the others go after a while.
	const slots = 2
	end := time.Now().Add(20 * time.Second)
	for len(e.groups()) > slots && time.Now().Before(end) {
		time.Sleep(100 * time.Millisecond)
	}
	if left := e.groups(); len(left) > slots {
		t.Errorf("after %d starts there are cgroups: %q", cycles, left)
	}
}

// The disk is as slow as was said.
func TestDeviceLimit(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("io")
	dir, err := os.MkdirTemp(os.Getenv("HOME"), "sbx-io-") // temporary files may be in memory
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const mib = 4
	line := fmt.Sprintf("dd if=/dev/zero of=/disk/file bs=64k count=%d oflag=direct 2>/dev/null", mib*16)
	elapsed := func(flags ...string) time.Duration {
		t.Helper()
		began := time.Now()
		e.OK(append(append([]string{"run", "--rm", "-v", dir + ":/disk"}, flags...), e.Busybox(), "sh", "-c", line)...)
		return time.Since(began)
	}
	// A megabyte a second, of which the first comes at once.
	if took := elapsed("--device-write-bps", diskOf(t, dir)+":1m"); took < (mib-2)*time.Second {
		t.Errorf("%d MiB at 1 MiB a second took %v; without a limit it is %v", mib, took, elapsed())
	}
}

// diskOf is the device of the file system that a directory is on.
func diskOf(t *testing.T, dir string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	dev, best := "", 0
	for line := range strings.Lines(string(mounts)) {
		at := strings.TrimSuffix(strings.Fields(line)[4], "/") + "/"
		if _, rest, ok := strings.Cut(line, " - "); ok && strings.HasPrefix(dir+"/", at) && len(at) >= best {
			dev, best = strings.Fields(rest)[1], len(at)
		}
	}
	if !strings.HasPrefix(dev, "/dev/") {
		t.Skipf("%s is on %s, which is no disk", dir, dev)
	}
	return dev
}
