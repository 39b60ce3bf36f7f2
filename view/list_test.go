package view

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbx/api"
)

func TestListGolden(t *testing.T) {
	for name, req := range map[string]api.List{
		"ps.golden":           {},
		"ps-all.golden":       {All: true},
		"ps-no-trunc.golden":  {All: true, NoTrunc: true},
		"ps-quiet.golden":     {All: true, Quiet: true, Format: "table {{.Names}}"},
		"ps-json.golden":      {All: true, Format: "json"},
		"ps-raw.golden":       {Format: "raw"},
		"ps-template.golden":  {All: true, Format: `table {{.ID}}\t{{upper .Names}}\t{{.Mounts}}\t{{.Networks}}\t{{.Label "com.example.cpu-kind"}}\t{{.State}}`},
		"ps-created.golden":   {All: true, Format: "{{.CreatedAt}} | {{.RunningFor}} | {{.LocalVolumes}}{{.Ports}} {{json .Labels}}"},
		"ps-none.golden":      {Filters: []string{"name=nothing"}},
		"ps-none-json.golden": {Filters: []string{"name=nothing"}, Format: "json"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := List(boxes(), req, now())
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, text)
		})
	}
}

// TestListTable: the default table is the one that Docker's template makes.
func TestListTable(t *testing.T) {
	const format = `table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}`
	for req, format := range map[*api.List]string{
		{All: true}:                              format,
		{All: true, NoTrunc: true}:               format,
		{All: true, Size: true, Format: "table"}: format + `\t{{.Size}}`,
	} {
		got, err := List(boxes(), *req, now())
		if err != nil {
			t.Fatal(err)
		}
		req.Format = format
		want, err := List(boxes(), *req, now())
		if got != want || err != nil {
			t.Errorf("%+v: got\n%s, %v; want\n%s", req, got, err, want)
		}
	}
}

// TestListJSON: every line is an object of its own, with the text as it is.
func TestListJSON(t *testing.T) {
	b := box("ab", "x", time.Hour, api.Status{State: api.Running})
	b.Config.Labels = map[string]string{"k": "<\x1b\u009b\u202e&\n>"}
	text, err := List([]api.Sandbox{b}, api.List{Format: "json"}, now())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if want := "k=<\x1b\u009b\u202e&\n>"; got["Labels"] != want {
		t.Errorf("Labels = %q, want %q", got["Labels"], want)
	}
	if !strings.Contains(text, `<\u001b\u009b\u202e&\n>`) {
		t.Errorf("not escaped, or too much: %s", text)
	}
}

