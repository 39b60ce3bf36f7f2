package view

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"sbx/api"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// images are one of each kind, in no order.
func images() []Image {
	return []Image{
		{ID: id("d0"), Created: ago(400 * 24 * time.Hour), Size: 17}, // dangling
		{
			ID: id("feedc0ffee"), Created: ago(3 * time.Hour), Size: 128_400_000, Labels: map[string]string{"tier": "front"},
			Names:   []string{"docker.io/library/debian:13", "docker.io/library/debian:latest", "localhost/tool:1", "registry.example.com:5000/team/x:y"},
			Digests: []string{"docker.io/library/debian@" + digestA, "docker.io/library/debian@" + digestB, "localhost/tool@" + digestA},
		},
		{ID: id("0a"), Created: ago(48 * time.Hour), Size: 999, Names: []string{"docker.io/ann/app:v1"}},
		{ID: id("0b"), Size: 0, Digests: []string{"quay.io/q/d@" + digestA}}, // by digest only, of no known date
	}
}

func findImage(name string) (Image, error) {
	for _, img := range images() {
		if strings.HasPrefix(img.ID, name) {
			return img, nil
		}
	}
	return Image{}, errors.New("no image " + name)
}

func TestImagesGolden(t *testing.T) {
	for name, req := range map[string]api.ListImages{
		"images.golden":          {},
		"images-digests.golden":  {Digests: true},
		"images-no-trunc.golden": {NoTrunc: true},
		"images-quiet.golden":    {Quiet: true},
		"images-json.golden":     {Format: "json"},
		"images-raw.golden":      {Format: "raw"},
		"images-table.golden":    {Format: `table {{.ID}}\t{{upper .Repository}}\t{{.Digest}}\t{{.VirtualSize}}\t{{.SharedSize}}`},
		"images-line.golden":     {Format: `{{.Repository}}:{{.Tag}} {{.CreatedAt}} {{.Containers}} {{.UniqueSize}}`},
		"images-none.golden":     {Name: "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := Images(images(), req, findImage, now())
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, text)
		})
	}
}

func TestImageFilters(t *testing.T) {
	const all = "debian:13 debian:latest localhost/tool:1 registry.example.com:5000/team/x:y"
	for filters, want := range map[string]string{
		"dangling=true":                              "<none>:<none>",
		"dangling=0":                                 all + " ann/app:v1 quay.io/q/d:<none>",
		"label=tier":                                 all,
		"label=tier=front":                           all,
		"label=tier=back":                            "",
		"label=tier|label=other":                     "",
		"before=feed":                                "ann/app:v1 <none>:<none> quay.io/q/d:<none>",
		"since=d0|before=feed":                       "ann/app:v1",
		"since=0a":                                   all,
		"until=24h":                                  "ann/app:v1 <none>:<none> quay.io/q/d:<none>",
		"until=2026-03-13":                           "ann/app:v1 <none>:<none> quay.io/q/d:<none>",
		"reference=debian":                           "debian:13 debian:latest",
		"reference=deb*":                             "debian:13 debian:latest",
		"reference=debian:1*":                        "debian:13",
		"reference=docker.io/library/debian":         "debian:13 debian:latest",
		"reference=docker.io/debian:13":              "debian:13",
		"reference=debian@" + digestA:                "debian:<none>",
		"reference=tool":                             "localhost/tool:1",
		"reference=tool:1":                           "localhost/tool:1",
		"reference=docker.io/tool":                   "",
		"reference=localhost/tool":                   "localhost/tool:1",
		"reference=*/*":                              "localhost/tool:1 ann/app:v1",
		"reference=ann/*:v1|reference=tool":          "localhost/tool:1 ann/app:v1",
		"reference=registry.example.com:5000/team/x": "registry.example.com:5000/team/x:y",
	} {
		req := api.ListImages{Filters: strings.Split(filters, "|"), Format: "{{.Repository}}:{{.Tag}}"}
		text, err := Images(images(), req, findImage, now())
		if got := strings.Join(strings.Fields(text), " "); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", filters, got, err, want)
		}
	}
	text, err := Images(images(), api.ListImages{Name: "debian:13", Format: "{{.Tag}}"}, findImage, now())
	if text != "13\n" || err != nil {
		t.Errorf("debian:13: %q, %v", text, err)
	}
}

