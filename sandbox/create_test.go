package sandbox

import (
	"slices"
	"strings"
	"testing"

	"sbx/api"
	"sbx/image"
)

func TestMergeEnv(t *testing.T) {
	for _, c := range []struct {
		lists [][]string
		want  []string
	}{
		{nil, nil},
		{[][]string{{"A=1", "B=2"}, {"C=3"}}, []string{"A=1", "B=2", "C=3"}},
		{[][]string{{"A=1", "B=2"}, {"A=3"}}, []string{"A=3", "B=2"}}, // in the place of the first
		{[][]string{{"A=1", "A=2", "A=3"}}, []string{"A=3"}},
		{[][]string{{"A=x=y"}, {"A="}}, []string{"A="}},
		{[][]string{{"PATH=/a"}, {"path=/b", "PATHS=/c"}}, []string{"PATH=/a", "path=/b", "PATHS=/c"}},
	} {
		if got := mergeEnv(c.lists...); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.lists, got, c.want)
		}
	}
	first := []string{"A=1", "B=2"}
	mergeEnv(first, []string{"A=3"})
	if first[0] != "A=1" {
		t.Error("an argument was changed")
	}
}

// What docker run executes, for each combination of ENTRYPOINT, CMD, --entrypoint
// and arguments.
func TestMergeProcessArguments(t *testing.T) {
	for _, c := range []struct {
		entry, cmd string // of the image
		set        bool   // --entrypoint
		own, args  string
		want       string
	}{
		{"", "c d", false, "", "", "c d"},
		{"", "c d", false, "", "x", "x"},
		{"e f", "", false, "", "", "e f"},
		{"e f", "c d", false, "", "", "e f c d"},
		{"e f", "c d", false, "", "x y", "e f x y"},
		{"e f", "c d", true, "o", "", "o"}, // and not: o c d
		{"e f", "c d", true, "o", "x", "o x"},
		{"e f", "c d", true, "", "x", "x"}, // --entrypoint ""
		{"e f", "c d", true, "", "", ""},
		{"", "", false, "", "", ""},
	} {
		config := api.Config{Spec: api.Spec{EntrypointSet: c.set, Process: api.Process{
			Entrypoint: strings.Fields(c.own), Cmd: strings.Fields(c.args),
		}}}
		mergeProcess(&config, image.Config{Entrypoint: strings.Fields(c.entry), Cmd: strings.Fields(c.cmd)})
		if got := strings.Join(config.Process.Args(), " "); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestMergeProcess(t *testing.T) {
	img := image.Config{User: "web", WorkDir: "/srv", Env: []string{"A=image", "PATH=/image", "HOST_SECRET", "=x", ""}}
	config := api.Config{Spec: api.Spec{Hostname: "h"}}
	mergeProcess(&config, img)
	p := config.Process
	if p.User != "web" || p.WorkDir != "/srv" {
		t.Errorf("user %q in %q", p.User, p.WorkDir)
	}
	// An entry without a value would be the host's (CVE-2026-57231).
	if want := []string{"PATH=/image", "HOSTNAME=h", "A=image"}; !slices.Equal(p.Env, want) {
		t.Errorf("environment %q, want %q", p.Env, want)
	}
	config = api.Config{Spec: api.Spec{Hostname: "h", Process: api.Process{
		User: "0:0", WorkDir: "/", TTY: true, Env: []string{"A=own", "TERM=dumb", "HOSTNAME=other"},
	}}}
	mergeProcess(&config, img)
	p = config.Process
	if p.User != "0:0" || p.WorkDir != "/" {
		t.Errorf("the user's own: user %q in %q", p.User, p.WorkDir)
	}
	if want := []string{"PATH=/image", "HOSTNAME=other", "TERM=dumb", "A=own"}; !slices.Equal(p.Env, want) {
		t.Errorf("environment %q, want %q", p.Env, want)
	}
}

func TestCompleteHost(t *testing.T) {
	s := &Supervisor{}
	id := strings.Repeat("ab", 32)
	spec := api.Spec{Image: api.HostImage, Caller: api.Caller{UID: 7, Name: "me", Home: "/home/me", Term: "xterm-color"}}
	c, err := s.complete(spec, id)
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname != "abababababab" || c.Process.WorkDir != "/home/me" || !slices.Equal(c.Process.Args(), []string{"/bin/sh"}) {
		t.Errorf("%+v", c)
	}
	want := []string{"PATH=" + defaultPath, "HOSTNAME=abababababab", "HOME=/home/me", "USER=me", "LOGNAME=me"}
	if !slices.Equal(c.Process.Env, want) {
		t.Errorf("environment %q, want %q", c.Process.Env, want)
	}
	for word, change := range map[string]func(*api.Spec){
		"home directory": func(s *api.Spec) { s.Caller.Home = "relative" },
		"command":        func(s *api.Spec) { s.Process.Cmd = []string{""} },
		"--network":      func(s *api.Spec) { s.Isolation.Network = "macvlan" },
		"signal":         func(s *api.Spec) { s.Lifecycle.StopSignal = "NOSUCH" },
		"max-files":      func(s *api.Spec) { s.Lifecycle.LogOpts = map[string]string{"max-files": "1"} },
	} {
		broken := spec
		change(&broken)
		if _, err := s.complete(broken, id); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("want %q, got %v", word, err)
		}
	}
}

// A slot has an id of its own before anybody asks for a sandbox.
func TestRenameToASlot(t *testing.T) {
	old, id := strings.Repeat("a", 64), strings.Repeat("b", 64)
	short := func(s string) string { return s[:12] }
	c := api.Config{ID: old, Spec: api.Spec{Hostname: short(old), Process: api.Process{Env: []string{"HOSTNAME=" + short(old), "X=" + short(old)}}}}
	rename(&c, id)
	if c.ID != id || c.Hostname != short(id) || !slices.Equal(c.Process.Env, []string{"HOSTNAME=" + short(id), "X=" + short(old)}) {
		t.Errorf("%+v", c)
	}
	c = api.Config{ID: old, Spec: api.Spec{Hostname: "mine", Process: api.Process{Env: []string{"HOSTNAME=mine"}}}}
	rename(&c, id)
	if c.ID != id || c.Hostname != "mine" || c.Process.Env[0] != "HOSTNAME=mine" {
		t.Errorf("%+v", c)
	}
}

func TestExecProgram(t *testing.T) {
	s := &Supervisor{}
	config := api.Config{Spec: api.Spec{
		Image: "debian", Caller: api.Caller{UID: 7, GID: 8, Home: "/home/me"},
		Process: api.Process{Entrypoint: []string{"e"}, Cmd: []string{"c"}, User: "web", WorkDir: "/srv", Env: []string{"A=1", "HOME=/home/me"}, TTY: true, Init: true},
	}}
	p, err := s.execProgram(&config, &api.ExecSpec{Args: []string{"x", "y"}, Env: []string{"A=2"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Args, []string{"x", "y"}) || !slices.Equal(p.Env, []string{"A=2", "HOME=/home/me"}) ||
		p.User != "web" || p.WorkDir != "/srv" || p.TTY || p.Init || len(p.Seccomp) == 0 {
		t.Errorf("%+v", p)
	}
	// In an image HOME is what somebody said it is; on the host it was the caller's.
	for image, want := range map[string][]string{"debian": {"A=1", "HOME=/home/me"}, api.HostImage: {"A=1"}} {
		config.Image = image
		p, err := s.execProgram(&config, &api.ExecSpec{Args: []string{"x"}, User: "1", WorkDir: "/"})
		if err != nil || !slices.Equal(p.Env, want) || p.User != "1" || p.WorkDir != "/" {
			t.Errorf("%s: %+v, %v", image, p, err)
		}
	}
	if config.Process.User != "web" || config.Process.Env[0] != "A=1" || !config.Process.Init {
		t.Errorf("the sandbox was changed: %+v", config.Process)
	}
	config.Isolation.NoNewPrivileges = true
	p, err = s.execProgram(&config, &api.ExecSpec{Args: []string{"x"}, Privileged: true})
	if err != nil || p.NoNewPrivs || len(p.Seccomp) != 0 || p.Caps != 1<<len(api.Capabilities)-1 {
		t.Errorf("privileged: %+v, %v", p, err)
	}
}
