package tests

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestDetachedLife(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("run", "-d", "--name", "one", "--label", "k=v", "host", "sh", "-c", "echo hello; echo oops >&2; exec sleep 1000")
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(id) {
		t.Errorf("run -d printed %q, want an id of 64 hex digits", id)
	}
	e.Is("one", "ps", "--format", "{{.Names}}")
	e.Is(id, "ps", "-q", "--no-trunc")
	e.Is(id[:12], "ps", "-q")
	e.Is("running 0 v", "inspect", "-f", `{{.State.Status}} {{.State.ExitCode}} {{index .Config.Labels "k"}}`, "one")
	e.Eventually("the log has both lines", func() bool {
		r := e.Run("logs", "one")
		return r.Out == "hello\n" && r.Err == "oops\n"
	})

	e.Is("one", "stop", "-t", "1", "one") // sleep as pid 1 ignores SIGTERM
	e.Is("exited 137", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one")
	e.Is("", "ps", "-q")
	e.Is(id[:12], "ps", "-aq")
	if out := e.OK("ps", "-a"); !strings.Contains(out, "Exited (137)") || !strings.HasPrefix(out, "CONTAINER ID") {
		t.Errorf("ps -a:\n%s", out)
	}

	e.Is("one", "start", "one")
	e.Is("true", "inspect", "-f", "{{.State.Running}}", id[:6])
	if r := e.Run("rm", "one"); r.Code != 1 || !strings.Contains(r.Err, "one") {
		t.Errorf("rm of a running sandbox: status %d, stderr %q", r.Code, r.Err)
	}
	e.Is("one", "rm", "-f", "one")
	e.Is("", "ps", "-aq")
	e.Fails(1, "one", "inspect", "-f", "{{.Id}}", "one")
}

func TestNames(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("create", "--name", "taken", "host", "true")
	e.Fails(125, "taken", "run", "--name", "taken", "host", "true")
	e.Fails(125, "taken", "create", "--name", "taken", "host", "true")
	e.OK("rename", "taken", "free")
	e.OK("create", "--name", "taken", "host", "true")
	e.Fails(1, "taken", "rename", "free", "taken")
	e.Is("free\ntaken", "rm", "free", "taken")

	e.OK("create", "host", "true")
	name := e.OK("ps", "-a", "--format", "{{.Names}}")
	if !regexp.MustCompile(`^[a-z]+_[a-z]+$`).MatchString(name) {
		t.Errorf("a name of our making: %q", name)
	}
}

func TestCreateStartAttach(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("create", "-i", "--name", "job", "host", "sh", "-c", "read line; echo got $line; exit 3")
	e.Is("created", "inspect", "-f", "{{.State.Status}}", "job")
	r := e.RunIn("input\n", "start", "-a", "-i", "job")
	if r.Out != "got input\n" || r.Code != 3 {
		t.Errorf("start -ai: stdout %q, stderr %q, status %d", r.Out, r.Err, r.Code)
	}
	e.Is("got input", "logs", id)
	e.Is("3", "wait", "job")
}

func TestInspectIsDockersJSON(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("create", "--name", "x", "--hostname", "h", "-e", "A=b", "-w", "/usr", "host", "echo", "1")
	var got []struct {
		ID     string `json:"Id"`
		Name   string
		Path   string
		Args   []string
		State  struct{ Status string }
		Config struct {
			Hostname, WorkingDir, Image string
			Env                         []string
		}
	}
	if err := json.Unmarshal([]byte(e.OK("inspect", "x")), &got); err != nil || len(got) != 1 {
		t.Fatalf("inspect: %v, %d entries", err, len(got))
	}
	x := got[0]
	if x.ID != id || x.Name != "/x" || x.State.Status != "created" || x.Config.Hostname != "h" ||
		x.Config.WorkingDir != "/usr" || x.Config.Image != "host" || x.Path != "echo" || len(x.Args) != 1 {
		t.Errorf("inspect: %+v", x)
	}
	if !strings.Contains(strings.Join(x.Config.Env, "\n"), "A=b") {
		t.Errorf("inspect: Config.Env is %q", x.Config.Env)
	}
}

func TestStopSignals(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	trap := `trap "echo bye; exit 5" USR1; trap "echo term; exit 6" TERM; echo ready; while :; do read x </dev/zero & wait; done`
	for _, c := range []struct {
		name string
		run  []string
		want string
	}{
		{"default", nil, "6"},
		{"chosen", []string{"--stop-signal", "USR1"}, "5"},
		{"under init", []string{"--init"}, "6"},
	} {
		args := append(append([]string{"run", "-d", "--name", "s"}, c.run...), "host", "bash", "-c",
			strings.ReplaceAll(trap, "read x </dev/zero & wait", "sleep 1000 & wait"))
		e.OK(args...)
		e.Eventually("the traps are set", func() bool { return strings.Contains(e.Run("logs", "s").Out, "ready") })
		e.OK("stop", "s")
		e.Is(c.want, "wait", "s")
		e.OK("rm", "s")
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "k", "host", "sleep", "1000")
	e.Is("k", "kill", "k")
	e.Is("137", "wait", "k")
	e.Fails(1, "k", "kill", "k")

	e.OK("run", "-d", "--name", "i", "--init", "host", "sleep", "1000")
	e.OK("kill", "-s", "INT", "i")
	e.Is("130", "wait", "i")
	e.Fails(1, "NOSUCH", "kill", "-s", "NOSUCH", "i")
}

func TestWaitWaits(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "-i", "--name", "w", "host", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
	wait := e.Start("wait", "w")
	e.Eventually("the trap is set", func() bool { return strings.Contains(e.Run("logs", "w").Out, "ready") })
	e.OK("kill", "-s", "TERM", "w")
	if r := wait.Wait(); r.Out != "9\n" || r.Code != 0 {
		t.Errorf("wait: stdout %q, stderr %q, status %d", r.Out, r.Err, r.Code)
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, e *Env, run []string) {
		p := e.Start(append(run, "host", "sh", "-c", `trap "echo hup" HUP; trap "exit 4" TERM; echo ready; while :; do sleep 0.05; done`)...)
		p.Expect("ready")
		p.Signal(syscall.SIGHUP)
		p.Expect("hup")
		p.Signal(syscall.SIGTERM)
		if r := p.Wait(); r.Code != 4 {
			t.Errorf("status %d, stderr %q; want 4", r.Code, r.Err)
		}
	})
}

