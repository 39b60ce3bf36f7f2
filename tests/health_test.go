package tests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sbx/tests/registry"
)

type health struct {
	Status        string
	FailingStreak int
	Log           []struct {
		Start, End time.Time
		ExitCode   int
		Output     string
	}
}

func (e *Env) health(name string) health {
	e.t.Helper()
	var h health
	text := e.OK("inspect", "-f", "{{json .State.Health}}", name)
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		e.t.Fatalf("%v: %s", err, text)
	}
	return h
}

func (e *Env) becomes(name, status string) {
	e.t.Helper()
	e.Eventually(name+" is "+status, func() bool { return e.health(name).Status == status })
}

func TestHealth(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "web", "--health-cmd", "echo looked; cat /tmp/works", "--health-interval", "100ms", "--health-retries", "2",
		"--health-timeout", "20s", "host", "sh", "-c", "echo hello; sleep 1000")
	e.OK("run", "-d", "--name", "plain", "host", "sleep", "1000")
	e.becomes("web", "unhealthy")
	h := e.health("web")
	if last := h.Log[len(h.Log)-1]; h.FailingStreak < 2 || last.ExitCode != 1 || !strings.HasPrefix(last.Output, "looked\n") || !strings.Contains(last.Output, "No such file") || last.End.Before(last.Start) {
		t.Errorf("health: %+v", h)
	}
	e.OK("exec", "web", "sh", "-c", "echo yes >/tmp/works")
	e.becomes("web", "healthy")
	e.Eventually("five results are kept", func() bool { return len(e.health("web").Log) == 5 })
	if h := e.health("web"); h.FailingStreak != 0 {
		t.Errorf("health: %+v", h)
	}
	if out := e.OK("ps", "--filter", "name=web", "--format", "{{.Status}}"); !strings.HasPrefix(out, "Up ") || !strings.HasSuffix(out, " (healthy)") {
		t.Errorf("ps: %q", out)
	}
	e.Is("web", "ps", "--filter", "health=healthy", "--format", "{{.Names}}")
	e.Is("plain", "ps", "--filter", "health=none", "--format", "{{.Names}}")
	e.Is("", "ps", "--filter", "health=unhealthy", "--format", "{{.Names}}")
	e.Is("null", "inspect", "-f", "{{json .State.Health}}", "plain")
	e.Is(`{"Test":["CMD-SHELL","echo looked; cat /tmp/works"],"Interval":100000000,"Timeout":20000000000,"Retries":2}`, "inspect", "-f", "{{json .Config.Healthcheck}}", "web")
	e.Is("hello", "logs", "web")
	out := e.OK("events", "--since", "1h", "--until", "0s", "--filter", "container=web", "--filter", "event=health_status", "--format", "{{.Action}}")
	if out != "health_status: unhealthy\nhealth_status: healthy" {
		t.Errorf("events: %q", out)
	}
	// The next supervisor knows, and goes on.
	e.fell(e.roles()["supervisor"][0])
	if h := e.health("web"); h.Status != "healthy" || len(h.Log) != 5 {
		t.Errorf("after the supervisor was killed: %+v", h)
	}
	e.OK("exec", "web", "rm", "/tmp/works")
	e.becomes("web", "unhealthy")
	e.OK("stop", "-t", "0", "web")
	e.Is("exited", "inspect", "-f", "{{.State.Status}}", "web")
	// A new program has a new state.
	e.OK("start", "web")
	e.becomes("web", "unhealthy")
}

// A check that hangs is killed with all that it has started.
func TestHealthHangs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "hangs", "--health-cmd", "echo before; sleep 12345 & sleep 12346; true", "--health-interval", "100ms",
		"--health-timeout", "300ms", "--health-retries", "1", "host", "sleep", "1000")
	e.becomes("hangs", "unhealthy")
	if last := e.health("hangs").Log[0]; last.ExitCode != -1 || last.Output != "Health check exceeded timeout (300ms): before\n" {
		t.Errorf("result: %+v", last)
	}
	sleeps := func() (n int) {
		for _, p := range e.ByRole("sleep") {
			if p.State != 'Z' && len(p.Args) > 1 && strings.HasPrefix(p.Args[1], "1234") {
				n++
			}
		}
		return n
	}
	e.Eventually("several were killed", func() bool { return len(e.health("hangs").Log) >= 4 })
	if n := sleeps(); n > 4 { // of the check that runs, and of one that is just dying
		t.Errorf("%d processes of checks", n)
	}
	e.OK("exec", "hangs", "true")
	// The check that runs when the supervisor dies is nobody's any more.
	e.Eventually("one runs", func() bool { return sleeps() > 0 })
	e.fell(e.roles()["supervisor"][0])
	e.OK("stop", "-t", "0", "hangs")
	e.Eventually("none is left", func() bool { return sleeps() == 0 })
	// Where the end of the program is not the end of all others, it is that of a check.
	e.OK("run", "-d", "--name", "shared", "--pid", "host", "--health-cmd", "sleep 12347; true", "--health-interval", "100ms", "host", "sleep", "1000")
	e.Eventually("one runs", func() bool { return sleeps() > 0 })
	start := time.Now()
	e.OK("stop", "-t", "0", "shared")
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("stop has waited %v for the check", d)
	}
	e.Eventually("none is left", func() bool { return sleeps() == 0 })
	// Much output is no reason to wait, and is not kept.
	e.OK("run", "-d", "--name", "loud", "--health-cmd", "head -c 1000000 /dev/zero | tr '\\0' x", "--health-interval", "100ms", "host", "sleep", "1000")
	e.becomes("loud", "healthy")
	if out := e.health("loud").Log[0].Output; len(out) != 4096+3 || !strings.HasSuffix(out, "xxx...") {
		t.Errorf("%d bytes of output are kept: %.20q", len(out), out)
	}
}

