package view

import (
	"errors"
	"strings"
	"testing"

	"sbx/api"
)

func TestInspectGolden(t *testing.T) {
	text, err := inspectBoxes(boxes()[:2], "")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "inspect.golden", text)
}

func TestInspectTemplates(t *testing.T) {
	web := boxes()[1:2]
	for format, want := range map[string]string{
		"{{.Id}}":                 id("3b1f"),
		"{{.ID}}":                 id("3b1f"),
		"{{.Name}}":               "/web",
		"{{.State.Status}}":       "running",
		"{{.State.Pid}}":          "4242",
		"{{.State.Running}}":      "true",
		"{{.Created}}":            "2026-03-14T15:06:16.535897932Z",
		"{{.Config.StopTimeout}}": "3",
		"{{.State.FinishedAt}}":   "0001-01-01T00:00:00Z",
		"{{json .Args}}":          `["-c","exec python3 -m http.server <&- && true"]`,
		"{{json .Mounts}}": `[{"Type":"bind","Source":"/home/ann/project/site","Destination":"/srv","Mode":"","RW":true,"Propagation":"rprivate"},` +
			`{"Type":"bind","Source":"/etc/ssl","Destination":"/ssl","Mode":"ro","RW":false,"Propagation":"rprivate"}]`,
		"{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}":                       "/home/ann/project/site:/srv /etc/ssl:/ssl ",
		"{{range .Config.Env}}{{println .}}{{end}}":                                   "PATH=/usr/bin:/bin\nA=b c\n",
		`{{index .Config.Labels "tier"}}`:                                             "front",
		`{{.Config.Labels.tier}} {{.Config.Labels.none}}`:                             "front <no value>",
		`{{join .Config.Entrypoint " "}}`:                                             "/bin/sh -c",
		`{{upper (lower "Ab")}}{{truncate "grün" 3}}`:                                 "ABgr",
		"{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}}{{end}}": "host=",
		`{{if eq .State.ExitCode 0}}ok{{else}}bad{{end}}`:                             "ok",
		"{{with .HostConfig}}{{.Binds}}{{end}}":                                       "[/home/ann/project/site:/srv /etc/ssl:/ssl:ro]",
		"{{len .HostConfig.Ulimits}} {{.HostConfig.Tmpfs}}":                           "2 map[/cache:ro,size=64m]",
		"\x1b[1m{{.Name}}\x1b[0m":                                                     "\x1b[1m/web\x1b[0m",
		`a\tb`:                                                                        `a\tb`,
		"{{$x := .Name}}{{$x}}":                                                       "/web",
	} {
		got, err := inspectBoxes(web, format)
		if got != want+"\n" || err != nil {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
}

func TestInspectMany(t *testing.T) {
	for format, want := range map[string]string{
		"{{.Name}} {{.State.Status}} {{.State.Pid}} {{.State.Unknown}}": "/killed exited 0 false\n/web running 4242 false\n/lost exited 0 true\n/fresh created 0 false\n/fine exited 0 false\n",
		"{{.Config.Hostname}}": "77aa00000000\nwww\n9c0000000000\n3b2000000000\nc00000000000\n",
		"{{.LogPath}}": "/data/sandboxes/" + id("77aa") + "/log\n/data/sandboxes/" + id("3b1f") + "/log\n/data/sandboxes/" + id("9c") +
			"/log\n/data/sandboxes/" + id("3b20") + "/log\n\n",
	} {
		if got, err := inspectBoxes(boxes(), format); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
	for format, want := range map[string]string{"": "[]\n", "json": "[]\n", "{{.Name}}": ""} {
		if got, err := inspectBoxes(nil, format); got != want || err != nil {
			t.Errorf("none, %q: %q, %v; want %q", format, got, err, want)
		}
	}
	one, err := inspectBoxes(boxes()[:1], "json")
	if err != nil || strings.Count(one, "\n") != 1 || !strings.HasPrefix(one, `[{"Id":"77aa`) {
		t.Errorf("json: %q, %v", one, err)
	}
}

// TestTemplateErrors: one line that names the part at fault, no Go types.
func TestTemplateErrors(t *testing.T) {
	for format, want := range map[string]string{
		"{{.Foo}}":                            `<.Foo>: can't evaluate field Foo`,
		"{{.State.Colour}}":                   `<.State.Colour>: can't evaluate field Colour`,
		"{{.State":                            "line 1: unclosed action",
		"a\n{{nosuch .}}":                     `line 2: function "nosuch" not defined`,
		"{{index .Args 99}}":                  "index out of range",
		`{{pad "x" 99999999 0}}`:              "padding must be 0 to 4096",
		`{{pad "x" -1 0}}`:                    "padding must be",
		`{{truncate "x" -1}}`:                 "negative",
		`{{join .Name ","}}`:                  "not a list",
		"{{range 100000000}}xxxxxxxxx{{end}}": "larger than 8 MiB",
		`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`: "exceeded maximum template depth",
	} {
		text, err := inspectBoxes(boxes()[1:2], format)
		var e *api.Error
		if text != "" || !errors.As(err, &e) || !strings.Contains(e.Error(), want) {
			t.Errorf("%s: %q, %v; want %q", format, text, err, want)
			continue
		}
		if msg := e.Error(); strings.Contains(msg, "\n") || strings.Contains(msg, "view.") {
			t.Errorf("%s: %q", format, msg)
		}
	}
	for _, format := range []string{"{{.Foo}}", "table {{.Foo}}", "{{.box}}", "{{"} {
		if _, err := List(boxes(), api.List{Format: format}, now()); err == nil {
			t.Errorf("ps --format %s: no error", format)
		}
	}
	if _, err := List(nil, api.List{Format: "table {{.Foo}}"}, now()); err == nil {
		t.Error("ps --format 'table {{.Foo}}' without sandboxes: no error")
	}
}
