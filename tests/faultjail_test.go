package tests

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"sbx/tests/promised"
)

// jail is a user and mount namespace around the whole of an sbx, for limits that
// a test may not set for the machine. There are no subordinate ids in it: only the
// test's own id is mapped, and newuidmap could not do more.
type jail struct {
	*Env
	pid int
}

// jail makes one; setup is run by a shell that has all capabilities in it.
func (e *Env) jail(setup string) *jail {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	uid, gid := os.Getuid(), os.Getgid()
	c := exec.CommandContext(ctx, "unshare", "--user", "--mount", "--keep-caps", fmt.Sprintf("--map-user=%d", uid), fmt.Sprintf("--map-group=%d", gid),
		"sh", "-ec", "for f in /etc/subuid /etc/subgid; do mount --bind /dev/null $f; done\n"+setup+"\necho ready\nexec sleep 1000")
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		e.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		e.t.Fatal(err)
	}
	word := make([]byte, 6)
	n, _ := out.Read(word) // what matters is what has come
	if string(word[:n]) != "ready\n" {
		cancel()
		_ = c.Wait()
		promised.OrSkip(e.t, "userns", "a jail:", errs.String())
	}
	e.t.Cleanup(func() {
		cancel()
		_ = c.Wait() // it was killed
	})
	return &jail{e, c.Process.Pid}
}

// Run runs sbx in the jail, under prlimit(1) with those options.
func (j *jail) Run(limits []string, args ...string) Result {
	j.t.Helper()
	return j.sh(limits, append([]string{j.Instance.Sbx()}, args...)...)
}

func (j *jail) sh(limits []string, args ...string) Result {
	j.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	words := []string{"--preserve-credentials", "--user", "--mount", fmt.Sprintf("--target=%d", j.pid), "prlimit"}
	words = append(append(words, limits...), "setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--")
	c := exec.CommandContext(ctx, "nsenter", append(words, args...)...)
	c.Env, c.Dir = j.Env.Env(), "/"
	c.WaitDelay = patience
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	return j.result(c.Run(), ctx, c, &out, &errs)
}

// must succeed; what it says on standard error does not matter here.
func (j *jail) must(limits []string, args ...string) string {
	j.t.Helper()
	r := j.Run(limits, args...)
	if r.Code != 0 {
		j.t.Fatalf("sbx %q: %+v", args, r)
	}
	return strings.TrimSuffix(r.Out, "\n")
}

// blames checks that a command failed and that the error names the cause.
func (j *jail) blames(cause string, r Result) {
	j.t.Helper()
	if r.Code != 125 || !strings.Contains(r.Err, cause) || strings.Contains(r.Err, "goroutine") {
		j.t.Errorf("%+v: want status 125 and %q", r, cause)
	}
}

// works says whether a sandbox of the image can be run.
func (j *jail) works(image string) {
	j.t.Helper()
	if r := j.Run(nil, "run", "--rm", image, "echo", "fine"); r.Out != "fine\n" || r.Code != 0 {
		j.t.Errorf("run: %+v", r)
	}
}

func (j *jail) killSupervisor() {
	j.t.Helper()
	for _, p := range j.roles()["supervisor"] {
		kill(j.t, p)
	}
}