func TestExec(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "x", "--hostname", "box", "-e", "A=1", "host", "sh", "-c", "echo made >/tmp/f; exec sleep 1000")
	e.Eventually("the program has run", func() bool { return e.Run("exec", "x", "test", "-s", "/tmp/f").Code == 0 })
	e.Is("made", "exec", "x", "cat", "/tmp/f")
	e.Is("box 1 2", "exec", "-e", "B=2", "x", "sh", "-c", `echo "$(uname -n) $A $B"`)
	e.Is("/usr", "exec", "-w", "/usr", "x", "pwd")
	e.Is("1", "exec", "-u", "1", "x", "id", "-u")
	if r := e.RunIn("data", "exec", "-i", "x", "cat"); r.Out != "data" {
		t.Errorf("exec -i cat: %+v", r)
	}
	for want, cmd := range map[int][]string{
		0: {"true"}, 7: {"sh", "-c", "exit 7"}, 126: {"/etc/passwd"}, 127: {"no-such-program"}, 137: {"sh", "-c", "kill -KILL $$"},
	} {
		if r := e.Run(append([]string{"exec", "x"}, cmd...)...); r.Code != want {
			t.Errorf("exec %q: status %d, want %d; stderr %q", cmd, r.Code, want, r.Err)
		}
	}
	e.OK("exec", "-d", "x", "sh", "-c", "echo later >/tmp/g")
	e.Eventually("exec -d has run", func() bool { return e.Run("exec", "x", "cat", "/tmp/g").Out == "later\n" })
	e.Fails(1, "no-such-sandbox", "exec", "no-such-sandbox", "true")

	// The same rights as the sandbox's own program. CVE-2022-29162 and its kin.
	for _, field := range []string{"CapBnd", "CapEff", "CapInh", "CapAmb", "Seccomp", "NoNewPrivs"} {
		line := "^" + field + ":"
		e.Is(e.OK("exec", "x", "grep", line, "/proc/1/status"), "exec", "x", "grep", line, "/proc/self/status")
	}
}

func TestTop(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "x", "host", "sleep", "12345")
	if out := e.OK("top", "x"); !strings.Contains(out, "sleep 12345") || !strings.Contains(out, "PID") || strings.Count(out, "\n") != 1 {
		t.Errorf("top:\n%s", out)
	}
	if out := e.OK("top", "x", "-o", "pid,comm"); !strings.Contains(out, "sleep") {
		t.Errorf("top -o pid,comm:\n%s", out)
	}
}

func TestLogsOptions(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Run("run", "--name", "l", "host", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done; printf unfinished")
	e.Is("1\n2\n3\n4\n5\nunfinished", "logs", "l")
	e.Is("5\nunfinished", "logs", "--tail", "2", "l")
	e.Is("", "logs", "--tail", "0", "l")
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z 1$`)
	if first, _, _ := strings.Cut(e.OK("logs", "-t", "l"), "\n"); !stamp.MatchString(first) {
		t.Errorf("logs -t: first line %q", first)
	}
	e.Is("", "logs", "--since", "2100-01-01T00:00:00Z", "l")
	e.Is("", "logs", "--until", "2000-01-01T00:00:00Z", "l")

	e.OK("run", "-d", "-i", "--name", "f", "--init", "host", "sh", "-c", "echo first; trap 'echo last; exit' TERM; while :; do sleep 0.05; done")
	follow := e.Start("logs", "-f", "f")
	follow.Expect("first\n")
	e.OK("stop", "f")
	if r := follow.Wait(); r.Out != "first\nlast\n" || r.Code != 0 {
		t.Errorf("logs -f: %+v", r)
	}
}

func TestPsFilters(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("create", "--name", "a", "--label", "team=red", "host", "true")
	e.OK("run", "-d", "--name", "b", "--label", "team=blue", "host", "sleep", "1000")
	for filter, want := range map[string]string{
		"name=a": "a", "label=team": "b\na", "label=team=blue": "b", "status=created": "a", "status=running": "b", "name=zzz": "",
	} {
		e.Is(want, "ps", "-a", "--filter", filter, "--format", "{{.Names}}")
	}
	e.Is("b", "ps", "-a", "-n", "1", "--format", "{{.Names}}")
	e.Fails(1, "colour", "ps", "--filter", "colour=green")
}
