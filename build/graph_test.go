package build

import (
	"slices"
	"strings"
	"testing"

	"sbx/api"
	"sbx/image"
)

// planned parses a Dockerfile and works out all stages that are needed. Images have
// the configuration base.
func planned(t *testing.T, text string, r *api.Build, base image.Config) (*graph, error) {
	t.Helper()
	file, err := parse("Dockerfile", []byte(text))
	if err != nil {
		return nil, err
	}
	g, err := newGraph(file, r, platform{os: "linux", arch: "amd64"})
	if err != nil {
		return nil, err
	}
	for _, s := range g.stages {
		if s.base == nil && s.ref != "" && s.ref != scratch {
			s.image = &image.Image{Config: base, History: []image.History{{CreatedBy: "base"}}}
		}
		if list := s.triggers(); len(list) > 0 {
			if err := g.trigger(s, list); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range g.stages {
		if s.foreign || !s.needed {
			continue
		}
		if err := g.planStage(s, r); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func mustPlan(t *testing.T, text string, r *api.Build) *graph {
	t.Helper()
	g, err := planned(t, text, r, image.Config{Env: []string{"PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestOnlyNeededStages(t *testing.T) {
	const text = `FROM a AS one
RUN x
FROM b AS two
RUN y
FROM one AS three
COPY --from=two /f /f
FROM c AS four
RUN --mount=from=one,target=/m z
COPY --from=other/image:1 /g /g
`
	for target, want := range map[string]string{
		"":      "one four other/image:1",
		"three": "one two three",
		"0":     "one",
		"TWO":   "two",
	} {
		g := mustPlan(t, text, &api.Build{Target: target})
		var names []string
		for _, s := range g.stages {
			if s.needed {
				names = append(names, s.name)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("target %q needs %q, want %q", target, got, want)
		}
	}
}

func TestGraphErrors(t *testing.T) {
	for _, c := range []struct{ name, text, target, want string }{
		{"later stage", "FROM a AS x\nCOPY --from=y /a /b\nFROM b AS y\n", "", "defined before"},
		{"itself", "FROM a AS x\nCOPY --from=x /a /b\n", "", "circular"},
		{"number too large", "FROM a\nCOPY --from=7 /a /b\n", "", "invalid stage index 7"},
		{"variable in from", "ARG X=1\nFROM a\nCOPY --from=$X /a /b\n", "", "not supported for --from"},
		{"no such target", "FROM a AS build\n", "buil", "did you mean build?"},
		{"blank base", "ARG X\nFROM $X\n", "", "should not be blank"},
		{"bad platform", "FROM --platform=a//b x\n", "", "not of the form"},
	} {
		_, err := planned(t, c.text, &api.Build{Target: c.target}, image.Config{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestArgScopes(t *testing.T) {
	const text = `ARG BASE=base
ARG TAG=${BASE}-1
FROM ${TAG} AS one
ARG TAG
ARG OWN=$TAG-own
ENV E=$OWN
RUN echo
FROM one
ARG TARGETARCH
ENV F=$OWN.$TAG.$TARGETARCH.$BASE
RUN echo
`
	for _, c := range []struct {
		given            map[string]string
		ref, first, last string
	}{
		{nil, "base-1", "base-1-own", "base-1-own.base-1.amd64."},
		{map[string]string{"BASE": "x"}, "x-1", "x-1-own", "x-1-own.x-1.amd64."},
		{map[string]string{"TAG": "t"}, "t", "t-own", "t-own.t.amd64."},
		{map[string]string{"OWN": "o"}, "base-1", "o", "o.base-1.amd64."},
	} {
		g := mustPlan(t, text, &api.Build{Args: c.given})
		first, last := g.stages[0], g.stages[1]
		if e, _ := first.plan.env.Get("E"); first.ref != c.ref || e != c.first {
			t.Errorf("%v: FROM %s, E=%s, want %s, %s", c.given, first.ref, e, c.ref, c.first)
		}
		if f, _ := last.plan.env.Get("F"); f != c.last {
			t.Errorf("%v: F=%s, want %s", c.given, f, c.last)
		}
	}
}

// An argument is in the environment of RUN, and not in that of the image.
func TestArgsAreNotInImage(t *testing.T) {
	g := mustPlan(t, "FROM a\nARG X=1\nENV Y=2\nRUN echo\n", &api.Build{})
	s := g.goal
	if want := []string{"PATH=/bin", "Y=2"}; !slices.Equal(s.plan.config.Env, want) {
		t.Errorf("image has %v, want %v", s.plan.config.Env, want)
	}
	if want := []string{"PATH=/bin", "X=1", "Y=2"}; !slices.Equal(s.plan.steps[0].run.env, want) {
		t.Errorf("RUN has %v, want %v", s.plan.steps[0].run.env, want)
	}
	if last := s.plan.history[len(s.plan.history)-1]; last.CreatedBy != "RUN |1 X=1 /bin/sh -c echo # buildkit" {
		t.Errorf("history: %q", last.CreatedBy)
	}
}

func TestSettings(t *testing.T) {
	g, err := planned(t, `FROM a
ENTRYPOINT ["/e"]
CMD one
SHELL ["/bin/x", "-y"]
CMD two $HOME
WORKDIR rel
WORKDIR ../up
USER u:g
VOLUME ["/v", "/w"]
EXPOSE 80 90-91/udp
STOPSIGNAL TERM
LABEL a=b "c d"='e f'
ONBUILD RUN later
`, &api.Build{}, image.Config{Cmd: []string{"old"}, WorkDir: "/base", OnBuild: []string{"ENV TRIGGERED=yes"}})
	if err != nil {
		t.Fatal(err)
	}
	c := g.goal.plan.config
	for _, check := range []struct{ what, got, want string }{
		{"entrypoint", strings.Join(c.Entrypoint, " "), "/e"},
		{"cmd", strings.Join(c.Cmd, " "), "/bin/x -y two $HOME"},
		{"workdir", c.WorkDir, "/base/up"},
		{"user", c.User, "u:g"},
		{"signal", c.StopSignal, "TERM"},
		{"onbuild", strings.Join(c.OnBuild, ";"), "RUN later"},
		{"label", c.Labels["c d"], "e f"},
		{"trigger", strings.Join(c.Env, ";"), "PATH=" + defaultPath + ";TRIGGERED=yes"},
	} {
		if check.got != check.want {
			t.Errorf("%s: %q, want %q", check.what, check.got, check.want)
		}
	}
	for _, port := range []string{"80/tcp", "90/udp", "91/udp"} {
		if _, ok := c.ExposedPorts[port]; !ok {
			t.Errorf("port %s is missing in %v", port, c.ExposedPorts)
		}
	}
}

// The command of the image below was meant for its own entry point.
func TestEntrypointForgetsCommandOfBase(t *testing.T) {
	g, err := planned(t, "FROM a\nENTRYPOINT [\"/e\"]\n", &api.Build{}, image.Config{Cmd: []string{"old"}})
	if err != nil {
		t.Fatal(err)
	}
	if cmd := g.goal.plan.config.Cmd; cmd != nil {
		t.Errorf("the command is %q", cmd)
	}
}

// A stage must not change the one that it begins with.
func TestStagesShareNothing(t *testing.T) {
	g := mustPlan(t, "FROM a AS one\nLABEL x=1\nENV E=1\nFROM one AS two\nLABEL x=2\nENV E=2\nFROM one\nLABEL y=3\nCOPY --from=two /a /b\n", &api.Build{})
	if l := g.stages[0].plan.config.Labels["x"]; l != "1" {
		t.Errorf("one has x=%s", l)
	}
	if e := g.stages[2].plan.config.Env; !slices.Contains(e, "E=1") {
		t.Errorf("the last one has %v", e)
	}
}

func TestSyntaxLine(t *testing.T) {
	for line, ok := range map[string]bool{
		"# syntax=docker/dockerfile:1":             true,
		"# syntax=docker.io/docker/dockerfile":     true,
		"#syntax=docker/dockerfile-upstream:1.9":   true,
		"# syntax=example.com/other/language:3":    false,
		"# syntax=registry:5000/docker/dockerfile": false,
		"# an ordinary comment":                    true,
	} {
		_, err := parse("Dockerfile", []byte(line+"\nFROM a\n"))
		if ok != (err == nil) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