func TestFaultDiskFull(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	for name, c := range map[string]struct{ options, fill string }{
		"bytes":  {"size=16m", "cat /dev/zero >/f"},
		"inodes": {"size=64m,nr_inodes=1500", "i=0; while : >/f$i; do i=$((i+1)); done"},
	} {
		t.Run(name, func(t *testing.T) {
			e := Sbx(t)
			j := e.jail(": >" + e.Root + "/sbxd.log; mount -t tmpfs -o mode=700," + c.options + " sbx-full " + e.Data +
				// The log is elsewhere, or nobody would ever know.
				"; : >" + e.Data + "/sbxd.log; mount --bind " + e.Root + "/sbxd.log " + e.Data + "/sbxd.log")
			defer func() {
				if log, err := os.ReadFile(e.Root + "/sbxd.log"); err == nil && t.Failed() {
					t.Logf("%s", tail(log, 6<<10))
				}
			}()
			j.must(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "small")
			j.works("small")
			if r := j.Run(nil, "run", "--name", "filler", "small", "sh", "-c", c.fill); r.Code == 0 || !strings.Contains(r.Err, "No space left") {
				t.Fatalf("the file system is not full: %+v", r)
			}
			// Slots that were made before take what little room there may be.
			var last Result
			for i := range 20 {
				if last = j.Run(nil, "create", "--name", "many-"+strconv.Itoa(i), "small", "true"); last.Code != 0 {
					break
				}
			}
			j.blames("full", last)
			if r := j.Run(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "again"); r.Code == 0 || !strings.Contains(r.Err, "space") {
				t.Errorf("import: %+v", r)
			}
			if r := j.Run(nil, "ps", "-a"); r.Code != 0 || !strings.Contains(r.Out, "filler") {
				t.Errorf("ps -a: %+v", r)
			}
			j.killSupervisor()
			if r := j.Run(nil, "ps", "-a"); r.Code != 0 || !strings.Contains(r.Out, "filler") {
				t.Errorf("ps -a by a new supervisor: %+v", r)
			}
			j.must(nil, append([]string{"rm", "-f"}, strings.Fields(j.must(nil, "ps", "-aq"))...)...)
			j.works("small")
			j.killSupervisor()
			j.works("small")
			j.must(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "again")
			j.works("again")
		})
	}
}

// untilFull starts sandboxes until that fails, at most so many.
func (j *jail) untilFull(image string, most int) (full Result, ids []string) {
	j.t.Helper()
	for range most {
		r := j.Run(nil, "run", "-d", image, "sleep", "1000")
		if r.Code != 0 {
			return r, ids
		}
		ids = append(ids, strings.TrimSpace(r.Out))
	}
	j.t.Fatalf("%d sandboxes, and no limit", most)
	return
}

func TestFaultLimits(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	for name, c := range map[string]struct {
		setup, cause string
		limits       []string
	}{
		"files":      {"", "open files", []string{"--nofile=120:120"}},
		"processes":  {"", "processes", []string{"--nproc=160:160"}},
		"namespaces": {"echo 12 >/proc/sys/user/max_user_namespaces", "namespaces", nil},
		"mounts":     {"echo 12 >/proc/sys/user/max_mnt_namespaces", "namespaces", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := Sbx(t)
			j := e.jail(c.setup)
			// The supervisor has the limits of the command that starts it.
			j.must(c.limits, "version")
			j.must(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "small")
			full, ids := j.untilFull("small", 60)
			if len(ids) == 0 {
				t.Fatalf("no sandbox at all: %+v", full)
			}
			t.Logf("%d sandboxes, then %q", len(ids), full.Err)
			// When a process could not even begin, only the log knows why.
			if log, err := os.ReadFile(e.Data + "/sbxd.log"); name != "processes" || err != nil || !strings.Contains(string(log), "ulimit -u") || !strings.Contains(full.Err, "sbxd.log") {
				j.blames(c.cause, full)
			}
			// Those that run are none the worse for it. With no thread to be had the Go
			// runtime gives up, of a monitor as well.
			if r := j.Run(nil, "ps", "-q"); r.Code != 0 || len(strings.Fields(r.Out)) != len(ids) && name != "processes" {
				t.Errorf("%d sandboxes run, ps: %+v", len(ids), r)
			}
			// The one that did not start is there too, as docker has it.
			j.must(nil, append([]string{"rm", "-f"}, strings.Fields(j.must(nil, "ps", "-aq"))...)...)
			if left := j.must(nil, "ps", "-aq"); left != "" {
				t.Errorf("left over: %s", left)
			}
			j.works("small")
			j.killSupervisor()
			j.works("small")
		})
	}
}

func TestFaultNoUserNamespaces(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	j := e.jail("echo 0 >/proc/sys/user/max_user_namespaces")
	j.blames("max_user_namespaces", j.Run(nil, "run", "--rm", "busybox", "true"))
}

// A service manager or a container may have set no_new_privs, which stays for ever.
// Whether sbx can work so or not, it says so at once.
func TestFaultNoNewPrivileges(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "setpriv", "--no-new-privs", e.Instance.Sbx(), "run", "--rm", "busybox", "echo", "fine")
	c.Env, c.Dir = e.Env(), e.Home
	out, err := c.CombinedOutput()
	if ctx.Err() != nil || err == nil && string(out) != "fine\n" || err != nil && !strings.Contains(string(out), "no_new_privs") {
		t.Errorf("%v: %s", err, out)
	}
}
