package image

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestChanges(t *testing.T) {
	set := func(keys ...string) map[string]struct{} {
		m := map[string]struct{}{}
		for _, k := range keys {
			m[k] = struct{}{}
		}
		return m
	}
	for name, c := range map[string]struct {
		changes []string
		want    Config
	}{
		"cmd json":       {[]string{`CMD ["a", "b c"]`}, Config{Cmd: []string{"a", "b c"}}},
		"cmd shell":      {[]string{`cmd echo "$HOME" 'x'`}, Config{Cmd: []string{"/bin/sh", "-c", `echo "$HOME" 'x'`}}},
		"cmd not json":   {[]string{`CMD [ -f x ]`}, Config{Cmd: []string{"/bin/sh", "-c", "[ -f x ]"}}},
		"cmd empty":      {[]string{`CMD ["a"]`, `CMD []`}, Config{Cmd: []string{}}},
		"entrypoint":     {[]string{"ENTRYPOINT  [\"/e\"]"}, Config{Entrypoint: []string{"/e"}}},
		"env pairs":      {[]string{`ENV A=1 B="two words" C=x\ y D='$A'`}, Config{Env: []string{"A=1", "B=two words", "C=x y", "D=$A"}}},
		"env old form":   {[]string{"ENV A  some words"}, Config{Env: []string{"A=some words"}}},
		"env again":      {[]string{"ENV A=1", "ENV B=$A-${A}$", "ENV A="}, Config{Env: []string{"A=", "B=1-1$"}}},
		"env in quotes":  {[]string{"ENV A=1", `ENV B="$A \"q\" \n"`}, Config{Env: []string{"A=1", `B=1 "q" \n`}}},
		"user":           {[]string{"USER nobody:nogroup"}, Config{User: "nobody:nogroup"}},
		"workdir":        {[]string{"WORKDIR /a/../b/", "WORKDIR c"}, Config{WorkDir: "/b/c"}},
		"workdir first":  {[]string{"WORKDIR c"}, Config{WorkDir: "/c"}},
		"workdir escape": {[]string{"WORKDIR ../../x"}, Config{WorkDir: "/x"}},
		"label":          {[]string{`LABEL a=1 "b c"="d=e"`}, Config{Labels: map[string]string{"a": "1", "b c": "d=e"}}},
		"volume json":    {[]string{`VOLUME ["/a", "/b c"]`}, Config{Volumes: set("/a", "/b c")}},
		"volume words":   {[]string{"VOLUME /a /b/"}, Config{Volumes: set("/a", "/b")}},
		"expose":         {[]string{"EXPOSE 80 53/UDP 1-3/tcp"}, Config{ExposedPorts: set("80/tcp", "53/udp", "1/tcp", "2/tcp", "3/tcp")}},
		"podman's form":  {[]string{"CMD=/bin/x", `ENTRYPOINT=["/e"]`, "ENV=A=1"}, Config{Cmd: []string{"/bin/sh", "-c", "/bin/x"}, Entrypoint: []string{"/e"}, Env: []string{"A=1"}}},
		"onbuild":        {[]string{"ONBUILD RUN a  b", "ONBUILD COPY . /"}, Config{OnBuild: []string{"RUN a  b", "COPY . /"}}},
		"no check":       {[]string{"HEALTHCHECK none"}, Config{Healthcheck: json.RawMessage(`{"Test":["NONE"]}`)}},
		"check":          {[]string{`HEALTHCHECK --interval=2s  --retries=3 CMD test -e "a b" | x`}, Config{Healthcheck: json.RawMessage(`{"Test":["CMD-SHELL","test -e \"a b\" | x"],"Interval":2000000000,"Retries":3}`)}},
		"check json":     {[]string{`HEALTHCHECK --timeout=1m --start-period=0s --start-interval=1ms cmd ["a", "b"]`}, Config{Healthcheck: json.RawMessage(`{"Test":["CMD","a","b"],"Timeout":60000000000,"StartInterval":1000000}`)}},
		"stop signal":    {[]string{"STOPSIGNAL SIGRTMIN+3"}, Config{StopSignal: "SIGRTMIN+3"}},
		"stop number":    {[]string{"STOPSIGNAL 9"}, Config{StopSignal: "9"}},
		"stop short":     {[]string{"STOPSIGNAL int"}, Config{StopSignal: "int"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseChanges(c.changes)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%q: %+v, %v; want %+v", c.changes, got, err, c.want)
			}
		})
	}
}

