package view

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sbx/api"
)

// hostile are texts that do something to a terminal or to a reader of it.
func hostile() map[string]string {
	return map[string]string{
		"\x1b[31mred\x1b[0m":           `\x1b[31mred\x1b[0m`,
		"\x1b]0;title\a":               `\x1b]0;title\a`,
		"\u009b31mC1 as UTF-8":         `\u009b31mC1 as UTF-8`,
		"\x9b31mC1 as a byte":          `\x9b31mC1 as a byte`,
		"good\rbad":                    `good\rbad`,
		"two\nlines\tand a tab":        `two\nlines\tand a tab`,
		"del\x7f\b":                    `del\x7f\b`,
		"nul\x00":                      `nul\x00`,
		"\u202egnp.exe":                `\u202egnp.exe`,
		"\u2066isolate\u2069":          `\u2066isolate\u2069`,
		"zero\u200bwidth\ufeff":        `zero\u200bwidth\ufeff`,
		"line\u2028separator":          `line\u2028separator`,
		"tag \U000e0041":               `tag \U000e0041`,
		"cut \xe2\x80":                 `cut \xe2\x80`,
		"replacement \ufffd is fine":   "replacement \ufffd is fine",
		"plain grüße 日本 \"q\" \\ back": "plain grüße 日本 \"q\" \\ back",
	}
}

