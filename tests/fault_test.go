package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sbx/tests/instance"
)

// roles are the processes of the instance by what they are.
func (e *Env) roles() map[string][]instance.Process {
	found := map[string][]instance.Process{}
	for _, p := range e.Processes() {
		role := p.Role()
		if len(p.Args) == 2 && (role == "sbxd" || role == "exe") {
			role = p.Args[1] // parent, child, supervisor
		}
		if p.State != 'Z' {
			found[role] = append(found[role], p)
		}
	}
	return found
}

// kill kills a process unless it has ended meanwhile.
func kill(t testing.TB, p instance.Process) {
	t.Helper()
	if !runs(p) {
		return
	}
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		t.Errorf("kill %s: %v", p, err)
	}
}

func runs(p instance.Process) bool {
	now, err := instance.Lookup(p.PID)
	return err == nil && now.Start == p.Start && now.State != 'Z'
}

// fell kills a background process and waits until it is dead, and the supervisor
// that lives by it: whose death a command may still meet is not what is asked here.
func (e *Env) fell(p instance.Process) {
	e.t.Helper()
	all := map[int]instance.Process{}
	for _, other := range e.Processes() {
		all[other.PID] = other
	}
	with := []instance.Process{p}
	for _, s := range e.roles()["supervisor"] {
		for q := s; q.PID != 0; q = all[q.Parent] {
			if q.PID == p.PID {
				with = append(with, s)
			}
		}
	}
	kill(e.t, p)
	e.Eventually("they are dead", func() bool {
		for _, other := range with {
			if runs(other) {
				return false
			}
		}
		return true
	})
}

// load keeps sbx busy. Its commands may fail: they are killed, or what they talk
// to is. None may hang.
type load struct {
	e    *Env
	stop func() // can be called again
	over chan struct{}
	done sync.WaitGroup

	mu          sync.Mutex
	ran, failed int
	hung        []string
	errs        map[string]int
}

func (e *Env) load(workers int) *load {
	l := &load{e: e, over: make(chan struct{}), errs: map[string]int{}}
	l.stop = sync.OnceFunc(func() {
		close(l.over)
		l.done.Wait()
	})
	e.t.Cleanup(l.stop) // before the instance is taken down
	for n := range workers {
		l.done.Go(func() { l.work(n) })
	}
	return l
}

func (l *load) work(n int) {
	for i := 0; ; i++ {
		select {
		case <-l.over:
			return
		default:
		}
		switch (i + n) % 3 {
		case 0:
			l.run("run", "--rm", "host", "echo", "x")
		case 1:
			name := fmt.Sprintf("load-%d-%d", n, i)
			l.run("run", "-d", "--name", name, "host", "sleep", "1000")
			l.run("exec", name, "echo", "x")
			l.run("stop", "-t", "0", name)
			l.run("rm", "-f", name)
		case 2:
			l.run("ps", "-a")
		}
	}
}

func (l *load) run(args ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := l.e.Command(ctx, args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	err := c.Run()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ran++
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		l.hung = append(l.hung, strings.Join(args, " "))
	case errors.As(err, &exit):
		l.failed++
		l.errs[tidy(errs.String())]++
	}
}

// tidy is an error without what is different each time.
func tidy(s string) string {
	words := strings.Fields(s)
	for i, w := range words {
		if strings.ContainsAny(w, "0123456789") {
			words[i] = "N"
		}
	}
	return strings.Join(words[:min(14, len(words))], " ")
}

func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	for _, words := range l.hung {
		t.Errorf("hung: sbx %s", words)
	}
	t.Logf("%d commands, %d failed", l.ran, l.failed)
	for words, n := range l.errs {
		t.Logf("%4d  %s", n, words)
	}
}

// counter starts a sandbox that counts in its log.
func (e *Env) counter() {
	e.t.Helper()
	e.OK("run", "-d", "--name", "counter", "host", "sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done")
}

// count checks that the log has no hole and gives its last number.
func (e *Env) count() int {
	e.t.Helper()
	lines := strings.Fields(e.OK("logs", "counter"))
	for want, line := range lines {
		if line != strconv.Itoa(want) {
			e.t.Fatalf("the log has %q in the place of %d", line, want)
		}
	}
	return len(lines)
}

