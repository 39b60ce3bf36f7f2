package tests

import (
	"encoding/json"
	"regexp"
	"strings"
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
	id := e.OK("create", "--name", "box", "--hostname", "h", "-e", "A=b", "-w", "/usr", "host", "echo", "1")
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
	if err := json.Unmarshal([]byte(e.OK("inspect", "box")), &got); err != nil || len(got) != 1 {
		t.Fatalf("inspect: %v, %d entries", err, len(got))
	}
	x := got[0]
	if x.ID != id || x.Name != "/box" || x.State.Status != "created" || x.Config.Hostname != "h" ||
		x.Config.WorkingDir != "/usr" || x.Config.Image != "host" || x.Path != "echo" || len(x.Args) != 1 {
		t.Errorf("inspect: %+v", x)
	}
	if !strings.Contains(strings.Join(x.Config.Env, "\n"), "A=b") {
		t.Errorf("inspect: Config.Env is %q", x.Config.Env)
	}
}