func TestSafe(t *testing.T) {
	for in, want := range hostile() {
		if got := Safe(in); got != want {
			t.Errorf("Safe(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzSafe(f *testing.F) {
	for in := range hostile() {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := Safe(s)
		for _, r := range out {
			if !strconv.IsPrint(r) {
				t.Fatalf("Safe(%q) = %q has %U", s, out, r)
			}
		}
		if !utf8.ValidString(out) {
			t.Fatalf("Safe(%q) = %q is not UTF-8", s, out)
		}
		if again := Safe(out); again != out {
			t.Fatalf("Safe(%q) = %q, once more: %q", s, out, again)
		}
		if len(out) < len(s) {
			t.Fatalf("Safe(%q) = %q lost something", s, out)
		}
		text, err := encode(s, "")
		if err != nil || SafeLines(text) != text || strings.ContainsAny(text, "\n\t") {
			t.Fatalf("JSON of %q: %q, %v", s, text, err)
		}
		var back string
		if err := json.Unmarshal([]byte(text), &back); err != nil || utf8.ValidString(s) && back != s {
			t.Fatalf("JSON of %q reads as %q, %v", s, back, err)
		}
	})
}

// TestThreat28TerminalEscapes: whatever field a text of an image or a user is
// in, and whatever command prints it, it does not reach the terminal as it is.
func TestThreat28TerminalEscapes(t *testing.T) {
	for evil := range hostile() {
		b := box("e0", evil, time.Hour, api.Status{State: api.Running, StartedAt: now(), Error: evil})
		b.Config.Image, b.Config.Hostname, b.Config.ImageID = evil, evil, evil
		b.Config.Labels = map[string]string{evil: evil}
		b.Config.Process = api.Process{Entrypoint: []string{evil}, Cmd: []string{evil}, Env: []string{evil}, WorkDir: evil, User: evil}
		b.Config.Mounts = []api.Mount{{Type: "bind", Source: evil, Target: evil}, {Type: "tmpfs", Target: evil, Options: evil}}
		b.Config.Net = api.Net{Endpoints: []api.Attachment{{Network: evil, Aliases: []string{evil}, IP: evil, MAC: evil}},
			Ports: []api.Port{{Host: evil, Port: 1, Proto: evil}}, Expose: []string{evil}, DNS: []string{evil}, AddHosts: []string{evil}}
		b.Networks = []api.Joined{{Network: evil, NetworkID: evil, Aliases: []string{evil}, MAC: evil}}
		b.Published = []api.Port{{Host: evil, Port: 1, HostPort: 2, Proto: evil}}
		bridged := b
		b.Config.Isolation = api.Isolation{Network: evil, PID: evil, IPC: evil, UTS: evil, Seccomp: evil}
		b.Config.Lifecycle = api.Lifecycle{StopSignal: evil, LogOpts: map[string]string{evil: evil}}
		all := []api.Sandbox{b, bridged}
		for name, text := range everyText(t, all, evil) {
			if SafeLines(text) != text {
				t.Errorf("%s with %q: %q", name, evil, text)
			}
		}
		rows, err := List(all, api.List{NoTrunc: true, Format: "{{.Image}}|{{.Names}}|{{.Labels}}|{{.Mounts}}|{{.Command}}|{{.Networks}}|{{.Ports}}"}, now())
		if err != nil || strings.Count(rows, "\n") != 2 || strings.Contains(rows, "\t") {
			t.Errorf("%q makes lines or columns of its own: %q, %v", evil, rows, err)
		}
		if table, err := List(all, api.List{}, now()); err != nil || strings.Count(table, "\n") != 3 {
			t.Errorf("%q makes lines of its own: %q, %v", evil, table, err)
		}
	}
}

// everyText renders the sandboxes in every way.
func everyText(t *testing.T, all []api.Sandbox, evil string) map[string]string {
	texts := map[string]string{}
	add := func(name, text string, err error) {
		if err != nil {
			text = err.Error()
			if strings.ContainsAny(text, "\n\t") {
				t.Errorf("%s: the error has several lines: %q", name, text)
			}
		}
		texts[name] = text
	}
	for _, format := range []string{"", "json", "raw", `table {{.Labels}}\t{{.Networks}}\t{{.Label "x"}}`, "{{json .}} {{json .Labels}}", "{{.Foo}}" + evil, "{{" + evil} {
		text, err := List(all, api.List{NoTrunc: true, Format: format}, now())
		add("ps "+strconv.Quote(format), text, err)
	}
	for _, format := range []string{"", "json", "{{.}}", "{{json .}}", "{{range .Config.Env}}{{println .}}{{end}}", `{{printf "%s" .Path}}`, `{{with .Name}}{{.}}{{else}}{{end}}`, `{{define "x"}}{{.}}{{end}}{{template "x" .Name}}`, `{{if true}}{{.Path}}{{end}}`, `{{index .HostConfig.Ulimits 7}}` + evil} {
		text, err := inspectBoxes(all, format)
		add("inspect "+strconv.Quote(format), text, err)
	}
	for _, filter := range []string{evil, "name=(" + evil, evil + "=x", "before=" + evil + "x", "status=" + evil, "exited=" + evil} {
		text, err := List(all, api.List{Filters: []string{filter}}, now())
		add("filter "+strconv.Quote(filter), text, err)
	}
	add("top", Top([]string{evil}, [][]string{{evil, evil}}), nil)
	net := Network{ID: evil, Name: evil, Driver: evil, Bridge: evil, Labels: map[string]string{evil: evil}, Options: map[string]string{evil: evil}}
	for _, format := range []string{"", "json", "raw", `table {{.Labels}}\t{{.Name}}\t{{.Label "x"}}`, "{{json .}}"} {
		text, err := Networks([]Network{net}, all, api.NetworkList{NoTrunc: true, Format: format})
		add("network ls "+strconv.Quote(format), text, err)
	}
	for _, format := range []string{"", "json", "{{.}}", "{{.Containers}}"} {
		text, err := Inspect([]Object{InspectedNetwork(net, all)}, format)
		add("network inspect "+strconv.Quote(format), text, err)
	}
	for _, port := range []string{"", "1/" + evil, evil} {
		text, err := Ports(all[len(all)-1], port)
		add("port "+strconv.Quote(port), text, err)
	}
	text, err := Info(InfoFacts{Name: evil, OS: evil, SecurityOptions: []string{evil}, UserNamespace: []string{evil}}, "")
	add("info", text, err)
	text, err = Version(VersionFacts{Client: Component{Version: evil, Os: evil}}, "")
	add("version", text, err)
	return texts
}