func TestHealthStartPeriod(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "slow", "--health-cmd", "test -e /tmp/works", "--health-interval", "100ms", "--health-retries", "1",
		"--health-start-period", "1h", "--health-start-interval", "50ms", "host", "sleep", "1000")
	e.Eventually("it was looked at", func() bool { return len(e.health("slow").Log) >= 3 })
	if h := e.health("slow"); h.Status != "starting" || h.FailingStreak != 0 {
		t.Errorf("in the start period: %+v", h)
	}
	if out := e.OK("ps", "--format", "{{.Status}}"); !strings.HasSuffix(out, " (health: starting)") {
		t.Errorf("ps: %q", out)
	}
	e.OK("exec", "slow", "touch", "/tmp/works")
	e.becomes("slow", "healthy")
	e.OK("exec", "slow", "rm", "/tmp/works") // it has worked once: now a failure counts
	e.becomes("slow", "unhealthy")
}

func TestHealthActs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	run := func(name string, flags ...string) {
		t.Helper()
		args := append([]string{"run", "-d", "--name", name, "--health-cmd", "false", "--health-interval", "200ms", "--health-retries", "1"}, flags...)
		e.OK(append(args, "--stop-timeout", "0", "host", "sleep", "1000")...)
	}
	run("killed", "--health-on-failure", "kill")
	e.Is("137", "wait", "killed")
	run("again", "--health-on-failure", "kill", "--restart", "on-failure:1")
	e.Eventually("it was killed twice", func() bool { return e.state("again") == "exited" && e.restarts("again") == 1 })
	run("stopped", "--health-on-failure", "stop", "--restart", "always")
	e.Eventually("it is stopped", func() bool { return e.state("stopped") == "exited" })
	e.stays("stopped", "exited")
	run("restarted", "--health-on-failure", "restart")
	pid := func() string { return e.OK("inspect", "-f", "{{.State.Pid}}", "restarted") }
	first := pid()
	e.Eventually("it is another process", func() bool { now := pid(); return now != first && now != "0" })
	run("left")
	e.becomes("left", "unhealthy")
	e.stays("left", "running")
}

// The image may bring a check along.
func TestHealthOfImages(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	for tag, check := range map[string]any{
		"checked": map[string]any{"Test": []string{"CMD", "test", "-e", "/ok"}, "Interval": 2e8, "Retries": 1},
		"odd":     map[string]any{"Test": []string{"FROBNICATE", "x"}, "Interval": -5, "Retries": -1},
		"none":    map[string]any{"Test": []string{"NONE"}},
	} {
		put(t, f.Addr, "a", tag, pack(t, registry.Image{Docker: true, Layers: []registry.Layer{bottom(t, "gzip")}, Config: map[string]any{
			"Cmd": []string{"sleep", "1000"}, "Healthcheck": check}}))
	}
	image := f.Addr + "/a:checked"
	e.OK("pull", "-q", image)
	e.OK("run", "-d", "--name", "checked", image)
	e.becomes("checked", "unhealthy")
	e.OK("exec", "checked", "touch", "/ok")
	e.becomes("checked", "healthy")
	e.OK("run", "-d", "--name", "own", "--health-cmd", "true", image)
	e.Is(`["CMD-SHELL","true"] 200ms 1`, "inspect", "-f", "{{json .Config.Healthcheck.Test}} {{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Retries}}", "own")
	e.becomes("own", "healthy")
	e.OK("run", "-d", "--name", "off", "--no-healthcheck", image)
	e.Is("null", "inspect", "-f", "{{json .State.Health}}", "off")
	for _, tag := range []string{"odd", "none"} {
		e.OK("pull", "-q", f.Addr+"/a:"+tag)
		e.OK("run", "-d", "--name", tag, f.Addr+"/a:"+tag)
		e.Is("null", "inspect", "-f", "{{json .State.Health}}", tag)
	}
}
