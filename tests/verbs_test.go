package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestInfoAndVersion(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("create", "host", "true")
	e.OK("run", "-d", "host", "sleep", "1000")
	e.Is("2 1 1", "info", "--format", "{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}}")
	var info struct {
		Containers    int
		Driver        string
		KernelVersion string
	}
	if err := json.Unmarshal([]byte(e.OK("info", "--format", "json")), &info); err != nil || info.Containers != 2 || info.Driver != "overlay" {
		t.Errorf("info as JSON: %+v, %v", info, err)
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if info.KernelVersion != strings.TrimSpace(string(kernel)) {
		t.Errorf("the kernel is %q, not %q", kernel, info.KernelVersion)
	}
	for _, field := range []string{"Client", "Server"} {
		if v := e.OK("version", "--format", "{{."+field+".Version}}"); !regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(v) {
			t.Errorf("version of the %s: %q", field, v)
		}
	}
	if out := e.OK("version"); !strings.HasPrefix(out, "Client:") || !strings.Contains(out, "\nServer:") {
		t.Errorf("version:\n%s", out)
	}
	e.Fails(1, "Nonsense", "info", "--format", "{{.Nonsense}}")
}

func TestRestart(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	id := e.OK("run", "-d", "--name", "again", "--stop-signal", "KILL", image, "sh", "-c", "echo run >>/runs; echo up; exec sleep 1000")
	runs := func() string { return e.Run("exec", "again", "cat", "/runs").Out }
	e.Eventually("it runs", func() bool { return runs() == "run\n" })
	first := e.OK("inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "again")
	e.Is("again", "restart", "-t", "0", "again")
	e.Eventually("it runs again", func() bool { return runs() == "run\nrun\n" })
	if second := e.OK("inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "again"); second == first {
		t.Errorf("still the same program: %s", second)
	}
	e.Is(id, "inspect", "-f", "{{.Id}}", "again")
	e.Is("up\nup", "logs", "again")
	e.OK("stop", "again")
	e.OK("restart", "again") // one that is stopped is started
	e.Is("true", "inspect", "-f", "{{.State.Running}}", "again")
	// A restart is no end: --rm does not remove.
	e.OK("run", "-d", "--rm", "--name", "brief", "--stop-signal", "KILL", image, "sleep", "1000")
	e.OK("restart", "-t", "0", "brief")
	e.Is("true", "inspect", "-f", "{{.State.Running}}", "brief")
	e.OK("stop", "brief")
	e.Fails(1, "brief", "inspect", "-f", "{{.Id}}", "brief")
}

func TestRename(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("run", "-d", "--name", "before", "host", "sleep", "1000")
	e.Is("", "rename", "before", "after")
	e.Is(id, "inspect", "-f", "{{.Id}}", "after")
	e.Is("/after", "inspect", "-f", "{{.Name}}", id)
	e.Fails(1, "before", "exec", "before", "true")
	e.OK("exec", "after", "true")
	e.Fails(125, "a b", "rename", "after", "a b")
	e.Fails(125, "../x", "rename", "after", "../x")
}

func TestSeveralAtOnce(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, name := range []string{"one", "two", "three"} {
		e.OK("create", "--name", name, "host", "sleep", "1000")
	}
	e.Is("one\ntwo\nthree", "start", "one", "two", "three")
	r := e.Run("kill", "one", "missing", "two")
	if r.Out != "one\ntwo\n" || r.Code != 1 || !strings.Contains(r.Err, "missing") {
		t.Errorf("kill: %+v", r)
	}
	e.Is("137\n137", "wait", "one", "two")
	e.Is("one\ntwo\nthree", "rm", "-f", "one", "two", "three")
}

func TestAmbiguousID(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	seen := map[byte]string{}
	for range 17 { // two of them begin with the same digit
		id := e.OK("create", "host", "true")
		if other, ok := seen[id[0]]; ok {
			r := e.Run("inspect", "-f", "{{.Id}}", id[:1])
			if r.Code != 1 || !strings.Contains(r.Err, "several") {
				t.Errorf("%s and %s: %+v", id, other, r)
			}
			e.Is(id, "inspect", "-f", "{{.Id}}", id[:20])
			return
		}
		seen[id[0]] = id
	}
	t.Error("17 ids with 17 first digits")
}

func TestPullPolicies(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	for _, policy := range []string{"missing", "never"} {
		e.Is("ok", "run", "--rm", "--pull", policy, image, "echo", "ok")
		e.Fails(125, "no-such-image", "run", "-q", "--rm", "--pull", policy, "no-such-image", "true")
	}
	e.Is("ok", "run", "--rm", "--restart", "no", image, "echo", "ok")
}

func TestLabels(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	file := filepath.Join(e.Home, "labels")
	if err := os.WriteFile(file, []byte("from.file=1\n# no label\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.OK("create", "--name", "box", "--label", "a=1", "-l", "b", "--label-file", file, "host", "true")
	e.Is(`{"a":"1","b":"","from.file":"1"}`, "inspect", "-f", "{{json .Config.Labels}}", "box")
	e.Is("1", "ps", "-a", "--format", `{{.Label "a"}}`)
}

// The environment file's rules are Docker's: comments, empty lines, and names
// without a value, which come from the caller.
func TestEnvFile(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	file := filepath.Join(e.Home, "env")
	if err := os.WriteFile(file, []byte("# comment\n\nA=1\nB=two words # no comment\nC=\"quoted\"\nTAKEN\nABSENT\nA=2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := e.Command(t.Context(), "run", "--rm", "--env-file", file, "-e", "D=4", "host", "sh", "-c", `echo "$A|$B|$C|$D|$TAKEN|${ABSENT-unset}"`)
	c.Env = append(c.Env, "TAKEN=yes")
	out, err := c.CombinedOutput()
	if want := "2|two words # no comment|\"quoted\"|4|yes|unset\n"; err != nil || string(out) != want {
		t.Errorf("%v, %q; want %q", err, out, want)
	}
}

func TestStopTimeouts(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	// A shell that is the first process ignores TERM without a trap.
	for _, flags := range [][]string{{"--stop-timeout", "0"}, {"--stop-timeout", "1"}} {
		id := e.OK(append(append([]string{"run", "-d"}, flags...), "host", "sh", "-c", "while :; do sleep 1000; done")...)
		e.Is(id, "stop", id)
		e.Is("137", "wait", id)
	}
	id := e.OK("run", "-d", "--stop-timeout", "1000", "host", "sh", "-c", "while :; do sleep 1000; done")
	e.OK("stop", "-t", "0", id)
	e.Is("137", "wait", id)
	id = e.OK("run", "-d", "host", "bash", "-c", "trap 'exit 3' INT; echo ready; while :; do sleep 0.02; done")
	e.Eventually("the trap is set", func() bool { return e.Run("logs", id).Out == "ready\n" })
	e.OK("stop", "-s", "INT", id)
	e.Is("3", "wait", id)
	e.OK("stop", id) // it has: no error
	e.Fails(125, "-t", "stop", "-t", "x"+strconv.Itoa(1), id)
}
