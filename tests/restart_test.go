package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// restarts is how often the policy of a sandbox has started it again.
func (e *Env) restarts(name string) int {
	e.t.Helper()
	n, err := strconv.Atoi(e.OK("inspect", "-f", "{{.RestartCount}}", name))
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

func (e *Env) state(name string) string {
	e.t.Helper()
	return e.OK("inspect", "-f", "{{.State.Status}}", name)
}

// stays wants a state not to change for a while in which a restart would come.
func (e *Env) stays(name, state string) {
	e.t.Helper()
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got := e.state(name); got != state {
			e.t.Fatalf("%s is %s, want %s", name, got, state)
		}
	}
}

func TestRestartOnFailure(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "fails", "--restart", "on-failure:3", "host", "sh", "-c", "echo tick; exit 3")
	e.OK("run", "-d", "--name", "works", "--restart", "on-failure", "host", "sh", "-c", "echo tick; exit 0")
	e.Eventually("it has given up", func() bool { return e.state("fails") == "exited" && e.restarts("fails") == 3 })
	e.Is("tick\ntick\ntick\ntick", "logs", "fails")
	e.Is("3", "wait", "fails")
	e.Is(`{"Name":"on-failure","MaximumRetryCount":3}`, "inspect", "-f", "{{json .HostConfig.RestartPolicy}}", "fails")
	e.stays("works", "exited")
	e.Is("tick", "logs", "works")
	if n := e.restarts("works"); n != 0 {
		t.Errorf("exit status 0 was restarted %d times", n)
	}
	// A start by hand begins a new account.
	e.OK("start", "fails")
	e.Eventually("it is restarted again", func() bool { return e.restarts("fails") == 3 && e.state("fails") == "exited" })
	if n := strings.Count(e.OK("logs", "fails"), "tick"); n != 8 {
		t.Errorf("%d starts, want 8", n)
	}
	// One that cannot be started at all is no program that has failed.
	e.Fails(127, "no-such-program", "run", "-d", "--name", "never", "--restart", "always", "host", "no-such-program")
	e.stays("never", "created")
}

func TestRestartUntilStopped(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, policy := range []string{"always", "unless-stopped"} {
		e.OK("run", "-d", "--name", policy, "--restart", policy, "host", "sh", "-c", "sleep 0.1; exit 0")
		e.Eventually("it is restarted", func() bool { return e.restarts(policy) >= 2 })
		e.Is(policy, "stop", policy)
		e.stays(policy, "exited")
		e.OK("start", policy)
		e.Eventually("it is restarted", func() bool { return e.restarts(policy) >= 1 })
		e.Is(policy, "kill", policy)
		e.stays(policy, "exited")
		e.OK("restart", policy)
		e.Eventually("it is restarted", func() bool { return e.restarts(policy) >= 1 })
		e.OK("rm", "-f", policy)
	}
	e.Is("", "ps", "-aq")
	// A signal that means something else to the program is no wish to end it.
	e.OK("run", "-d", "--name", "hup", "--restart", "always", "--init", "host", "sleep", "1000")
	e.OK("kill", "-s", "HUP", "hup")
	e.Eventually("it is restarted", func() bool { return e.restarts("hup") == 1 && e.state("hup") == "running" })
}