func TestImageFilterErrors(t *testing.T) {
	for filter, want := range map[string]string{
		"dangling": "expected name=value", "dangling=perhaps": "true or false", "colour=red": "filters are before",
		"before=nix": "no image nix", "until=yesterday": "neither a time", "reference=[": "broken", "until=": "neither a time",
		"colour=\x1b[2J": `colour=\x1b[2J`,
	} {
		_, err := Images(images(), api.ListImages{Filters: []string{filter}}, findImage, now())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", filter, err, want)
		}
	}
	for _, format := range []string{"{{.Foo}}", "table {{.Foo}}", "{{", "{{.img}}"} {
		if _, err := Images(images(), api.ListImages{Format: format}, findImage, now()); err == nil {
			t.Errorf("%s: no error", format)
		}
	}
	if _, err := Images(nil, api.ListImages{Format: "table {{.Foo}}"}, findImage, now()); err == nil {
		t.Error("table {{.Foo}} without images: no error")
	}
}

func TestParseUntil(t *testing.T) {
	for value, want := range map[string]time.Time{
		"10m":                       now().Add(-10 * time.Minute),
		"1h30m":                     now().Add(-90 * time.Minute),
		"2026-03-14":                time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC),
		"2026-03-14T15:09":          time.Date(2026, 3, 14, 15, 9, 0, 0, time.UTC),
		"2026-03-14T15:09:26":       time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC),
		"2026-03-14T15:09:26+02:00": time.Date(2026, 3, 14, 13, 9, 26, 0, time.UTC),
		"2026-03-14Z":               time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC),
		"2026-03-14T15:09:26.5":     time.Date(2026, 3, 14, 15, 9, 26, 5e8, time.UTC),
		"1000000000":                time.Unix(1000000000, 0),
		"1000000000.25":             time.Unix(1000000000, 25e7),
	} {
		if got, err := ParseUntil(value, now()); !got.Equal(want) || err != nil {
			t.Errorf("%s: %v, %v; want %v", value, got, err, want)
		}
	}
	for _, value := range []string{"", "x", "2026-13-01", "1.x", "99999999999999999999", "1h\x1b"} {
		if got, err := ParseUntil(value, now()); err == nil {
			t.Errorf("%q: %v", value, got)
		}
	}
}

// What an image's maker chooses reaches a terminal harmless, and JSON whole.
func TestImagesHostile(t *testing.T) {
	for bad, want := range hostile() {
		steps := []HistoryStep{{ID: id("d0"), CreatedBy: bad, Comment: bad}}
		text, err := History(steps, api.History{Human: true, NoTrunc: true}, now())
		want = strings.ReplaceAll(want, `\t`, " ")
		if err != nil || !strings.Contains(text, want) || strings.Count(text, "\n") != 2 {
			t.Errorf("%q: %q, %v", bad, text, err)
		}
		text, err = Inspect([]Object{InspectedImage(ImageFacts{Author: bad})}, "{{.Author}}")
		if strings.ContainsAny(text, "\x1b\r\a\u009b\u202e") || err != nil {
			t.Errorf("%q: %q, %v", bad, text, err)
		}
		text, err = History(steps, api.History{Format: "json", NoTrunc: true}, now())
		var got map[string]string
		if json.Unmarshal([]byte(text), &got) != nil || err != nil || strings.ContainsAny(text, "\x1b\r\a\u009b\u202e") {
			t.Errorf("%q: %q, %v", bad, text, err)
		}
	}
}