// alive says whether the counter is as well as before, by the very next commands.
func (e *Env) alive(after string) {
	e.t.Helper()
	if r := e.Run("exec", "counter", "echo", "ok"); r.Out != "ok\n" || r.Code != 0 {
		e.t.Errorf("after the death of %s: exec: %+v", after, r)
	}
	if r := e.Run("ps", "-q", "--filter", "name=counter"); r.Code != 0 || len(strings.Fields(r.Out)) != 1 {
		e.t.Errorf("after the death of %s: ps: %+v", after, r)
	}
	before := e.count()
	e.Eventually("the counter counts on", func() bool { return e.count() > before })
}

// holds is what the supervisor has open and mounted.
func (e *Env) holds() (files, mounts int) {
	e.t.Helper()
	e.Eventually("there is one supervisor", func() bool { return len(e.roles()["supervisor"]) == 1 })
	dir := fmt.Sprintf("/proc/%d/", e.roles()["supervisor"][0].PID)
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		e.t.Fatal(err)
	}
	info, err := os.ReadFile(dir + "mountinfo")
	if err != nil {
		e.t.Fatal(err)
	}
	return len(fds), strings.Count(string(info), e.Root)
}

// quiet waits until only the slots are left, and gives what the supervisor holds.
func (e *Env) quiet() (files, mounts int) {
	e.t.Helper()
	e.OK("ps")
	monitors, last := -1, time.Now()
	e.Eventually("no monitor comes or goes for a second", func() bool {
		if n := len(e.roles()["sbx-monitor"]); n != monitors {
			monitors, last = n, time.Now()
		}
		return time.Since(last) > 3*time.Second // those kept for busy times go after two
	})
	return e.holds()
}

// Whatever dies, and when: no sandbox is lost, and nothing leaks.
func TestFaultKills(t *testing.T) {
	e := Sbx(t)
	e.OK("run", "--rm", "host", "true")
	files, mounts := e.quiet()
	e.counter()
	const kills = 200
	end := time.Now().Add(80 * time.Second)
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	killed := map[string]int{}
	l := e.load(3)
	for n := 0; n < kills && time.Now().Before(end) && !t.Failed(); n++ {
		time.Sleep(time.Duration(random.IntN(120)) * time.Millisecond)
		// The command lines die as often as all others together.
		role := []string{"supervisor", "sbx", "sbx", "sbx-monitor", "sbx-monitor", "sbx-pid1", "sbx", "sbx-keeper", "child", "parent"}[random.IntN(10)]
		var among []instance.Process
		for _, p := range e.roles()[role] {
			if role != "sbx-monitor" && role != "sbx-pid1" || !e.isCounter(p) {
				among = append(among, p)
			}
		}
		if len(among) == 0 {
			continue
		}
		killed[role]++
		victim := among[random.IntN(len(among))]
		switch role {
		case "supervisor", "sbx-keeper", "child", "parent":
			e.fell(victim)
			e.alive(role)
		default:
			kill(t, victim)
		}
	}
	l.end(t)
	t.Logf("killed %v", killed)
	e.alive("all of them")
	n := e.count()
	e.OK("stop", "-t", "0", "counter")
	if e.count() < n {
		t.Error("the log is shorter than it was")
	}
	if err := e.Clear(); err != nil {
		t.Fatal(err)
	}
	e.noneLeft()
	filesNow, mountsNow := e.quiet()
	if filesNow > files+2 || mountsNow > mounts {
		t.Errorf("the supervisor holds %d descriptors and %d mounts, %d and %d at first", filesNow, mountsNow, files, mounts)
	}
}

func (e *Env) isCounter(p instance.Process) bool {
	id := e.counterID()
	for _, arg := range p.Args {
		if arg == id {
			return true
		}
	}
	// Monitors that have served before do not carry the id; their child does not
	// either, but runs the program.
	for _, child := range e.Processes() {
		if child.Parent == p.PID && strings.Contains(strings.Join(child.Args, " "), "i=$((i+1))") {
			return true
		}
	}
	return false
}

func (e *Env) counterID() string {
	entries, err := os.ReadDir(e.Data + "/sandboxes")
	if err != nil {
		return ""
	}
	for _, entry := range entries {
		config, err := os.ReadFile(e.Data + "/sandboxes/" + entry.Name() + "/config.json")
		if err == nil && bytes.Contains(config, []byte(`"counter"`)) {
			return entry.Name()
		}
	}
	return ""
}

