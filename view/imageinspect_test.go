package view

import (
	"encoding/json"
	"testing"
	"time"

	"sbx/api"
)

func imageFacts() ImageFacts {
	return ImageFacts{
		Image: images()[1], Author: "Ann <ann@example.com>", Comment: "made by hand", DockerVersion: "19.03",
		Architecture: "arm64", Variant: "v8", OS: "linux", OSVersion: "13",
		Config: ImageConfig{
			User: "www", ExposedPorts: map[string]struct{}{"80/tcp": {}}, Env: []string{"PATH=/bin", "A=<b> & c"},
			Entrypoint: []string{"/init"}, Cmd: []string{"serve"}, Volumes: map[string]struct{}{"/data": {}}, WorkDir: "/srv",
			Labels: map[string]string{"tier": "front"}, StopSignal: "SIGQUIT", Shell: []string{"/bin/bash", "-c"},
			Healthcheck: json.RawMessage(`{"Test":["CMD","true"],"Interval":30000000000}`), OnBuild: []string{"RUN true"},
		},
		DiffIDs:   []string{digestA, digestB, digestA},
		LayerDirs: []string{"/s/overlay/one/diff", "/s/overlay/two/diff", "/s/overlay/three/diff"},
		Tagged:    ago(time.Hour),
	}
}

func TestInspectImageGolden(t *testing.T) {
	text, err := Inspect([]Object{InspectedImage(imageFacts()), InspectedImage(ImageFacts{Image: images()[0]})}, "")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "image-inspect.golden", text)
}

func TestInspectImageTemplates(t *testing.T) {
	for format, want := range map[string]string{
		"{{.Id}}":                                "sha256:" + id("feedc0ffee"),
		"{{.ID}}":                                "sha256:" + id("feedc0ffee"),
		"{{index .RepoTags 0}}":                  "debian:13",
		"{{json .RepoDigests}}":                  `["debian@` + digestA + `","debian@` + digestB + `","localhost/tool@` + digestA + `"]`,
		"{{.Os}}/{{.Architecture}}":              "linux/arm64",
		"{{.Config.Cmd}} {{.Config.WorkingDir}}": "[serve] /srv",
		"{{json .Config.Healthcheck.Test}}":      `["CMD","true"]`,
		"{{len .RootFS.Layers}}":                 "3",
		"{{.GraphDriver.Data.LowerDir}}":         "/s/overlay/two/diff:/s/overlay/one/diff",
		"{{.GraphDriver.Data.UpperDir}}":         "/s/overlay/three/diff",
		"{{.Created}}":                           "2026-03-14T12:09:26.535897932Z",
		"{{.Metadata.LastTagTime}}":              "2026-03-14T14:09:26.535897932Z",
		"{{.Size}}":                              "128400000",
	} {
		got, err := Inspect([]Object{InspectedImage(imageFacts())}, format)
		if got != want+"\n" || err != nil {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
}

// One request may be about both: docker inspect of a container and an image.
func TestInspectMixed(t *testing.T) {
	box, err := Inspected(boxes()[1], false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Inspect([]Object{box, InspectedImage(imageFacts())}, "{{.Id}}")
	if want := id("3b1f") + "\nsha256:" + id("feedc0ffee") + "\n"; text != want || err != nil {
		t.Errorf("%q, %v; want %q", text, err, want)
	}
}

func TestHistoryGolden(t *testing.T) {
	steps := []HistoryStep{
		{ID: id("feedc0ffee"), Created: ago(3 * time.Hour), CreatedBy: "CMD [\"serve\"]", Comment: "buildkit.dockerfile.v0"},
		{Created: ago(4 * time.Hour), CreatedBy: "/bin/sh -c apt-get update &&\tapt-get install -y everything-there-is", Size: 100_500_000},
		{CreatedBy: "", Size: 999},
	}
	for name, req := range map[string]api.History{
		"history.golden":          {Human: true},
		"history-exact.golden":    {},
		"history-no-trunc.golden": {Human: true, NoTrunc: true},
		"history-quiet.golden":    {Human: true, Quiet: true},
		"history-json.golden":     {Human: true, Format: "json"},
		"history-table.golden":    {Format: `table {{.Size}}\t{{.CreatedBy}}`},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := History(steps, req, now())
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, text)
		})
	}
}

func TestDiskUsageGolden(t *testing.T) {
	all, box := images(), boxes()
	facts := DiskFacts{
		Images: []ImageDisk{{Image: all[0], Disk: 4096, Shared: 4096}, {Image: all[1], Disk: 130_000_000, Shared: 4096, Sandboxes: 2}},
		Layers: 130_000_000, Active: 100_000_000,
		Sandboxes: []SandboxDisk{{Sandbox: box[1], Disk: 12_345_678}, {Sandbox: box[0], Disk: 1000}},
	}
	for name, c := range map[string]struct {
		facts DiskFacts
		req   api.DiskUsage
	}{
		"df.golden":              {facts, api.DiskUsage{}},
		"df-empty.golden":        {DiskFacts{}, api.DiskUsage{}},
		"df-json.golden":         {facts, api.DiskUsage{Format: "json"}},
		"df-table.golden":        {facts, api.DiskUsage{Format: `table {{.Type}}\t{{.Reclaimable}}`}},
		"df-verbose.golden":      {facts, api.DiskUsage{Verbose: true}},
		"df-verbose-json.golden": {facts, api.DiskUsage{Verbose: true, Format: "json"}},
		"df-verbose-line.golden": {facts, api.DiskUsage{Verbose: true, Format: `{{range .Images}}{{.ID}} {{.UniqueSize}}\n{{end}}{{len .Volumes}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := DiskUsage(c.facts, c.req, now())
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, text)
		})
	}
	if _, err := DiskUsage(facts, api.DiskUsage{Format: "{{.Foo}}"}, now()); err == nil {
		t.Error("{{.Foo}}: no error")
	}
}

func TestSearchGolden(t *testing.T) {
	found := []Repository{
		{Name: "docker.io/library/debian", Description: "Debian is a Linux distribution that's composed entirely of free software.", Stars: 5000, Official: true},
		{Name: "registry.example.com:5000/team/debian", Description: "two\nlines \x1b[31m", Automated: true},
	}
	for name, req := range map[string]api.Search{
		"search.golden":          {},
		"search-no-trunc.golden": {NoTrunc: true},
		"search-json.golden":     {Format: "json"},
		"search-table.golden":    {Format: `table {{.Name}}\t{{.IsAutomated}}\t{{.StarCount}}`},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := Search(found, req)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, text)
		})
	}
}