// What can be done to a sandbox that waits for its restart.
func TestRestartBackOff(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Extra = append(e.Extra, "SBX_IDLE=300ms")
	loop := func(name string) {
		t.Helper()
		e.OK("run", "-d", "--name", name, "--restart", "always", "host", "sh", "-c", "exit 7")
		// By then it waits for a second and a half.
		e.Eventually("it waits", func() bool { return e.restarts(name) >= 5 && e.state(name) == "restarting" })
	}
	loop("waiting")
	// A supervisor with nothing to do would leave in that time.
	supervisor := e.roles()["supervisor"][0]
	time.Sleep(800 * time.Millisecond)
	if !runs(supervisor) {
		t.Error("the supervisor has left a sandbox that waits for its restart")
	}
	if out := e.OK("ps", "--filter", "status=restarting", "--format", "{{.Names}} {{.Status}}"); !strings.HasPrefix(out, "waiting Restarting (7) ") {
		t.Errorf("ps: %q", out)
	}
	e.Is("true true 7 0", "inspect", "-f", "{{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}} {{.State.Pid}}", "waiting")
	e.Fails(1, "is restarting", "rm", "waiting")
	e.Fails(1, "is restarting", "exec", "waiting", "true")
	e.Fails(1, "is restarting", "attach", "waiting")
	e.Is("7", "wait", "waiting") // for its next end
	e.Is("waiting", "rm", "-f", "waiting")
	e.Is("", "ps", "-aq")

	loop("stopped")
	e.Is("stopped", "stop", "stopped")
	e.stays("stopped", "exited")
	e.OK("rm", "stopped")

	loop("killed")
	e.Is("killed", "kill", "killed")
	e.stays("killed", "exited")

	loop("changed")
	e.OK("update", "--restart", "no", "changed")
	e.stays("changed", "exited")
	e.OK("update", "--restart", "on-failure:1", "changed")
	e.stays("changed", "exited")
	e.OK("start", "changed")
	e.Eventually("it is restarted once", func() bool { return e.restarts("changed") == 1 && e.state("changed") == "exited" })
}

func TestWaitConditions(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("create", "--name", "box", "host", "sh", "-c", "sleep 0.2; exit 4")
	e.Is("0", "wait", "box") // it does not run
	next := e.Start("wait", "--condition", "next-exit", "box")
	removed := e.Start("wait", "--condition", "removed", "box")
	e.awaitFollowers(2)
	e.OK("start", "box")
	for _, p := range []*Proc{next} {
		if r := p.Wait(); r.Out != "4\n" || r.Code != 0 {
			t.Errorf("wait: %+v", r)
		}
	}
	e.OK("rm", "box")
	if r := removed.Wait(); r.Out != "4\n" || r.Code != 0 {
		t.Errorf("wait --condition removed: %+v", r)
	}
	// Logs follow a sandbox through its restarts, to its last end.
	e.OK("run", "-d", "--name", "loop", "--restart", "on-failure:2", "host", "sh", "-c", "echo x; sleep 0.2; exit 1")
	e.Is("x\nx\nx", "logs", "-f", "loop")
}

// awaitFollowers gives command lines that were just started the time to arrive:
// nothing tells from outside that they are waiting.
func (e *Env) awaitFollowers(n int) {
	e.t.Helper()
	e.Eventually("the commands are connected", func() bool {
		out, err := os.ReadFile("/proc/net/unix")
		return err == nil && strings.Count(string(out), e.Instance.Run+"/sock") > n
	})
	time.Sleep(200 * time.Millisecond)
}

// The supervisor is killed while sandboxes wait for their restarts, run, and have
// ended for good.
func TestRestartOutlivesTheSupervisor(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "loop", "--restart", "always", "host", "sh", "-c", "exit 7")
	e.OK("run", "-d", "--name", "last", "--restart", "on-failure:2", "host", "sh", "-c", "exit 7")
	e.OK("run", "-d", "--name", "runs", "--restart", "always", "host", "sleep", "1000")
	e.OK("run", "-d", "--name", "done", "--restart", "always", "host", "sleep", "1000")
	e.OK("stop", "-t", "0", "done")
	e.Eventually("they wait", func() bool {
		return e.restarts("loop") >= 4 && e.state("loop") == "restarting" && e.restarts("last") == 2 && e.state("last") == "exited"
	})
	pid := e.OK("inspect", "-f", "{{.State.Pid}}", "runs")
	before := e.restarts("loop")
	e.fell(e.roles()["supervisor"][0])
	if n := e.restarts("loop"); n < before || n > before+1 {
		t.Errorf("%d restarts before the supervisor was killed, %d after", before, n)
	}
	e.Eventually("the restarts go on", func() bool { return e.restarts("loop") > before })
	e.Is(pid, "inspect", "-f", "{{.State.Pid}}", "runs")
	e.stays("done", "exited")
	e.stays("last", "exited")
	// One that ends just now, while nobody looks.
	e.fell(e.roles()["sbx-keeper"][0])
	for _, p := range e.Processes() {
		if strconv.Itoa(p.PID) == pid {
			kill(t, p)
		}
	}
	e.Eventually("it runs again", func() bool { return e.state("runs") == "running" && e.restarts("runs") == 1 })
}