// noneLeft waits until there is no directory of a sandbox, but those of slots.
func (e *Env) noneLeft() {
	e.t.Helper()
	var left []string
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		left = nil
		slots := 0
		entries, err := os.ReadDir(e.Data + "/sandboxes")
		if err != nil {
			e.t.Fatal(err)
		}
		for _, entry := range entries {
			if exists(e.Data+"/sandboxes/"+entry.Name()+"/config.json") == nil {
				left = append(left, entry.Name())
			} else {
				slots++
			}
		}
		if monitors := len(e.roles()["sbx-monitor"]); slots != monitors {
			left = append(left, fmt.Sprintf("%d directories of slots, %d monitors", slots, monitors))
		}
		if len(left) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, what := range left {
		e.t.Errorf("left: %s", what)
	}
}

// Each of the background processes, one after the other and in quiet times: the
// counter is there afterwards.
func TestFaultEachDeath(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.counter()
	for _, role := range []string{"supervisor", "sbx-keeper", "child", "parent", "supervisor", "parent", "sbx-keeper"} {
		found := e.roles()[role]
		if len(found) == 0 && role != "child" { // there is none any more after the first keeper's death
			t.Errorf("no %s runs", role)
		}
		for _, p := range found {
			e.fell(p)
		}
		e.alive(role)
	}
	e.OK("stop", "-t", "0", "counter")
	e.OK("rm", "counter")
}

// The only way back into the namespaces leads through the monitor of a privileged
// sandbox, whose mounts are staged in a mount namespace of its own.
func TestFaultOnlyPrivilegedIsLeft(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "counter", "--privileged", "host", "sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done")
	for _, p := range e.roles()["sbx-keeper"] {
		e.fell(p)
	}
	e.alive("the keeper")
	e.Is("ok", "run", "--rm", "--privileged", "-v", e.Home+":/mnt", "host", "echo", "ok")
	e.OK("rm", "-f", "counter")
	for _, p := range e.roles()["supervisor"] {
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", p.PID))
		if err != nil || strings.Contains(string(mounts), "/points/stage") {
			t.Errorf("the new supervisor lives among the mounts of a sandbox (%v):\n%s", err, mounts)
		}
	}
	e.Is("ok", "run", "--rm", "--privileged", "-v", e.Home+":/mnt", "host", "echo", "ok")
}

func TestFaultMonitorKilled(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.counter()
	e.Eventually("it counts", func() bool { return e.count() > 3 })
	attached := e.Start("attach", "counter")
	exec := e.Start("exec", "counter", "sh", "-c", "echo in; sleep 1000")
	exec.Expect("in")
	program := e.OK("inspect", "-f", "{{.State.Pid}}", "counter")
	for _, p := range e.roles()["sbx-monitor"] {
		if e.isCounter(p) {
			kill(t, p)
		}
	}
	for name, p := range map[string]*Proc{"attach": attached, "exec": exec} {
		if r := p.Wait(); r.Code == 0 {
			t.Errorf("%s of a sandbox without a monitor: %+v", name, r)
		}
	}
	e.Eventually("ps says so", func() bool { return strings.Contains(e.OK("ps", "-a"), "Exited (unknown)") })
	if pid, err := strconv.Atoi(program); err != nil || pid == 0 {
		t.Errorf("State.Pid is %q", program)
	} else if p, err := instance.Lookup(pid); err == nil && p.State != 'Z' {
		t.Errorf("the program runs on without a monitor: %s", p)
	}
	n := e.count()
	e.OK("start", "counter")
	e.Eventually("it runs again", func() bool { return e.Run("exec", "counter", "true").Code == 0 })
	if log := e.OK("logs", "counter"); len(strings.Fields(log)) < n {
		t.Errorf("%d lines of the log are lost", n-len(strings.Fields(log)))
	}
	e.OK("rm", "-f", "counter")
}

// The command line of a sandbox with --rm dies: the sandbox goes with it, or ends
// by itself and is removed; it never stays.
func TestFaultCommandLineKilled(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "box", "host", "sleep", "1000")
	for range 10 {
		p := e.Start("run", "--rm", "-i", "--name", "mine", "host", "sh", "-c", "echo in; read line")
		p.Expect("in")
		x := e.Start("exec", "-i", "box", "cat")
		p.Signal(syscall.SIGKILL)
		x.Signal(syscall.SIGKILL)
		p.Wait()
		x.Wait()
		e.Eventually("the sandbox is gone", func() bool { return e.OK("ps", "-aq", "--filter", "name=mine") == "" })
	}
	e.Eventually("the programs of exec are gone", func() bool { return !strings.Contains(e.OK("top", "box"), "cat") })
}