func TestFilters(t *testing.T) {
	// Newest first: fresh, web, killed, lost, fine.
	for filters, want := range map[string]string{
		"name=e":                               "fresh web killed fine",
		"name=^/web$":                          "web",
		"name=^web$":                           "web",
		"name=web|name=lost":                   "web lost",
		"id=3b":                                "fresh web",
		"id=^" + id("3b1f") + "$":              "web",
		"label=tier":                           "web",
		"label=tier=front":                     "web",
		"label=tier=back":                      "",
		"label=tier|label=other":               "",
		"status=exited":                        "killed lost fine",
		"status=created":                       "fresh",
		"status=running|status=dead":           "web",
		"status=paused":                        "",
		"exited=0":                             "fine",
		"exited=137":                           "killed",
		"exited=0|exited=137":                  "killed fine",
		"ancestor=debian:13":                   "web",
		"ancestor=docker.io/library/debian:13": "web",
		"ancestor=debian":                      "",
		"ancestor=feedc0ffee":                  "web",
		"ancestor=sha256:feedc0ffee0":          "web",
		"ancestor=host":                        "fresh killed lost fine",
		"ancestor=f":                           "",
		"before=killed":                        "lost fine",
		"since=killed":                         "fresh web",
		"since=fine|before=web":                "killed lost",
		"before=77aa":                          "lost fine",
		"since=" + id("3b1f"):                  "fresh",
		"network=host":                         "web",
		"network=bridge":                       "fresh killed lost fine",
		"NAME = lost ":                         "lost",
		"name=e|status=exited":                 "killed fine",
	} {
		t.Run(filters, func(t *testing.T) {
			req := api.List{All: true, Format: "{{.Names}}", Filters: strings.Split(filters, "|")}
			text, err := List(boxes(), req, now())
			if got := strings.Join(strings.Fields(text), " "); got != want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
	}
}

// TestWhichStates: what a request without --all shows.
func TestWhichStates(t *testing.T) {
	for _, c := range []struct {
		req  api.List
		want string
	}{
		{api.List{}, "web"},
		{api.List{All: true}, "fresh web killed lost fine"},
		{api.List{Last: 3}, "fresh web killed"},
		{api.List{Last: 1, Filters: []string{"name=l"}}, "killed"},
		{api.List{Last: -1}, "web"},
		{api.List{Last: 99, All: true}, "fresh web killed lost fine"},
		{api.List{Filters: []string{"status=exited"}}, "killed lost fine"},
		{api.List{Filters: []string{"exited=0"}}, ""},
		{api.List{Filters: []string{"name=fine"}}, ""},
	} {
		c.req.Format = "{{.Names}}"
		text, err := List(boxes(), c.req, now())
		if got := strings.Join(strings.Fields(text), " "); got != c.want || err != nil {
			t.Errorf("%+v: got %q, %v; want %q", c.req, got, err, c.want)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for filter, want := range map[string]string{
		"nothing":       "bad format of filter",
		"colour=red":    "no such filter",
		"health=ill":    "a health is one of",
		"status=happy":  "a status is one of created",
		"exited=x":      "a number",
		"name=(":        "missing closing )",
		"before=nobody": "no such sandbox",
		"since=3b":      "more than one sandbox",
		"since=":        "no such sandbox",
	} {
		_, err := List(boxes(), api.List{Filters: []string{filter}}, now())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filter) {
			t.Errorf("--filter %s: %v, want %q in it", filter, err, want)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		s    api.Status
		want string
	}{
		{api.Status{State: api.Created}, "Created"},
		{api.Status{State: api.Created, ExitCode: 127, Error: "no such file"}, "Created"},
		{api.Status{State: api.Running, StartedAt: now()}, "Up Less than a second"},
		{api.Status{State: api.Running, StartedAt: ago(-time.Hour)}, "Up Less than a second"},
		{api.Status{State: api.Running, StartedAt: ago(65 * time.Second)}, "Up About a minute"},
		{api.Status{State: api.Exited, FinishedAt: ago(time.Second)}, "Exited (0) 1 second ago"},
		{api.Status{State: api.Exited, ExitCode: 143, FinishedAt: ago(48 * time.Hour)}, "Exited (143) 2 days ago"},
		{api.Status{State: api.Exited, Unknown: true, FinishedAt: ago(time.Hour)}, "Exited (unknown) About an hour ago"},
		{api.Status{State: api.Exited, Unknown: true}, "Exited (unknown)"},
	} {
		if got := statusText(&api.Sandbox{Status: c.s}, now()); got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
}

func TestCells(t *testing.T) {
	b := box("ab", "x", time.Hour, api.Status{State: api.Running})
	b.Config.ImageID = id("feedc0ffee")
	for _, c := range []struct {
		image, format string
		noTrunc       bool
		want          string
	}{
		{"debian@sha256:" + id("1"), "{{.Image}}", false, "debian"},
		{"debian@sha256:" + id("1"), "{{.Image}}", true, "debian@sha256:" + id("1")},
		{id("feedc0ffee"), "{{.Image}}", false, "feedc0ffee00"},
		{"sha256:" + id("feedc0ffee"), "{{.Image}}", false, "feedc0ffee00"},
		{"feed", "{{.Image}}", false, "feed"},
		{"", "{{.Image}}", false, "<no image>"},
		{"x", "{{.Command}}", false, `"sleep 1234567890123…"`},
		{"x", "{{.Command}}", true, `"sleep 12345678901234567"`},
		{"x", `{{pad .Names 1 2}}|{{title "ab cd"}}|{{truncate .ID 4}}|{{join (split "a,b" ",") "-"}}`, false, " x  |Ab Cd|ab00|a-b"},
		{"x", `{{.Names}}\n\t{{.ID}}`, false, "x\n\tab0000000000"},
	} {
		b.Config.Image = c.image
		b.Config.Process.Cmd = []string{"sleep", "12345678901234567"}
		got, err := List([]api.Sandbox{b}, api.List{Format: c.format, NoTrunc: c.noTrunc}, now())
		if got != c.want+"\n" || err != nil {
			t.Errorf("image %q, %s: %q, %v; want %q", c.image, c.format, got, err, c.want)
		}
	}
}

// TestEllipsis counts characters, and leaves bytes that are none alone.
func TestEllipsis(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", "äöü": "äöü", "abcd": "ab…", "äöüß": "äö…", "\xff\xff\xff\xff": "\xff\xff…"} {
		if got := ellipsis(in, 3); got != want {
			t.Errorf("ellipsis(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestListSize(t *testing.T) {
	dir := t.TempDir()
	for path, size := range map[string]int{"upper/a": 1000, "upper/d/b": 500, "work/c": 9999} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "upper/a"), filepath.Join(dir, "upper/again")); err != nil {
		t.Fatal(err)
	}
	b := box("ab", "x", time.Hour, api.Status{State: api.Running})
	b.Dir = dir
	all := []api.Sandbox{b, box("cd", "gone", time.Hour, api.Status{State: api.Running})}
	for _, c := range []struct {
		req  api.List
		want string
	}{
		{api.List{Format: "{{.Names}} {{.Size}}"}, "x 1.5kB\ngone 0B\n"},
		{api.List{Size: true}, "1.5kB"},
		{api.List{Size: true, Format: "json"}, `"Size":"1.5kB"`},
		{api.List{Format: "json"}, `"Size":"0B"`},
	} {
		text, err := List(all, c.req, now())
		if err != nil || !strings.Contains(text, c.want) {
			t.Errorf("%+v: %q, %v; want %q in it", c.req, text, err, c.want)
		}
	}
	text, err := inspectSize(all, "{{.SizeRw}}")
	if text != "1500\n0\n" || err != nil {
		t.Errorf("SizeRw: %q, %v", text, err)
	}
}

func BenchmarkList100(b *testing.B) {
	var all []api.Sandbox
	for range 20 {
		all = append(all, boxes()...)
	}
	for b.Loop() {
		if _, err := List(all, api.List{All: true}, now()); err != nil {
			b.Fatal(err)
		}
	}
}
