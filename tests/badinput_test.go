package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nothing of a sandbox that could not be made is left: no entry, no directory, no
// process but what waits for the next one.
func (e *Env) nothingMade() {
	e.t.Helper()
	e.Is("", "ps", "-aq")
	e.Eventually("nothing is left of what could not be made", func() bool {
		entries, err := os.ReadDir(filepath.Join(e.Data, "sandboxes"))
		if err != nil {
			e.t.Fatal(err)
		}
		for _, entry := range entries {
			// A slot has no configuration.
			if _, err := os.Stat(filepath.Join(e.Data, "sandboxes", entry.Name(), "config.json")); err == nil {
				return false
			}
		}
		return true
	})
}

func TestBadInputIsExplained(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	file := filepath.Join(e.Home, "file")
	if err := os.WriteFile(file, []byte("A B=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code  int
		words []string // the object, and the cause or the remedy
		args  []string
	}{
		{125, []string{"no-such-image", "sbx import"}, []string{"run", "--pull", "never", "no-such-image", "true"}},
		{125, []string{"no-such-image"}, []string{"run", "-q", "no-such-image", "true"}},
		{125, []string{"Bad Image", "lower"}, []string{"run", "Bad Image", "true"}},
		{125, []string{"image", "empty"}, []string{"run", "", "true"}},
		{125, []string{"a b", "letters"}, []string{"run", "--name", "a b", image, "true"}},
		{125, []string{"../x", "letters"}, []string{"run", "--name", "../x", image, "true"}},
		{125, []string{`"x"`, "2 to 128"}, []string{"run", "--name", "x", image, "true"}},
		{125, []string{`\x1b`, "letters"}, []string{"run", "--name", "a\x1b[31m", image, "true"}},
		{125, []string{"/no/such/dir", "-w"}, []string{"run", "-w", "/no/such/dir", "host", "true"}},
		{125, []string{"relative", "absolute"}, []string{"run", "-w", "relative", image, "true"}},
		{125, []string{"mallory", "/etc/passwd"}, []string{"run", "-u", "mallory", image, "true"}},
		{125, []string{"mallory", "/etc/group"}, []string{"run", "-u", "alice:mallory", image, "true"}},
		{125, []string{"user", "sbx doctor"}, []string{"run", "-u", "4000000000", image, "true"}},
		{125, []string{"user"}, []string{"run", "-u", "-1", image, "true"}},
		{125, []string{"user"}, []string{"run", "-u", "4294967296", image, "true"}},
		{127, []string{"no-such-program", "not found"}, []string{"run", image, "no-such-program"}},
		{127, []string{"empty"}, []string{"run", image, ""}},
		{126, []string{"/etc/passwd", "permission"}, []string{"run", image, "/etc/passwd"}},
		{125, []string{"/no/such/file", "no such file"}, []string{"run", "--env-file", "/no/such/file", image, "true"}},
		{125, []string{"A B", "space"}, []string{"run", "--env-file", file, image, "true"}},
		{125, []string{"=x", "no name"}, []string{"run", "-e", "=x", image, "true"}},
		{125, []string{"bad host!"}, []string{"run", "--hostname", "bad host!", image, "true"}},
		{125, []string{"rel", "absolute"}, []string{"run", "--tmpfs", "rel", image, "true"}},
		{125, []string{"NOSUCH"}, []string{"run", "--stop-signal", "NOSUCH", image, "true"}},
		{125, []string{"sideways"}, []string{"run", "--pull", "sideways", image, "true"}},
		{125, []string{"pull", image}, []string{"run", "-q", "--pull", "always", image, "true"}},
		{125, []string{"ctrl"}, []string{"run", "--detach-keys", "ctrl-ctrl", image, "true"}},
		{125, []string{"no command"}, []string{"run", image}},
		{125, []string{file}, []string{"run", "--cidfile", file, image, "true"}},
		{1, []string{"no-such", "ps -a"}, []string{"exec", "no-such", "true"}},
		{1, []string{"no-such", "ps -a"}, []string{"logs", "no-such"}},
		{1, []string{"no-such", "ps -a"}, []string{"attach", "no-such"}},
		{1, []string{"no-such", "ps -a"}, []string{"top", "no-such"}},
		{1, []string{"no-such", "ps -a"}, []string{"wait", "no-such"}},
		{1, []string{"no-such", "ps -a"}, []string{"stop", "no-such"}},
		{1, []string{"no-such", "ps -a"}, []string{"start", "no-such"}},
		{1, []string{"no-such", "ps -a"}, []string{"restart", "no-such"}},
		{1, []string{"no-such", "ps -a"}, []string{"rename", "no-such", "other"}},
		{1, []string{"no-such", "ps -a"}, []string{"rm", "no-such"}},
		{1, []string{"no-such", "ps -a"}, []string{"kill", "no-such"}},
	} {
		r := e.Run(c.args...)
		if r.Code != c.code || r.Out != "" || strings.Count(r.Err, "\n") != 1 || !strings.HasPrefix(r.Err, "sbx: ") {
			t.Errorf("sbx %q: status %d, want %d; stdout %q, stderr %q", c.args, r.Code, c.code, r.Out, r.Err)
			continue
		}
		for _, word := range c.words {
			if !strings.Contains(r.Err, word) {
				t.Errorf("sbx %q does not say %q: %q", c.args, word, r.Err)
			}
		}
		if c.args[0] == "run" {
			// Docker keeps a sandbox whose program could not be started; so do we.
			if id := e.OK("ps", "-aq"); id != "" {
				e.Is("created", "inspect", "-f", "{{.State.Status}}", id)
				e.OK("rm", id)
			}
			e.nothingMade()
		}
	}
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, c := range []struct {
		code int
		word string
		args []string
	}{
		{125, "--no-such-flag", []string{"run", "--no-such-flag", "host", "true"}},
		{125, "--no-such-flag", []string{"ps", "--no-such-flag"}},
		{125, "at least 1 argument", []string{"run"}},
		{1, "no-such-command", []string{"no-such-command"}},
	} {
		r := e.Run(c.args...)
		if r.Code != c.code || r.Out != "" || !strings.Contains(r.Err, c.word) || !strings.Contains(r.Err, "--help") {
			t.Errorf("sbx %q: %+v", c.args, r)
		}
	}
	if _, err := os.Stat(filepath.Join(e.Instance.Run, "sock")); err == nil {
		t.Error("a supervisor was started for a command that cannot be understood")
	}
}

// What Docker has and sbx does not have yet is said, never ignored.
func TestDockersFlagsAreRefused(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, flags := range [][]string{
		{"--link", "a"},
		{"--device-cgroup-rule", "c 1:3 r"}, {"--device", "vendor.example/class=name"}, {"--gpus", "all"}, {"--log-driver", "journald"}, {"--oom-kill-disable"},
		{"--annotation", "a=b"}, {"--security-opt", "apparmor=x"}, {"--security-opt", "label=disable"}, {"--userns", "host"},
		{"--runtime", "runsc"}, {"--isolation", "hyperv"}, {"--storage-opt", "size=1g"},
		{"--ipc", "container:a"},
	} {
		r := e.Run(append(append([]string{"run", "--rm"}, flags...), "host", "true")...)
		if r.Code != 125 || r.Out != "" || strings.Count(r.Err, "\n") != 1 || !strings.Contains(r.Err, "not supported yet") && !strings.Contains(r.Err, "exists on Windows only") {
			t.Errorf("%q: %+v", flags, r)
		}
	}
	for _, verb := range []string{"checkpoint", "manifest", "swarm"} {
		r := e.Run(verb, "x")
		if r.Code == 0 || r.Out != "" || !strings.Contains(r.Err, verb+" is not supported yet") {
			t.Errorf("sbx %s: %+v", verb, r)
		}
	}
	if _, err := os.Stat(filepath.Join(e.Instance.Run, "sock")); err == nil {
		e.nothingMade()
	}
}