// On a configuration that has something already, and that others share.
func TestChangesOnTop(t *testing.T) {
	base := Config{
		Env: []string{"A=1"}, Entrypoint: []string{"/e"}, Cmd: []string{"c"}, Shell: []string{"/bin/bash", "-c"},
		Labels: map[string]string{"a": "1"}, OnBuild: []string{"RUN x"},
	}
	before, err := json.Marshal(base)
	if err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]func(*Config){
		"ENV A=2 B=$A":     func(c *Config) { c.Env = []string{"A=2", "B=1"} },
		"LABEL a=2 b=3":    func(c *Config) { c.Labels = map[string]string{"a": "2", "b": "3"} },
		"CMD x":            func(c *Config) { c.Cmd = []string{"/bin/bash", "-c", "x"} },
		`ENTRYPOINT ["x"]`: func(c *Config) { c.Entrypoint, c.Cmd = []string{"x"}, nil },
		"ONBUILD RUN y":    func(c *Config) { c.OnBuild = []string{"RUN x", "RUN y"} },
		"VOLUME /v":        func(c *Config) { c.Volumes = map[string]struct{}{"/v": {}} },
	} {
		got, expect := base, base
		want(&expect)
		if err := got.Change([]string{change}); err != nil || !reflect.DeepEqual(got, expect) {
			t.Errorf("%s: %+v, %v", change, got, err)
		}
	}
	if after, err := json.Marshal(base); err != nil || string(after) != string(before) {
		t.Errorf("changed what others share: %s, was %s", after, before)
	}
	c := base
	if err := c.Change([]string{`CMD ["c"]`, `ENTRYPOINT ["e"]`}); err != nil || len(c.Cmd) != 1 {
		t.Errorf("an entry point forgets the command that came with it: %+v, %v", c, err)
	}
}

func TestChangesBad(t *testing.T) {
	for line, want := range map[string]string{
		"RUN true": "RUN", "": "not an instruction", "CMD": "CMD needs", "ENV A": "no value", `ENV "" 0`: "no name", "ENV A=1 B": "B", "ENV =x": "=x",
		"ENV A='x": "not closed", `ENV A="x`: "not closed", `ENV A=x\`: "at the end", "ENV A=${B:-c}": "${NAME}", "ENV A=${": "${",
		"EXPOSE 0": "0", "EXPOSE 70000": "70000", "EXPOSE 9-8": "9-8", "EXPOSE 80/http": "http", "EXPOSE x": "port",
		"STOPSIGNAL SIGFOO": "SIGFOO", "STOPSIGNAL 65": "65", "STOPSIGNAL SIGRTMIN+99": "RTMIN", "STOPSIGNAL 1 2": "one argument",
		"VOLUME data": "absolute", `VOLUME ["data"]`: "absolute", "USER a b": "one argument", "USER ''": "one argument",
		"WORKDIR $NONE": "one argument", "CMD a\nCMD b": "line", "LABEL a": "no value", "FROM x": "FROM",
		"HEALTHCHECK x": "CMD or NONE", "HEALTHCHECK": "needs", "HEALTHCHECK CMD": "a command", "HEALTHCHECK CMD []": "a command",
		"HEALTHCHECK NONE x": "no arguments", "HEALTHCHECK --interval=1us CMD x": "1ms", "HEALTHCHECK --interval CMD x": "1ms",
		"HEALTHCHECK --retries=-1 CMD x": "number", "HEALTHCHECK --retries=1": "CMD or NONE", "HEALTHCHECK --often CMD x": "--often",
		"ONBUILD FROM x": "FROM", "ONBUILD onbuild RUN x": "ONBUILD", "ONBUILD": "needs",
	} {
		_, err := parseChanges([]string{line})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want %q", line, err, want)
		}
	}
}

// What Docker has in its configurations and sbx does not use is kept.
func TestConfigKeepsHealthcheck(t *testing.T) {
	const in = `{"Healthcheck":{"Test":["CMD","x"],"Interval":5000000000,"Unknown":1},"WorkingDir":"/w"}`
	var c Config
	if err := json.Unmarshal([]byte(in), &c); err != nil {
		t.Fatal(err)
	}
	if c.WorkDir != "/w" {
		t.Errorf("working directory %q", c.WorkDir)
	}
	out, err := json.Marshal(c)
	if err != nil || !strings.Contains(string(out), `"Healthcheck":{"Test":["CMD","x"],"Interval":5000000000,"Unknown":1}`) {
		t.Errorf("%s, %v", out, err)
	}
}

func FuzzChanges(f *testing.F) {
	for _, line := range []string{`ENV A="b $C" D='e'`, "EXPOSE 1-3/udp", `CMD ["a"]`, "WORKDIR ${A}", "LABEL a=b\\", "HEALTHCHECK --retries=3 CMD a", "ONBUILD RUN a"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parseChanges([]string{"ENV A=1", line})
		if err != nil {
			return
		}
		if c.WorkDir != "" && (c.WorkDir[0] != '/' || strings.Contains(c.WorkDir, "/../")) {
			t.Errorf("%q: working directory %q", line, c.WorkDir)
		}
		if c.Healthcheck != nil && !json.Valid(c.Healthcheck) {
			t.Errorf("%q: check %s", line, c.Healthcheck)
		}
		for _, kv := range c.Env {
			if i := strings.IndexByte(kv, '='); i <= 0 {
				t.Errorf("%q: variable %q", line, kv)
			}
		}
	})
}

func parseChanges(lines []string) (Config, error) {
	var c Config
	err := c.Change(lines)
	return c, err
}