// After a reboot nothing runs, and the next command starts a supervisor.
func TestRestartAfterReboot(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, policy := range []string{"no", "always", "unless-stopped", "on-failure"} {
		e.OK("run", "-d", "--name", policy+"-ran", "--restart", policy, "host", "sleep", "1000")
		e.OK("run", "-d", "--name", policy+"-stopped", "--restart", policy, "host", "sleep", "1000")
		e.OK("create", "--name", policy+"-made", "--restart", policy, "host", "sleep", "1000")
		e.OK("stop", "-t", "0", policy+"-stopped")
	}
	id := e.OK("inspect", "-f", "{{.Id}}", "always-stopped")
	e.Instance.Kill()
	running := func() string { return e.OK("ps", "--format", "{{.Names}}") }
	want := "on-failure-ran\nunless-stopped-ran\nalways-ran"
	e.Eventually("they run", func() bool { return running() == want })
	e.stays("always-stopped", "exited")
	e.Is("exited", "inspect", "-f", "{{.State.Status}}", "no-ran")

	// What was stopped before the machine was started is started by always.
	e.Instance.Kill()
	path := filepath.Join(e.Data, "sandboxes", id, "restart.json")
	record, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(record), `"by_hand":true`) {
		t.Fatalf("restart.json: %v, %s", err, record)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(record), strings.TrimSpace(string(boot)), "another")
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil || other == string(record) {
		t.Fatalf("%v: %s", err, other)
	}
	e.Eventually("always runs too", func() bool { return strings.Contains(running(), "always-stopped") })
	if out := running(); strings.Contains(out, "unless-stopped-stopped") || strings.Contains(out, "made") {
		t.Errorf("too much runs: %q", out)
	}
}

// Many restarts leave nothing behind in the supervisor.
func TestRestartLoopsLeakNothing(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	// What is opened once is open after this.
	e.OK("run", "-d", "--name", "first", "--restart", "on-failure:1", "host", "sh", "-c", "exit 1")
	e.Eventually("it has given up", func() bool { return e.restarts("first") == 1 && e.state("first") == "exited" })
	e.OK("rm", "first")
	e.waitQuiet()
	before := e.supervisorFiles()
	const boxes, times = 6, 4
	for n := range boxes {
		e.OK("run", "-d", "--name", fmt.Sprintf("loop%d", n), "--restart", fmt.Sprintf("on-failure:%d", times), "host", "sh", "-c", "exit 1")
	}
	e.Eventually("they have given up", func() bool {
		return strings.Count(e.OK("ps", "-a", "--format", "{{.Status}}"), "Exited") == boxes
	})
	for n := range boxes {
		if got := e.restarts(fmt.Sprintf("loop%d", n)); got != times {
			t.Errorf("loop%d: %d restarts, want %d", n, got, times)
		}
	}
	e.waitQuiet()
	e.Eventually("no more files are open than before", func() bool { return len(e.supervisorFiles()) <= len(before) })
}

// waitQuiet waits until nothing but slots is left of sandboxes that have ended.
func (e *Env) waitQuiet() {
	e.t.Helper()
	e.Eventually("only slots are left", func() bool { return len(e.ByRole("sbx-monitor")) <= 2 })
}

// supervisorFiles are what the supervisor has open.
func (e *Env) supervisorFiles() []os.DirEntry {
	e.t.Helper()
	all := e.roles()["supervisor"]
	if len(all) != 1 {
		e.t.Fatalf("%d supervisors", len(all))
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", all[0].PID))
	if err != nil {
		e.t.Fatal(err)
	}
	return files
}
