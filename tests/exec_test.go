package tests

import (
	"strings"
	"testing"
)

func TestExec(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "box", "--hostname", "inside", "-e", "A=1", "host", "sh", "-c", "echo made >/tmp/f; exec sleep 1000")
	e.Eventually("the program has run", func() bool { return e.Run("exec", "box", "test", "-s", "/tmp/f").Code == 0 })
	e.Is("made", "exec", "box", "cat", "/tmp/f")
	e.Is("inside 1 2", "exec", "-e", "B=2", "box", "sh", "-c", `echo "$(uname -n) $A $B"`)
	e.Is("/usr", "exec", "-w", "/usr", "box", "pwd")
	e.Is("1", "exec", "-u", "1", "box", "id", "-u")
	if r := e.RunIn("data", "exec", "-i", "box", "cat"); r.Out != "data" {
		t.Errorf("exec -i cat: %+v", r)
	}
	for want, cmd := range map[int][]string{
		0: {"true"}, 7: {"sh", "-c", "exit 7"}, 126: {"/etc/passwd"}, 127: {"no-such-program"}, 137: {"sh", "-c", "kill -KILL $$"},
	} {
		if r := e.Run(append([]string{"exec", "box"}, cmd...)...); r.Code != want {
			t.Errorf("exec %q: status %d, want %d; stderr %q", cmd, r.Code, want, r.Err)
		}
	}
	e.OK("exec", "-d", "box", "sh", "-c", "echo later >/tmp/g")
	e.Eventually("exec -d has run", func() bool { return e.Run("exec", "box", "cat", "/tmp/g").Out == "later\n" })
	e.Fails(1, "no-such-sandbox", "exec", "no-such-sandbox", "true")

	// The same rights as the sandbox's own program. CVE-2022-29162 and its kin.
	for _, field := range []string{"CapBnd", "CapEff", "CapInh", "CapAmb", "Seccomp", "NoNewPrivs"} {
		line := "^" + field + ":"
		e.Is(e.OK("exec", "box", "grep", line, "/proc/1/status"), "exec", "box", "grep", line, "/proc/self/status")
	}
}

func TestTop(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "box", "host", "sleep", "12345")
	if out := e.OK("top", "box"); !strings.Contains(out, "sleep 12345") || !strings.Contains(out, "PID") || strings.Count(out, "\n") != 1 {
		t.Errorf("top:\n%s", out)
	}
	if out := e.OK("top", "box", "-o", "pid,comm"); !strings.Contains(out, "sleep") {
		t.Errorf("top -o pid,comm:\n%s", out)
	}
}
