package build

import (
	"runtime"
	"strings"
	"testing"
)

func TestParsePlatform(t *testing.T) {
	for text, want := range map[string]string{
		"linux/arm64":      "linux/arm64",
		"LINUX/AArch64/v8": "linux/arm64",
		"amd64":            "linux/amd64",
		"linux":            "linux/" + runtime.GOARCH,
		"arm":              "linux/arm/v7",
		"linux/arm/6":      "linux/arm/v6",
		"armel":            "linux/arm/v6",
		"linux/other":      "linux/other", // an image of files alone can be for any
		"windows/amd64":    "windows/amd64",
	} {
		p, err := parsePlatform(text)
		if err != nil || p.String() != want {
			t.Errorf("%s: %s, %v, want %s", text, p, err, want)
		}
	}
	for text, words := range map[string]string{
		"":                        "not of the form",
		"/":                       "not of the form",
		"linux/arm/v7/x":          "not of the form",
		"linux/a b":               "not of the form",
		"linux/":                  "not of the form",
		"arm46":                   "no processor is known",
		"linux/amd64,linux/arm64": "one platform at a time",
	} {
		if p, err := parsePlatform(text); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %s, %v, want an error with %q", text, p, err, words)
		}
	}
}
