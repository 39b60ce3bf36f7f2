package build

import (
	"bytes"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"

	"sbx/api"
	"sbx/image"
)

// FuzzDockerfile: whatever a Dockerfile holds, it is worked out or refused, and an error
// names lines that it has. The seeds are the cases that are really built elsewhere.
func FuzzDockerfile(f *testing.F) {
	files, err := filepath.Glob("../tests/buildcases/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		cases, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, c := range cases.Files {
			if filepath.Base(c.Name) == "Dockerfile" {
				f.Add(c.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		base := image.Config{Env: []string{"PATH=/bin"}, OnBuild: []string{"COPY . /", "RUN x"}}
		_, err := planned(t, string(text), &api.Build{Args: map[string]string{"A": "$A ${B:-x}"}}, base)
		last := bytes.Count(text, []byte("\n")) + 1
		for _, r := range location(err) {
			if r.Start.Line < 0 || r.Start.Line > last || r.End.Line > last {
				t.Errorf("%v: lines %d to %d of %d", err, r.Start.Line, r.End.Line, last)
			}
		}
	})
}
