package tests

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sbx/tests/registry"
)

var writeWanted = flag.String("write-cases", "", "fill in the sections of buildcases that are \"?\", with what `sbx or buildah` does")

// caseResult is what a builder makes of a case.
type caseResult struct {
	Code  int
	Said  string // on both outputs
	Image builtImage
}

// compare says where a result is not what the case wants.
func (c *buildCase) compare(r caseResult, ours bool) (wrong []string) {
	if want, fails := c.want["error"]; fails {
		if r.Code == 0 {
			return []string{"it succeeds"}
		}
		if ours {
			for _, line := range wordsIn(r.Said, want) {
				wrong = append(wrong, "the error does not say "+strconv.Quote(line))
			}
		}
		if len(wrong) > 0 {
			wrong = append(wrong, "it says:\n"+r.Said)
		}
		return wrong
	}
	if r.Code != 0 {
		return []string{fmt.Sprintf("status %d:\n%s", r.Code, r.Said)}
	}
	sections := []string{"output"}
	if ours {
		sections = append(sections, "warning")
	}
	for _, section := range sections {
		for _, line := range wordsIn(r.Said, c.want[section]) {
			wrong = append(wrong, fmt.Sprintf("it does not say %q but:\n%s", line, r.Said))
		}
	}
	for section, got := range r.sections() {
		if section == "history" && !ours {
			continue // buildah makes one layer of all, unless it keeps a cache
		}
		if want, ok := c.want[section]; ok && want != got {
			wrong = append(wrong, fmt.Sprintf("%s:\n%s", section, lineDiff(want, got)))
		}
	}
	return wrong
}

func (r caseResult) sections() map[string]string {
	return map[string]string{"tree": r.Image.Tree, "config": r.Image.Config, "history": r.Image.History}
}

// lineDiff shows what only the one and only the other text has.
func lineDiff(want, got string) string {
	var b strings.Builder
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, line := range wants {
		if !slices.Contains(gots, line) {
			b.WriteString("  missing: " + line + "\n")
		}
	}
	for _, line := range gots {
		if !slices.Contains(wants, line) {
			b.WriteString("  extra:   " + line + "\n")
		}
	}
	if b.Len() == 0 {
		fmt.Fprintf(&b, "  other order or number: %q, want %q\n", got, want)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// caseBase is the image "base" of the cases.
func caseBase(t testing.TB) registry.Packed {
	t.Helper()
	return pack(t, registry.Image{Layers: []registry.Layer{bottom(t, "gzip")}, Config: map[string]any{
		"Cmd": []string{"sh"}, "Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}})
}

// caseBases writes the layout of the images that cases begin with.
func caseBases(t testing.TB, dir string) *imageBase {
	t.Helper()
	p := caseBase(t)
	if err := registry.Layout(dir, map[string]registry.Packed{"localhost/base:latest": p}); err != nil {
		t.Fatal(err)
	}
	return must[*imageBase](t)(readBase(p))
}

// caseServer serves what cases ADD from the network.
func caseServer(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/missing"):
			http.NotFound(w, r)
		case r.URL.Path == "/named":
			w.Header().Set("Content-Disposition", `attachment; filename="from-header"`)
			fmt.Fprint(w, "named\n")
		default:
			w.Header().Set("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
			fmt.Fprintf(w, "served %s\n", r.URL.Path)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestBuildCases builds every case with sbx.
func TestBuildCases(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	layout := filepath.Join(t.TempDir(), "base")
	base := caseBases(t, layout)
	e.OK("load", "-q", "-i", layout)
	server := caseServer(t)
	all := buildCases(t)
	if *writeWanted != "sbx" && len(all) < 150 {
		t.Errorf("%d cases, want at least 150", len(all))
	}
	e.eachCase(t, all, *writeWanted == "sbx", func(_ *testing.T, c *buildCase, top string) (caseResult, error) {
		return e.buildCase(c, base, top, server)
	}, func(t *testing.T, c *buildCase, r caseResult) {
		for _, wrong := range c.compare(r, true) {
			t.Error(wrong)
		}
	})
}

// eachCase does all cases, two at a time, and fills in what is still wanted.
func (e *Env) eachCase(t *testing.T, all []*buildCase, write bool, build func(t *testing.T, c *buildCase, top string) (caseResult, error),
	check func(t *testing.T, c *buildCase, r caseResult)) {
	var mu sync.Mutex
	found := map[*buildCase]map[string]string{}
	slots := make(chan struct{}, 2)
	t.Run("cases", func(t *testing.T) {
		for _, c := range all {
			t.Run(c.group+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				for _, feature := range c.values("needs") {
					Need(t, feature)
				}
				r, err := build(t, c, filepath.Join(e.Home, c.group, c.name))
				if err != nil {
					t.Fatal(err)
				}
				if !write {
					check(t, c, r)
				} else if r.Code == 0 {
					mu.Lock()
					found[c] = r.sections()
					mu.Unlock()
				} else if _, fails := c.want["error"]; !fails {
					t.Errorf("status %d: %s", r.Code, r.Said)
				}
			})
		}
	})
	if write {
		if err := writeCases(found); err != nil {
			t.Fatal(err)
		}
	}
}

func (e *Env) buildCase(c *buildCase, base *imageBase, top, server string) (r caseResult, err error) {
	cmd, err := c.prepare(top, server)
	if err != nil {
		return r, err
	}
	image := c.group + "-" + c.name
	args := append([]string{"build", "--progress", "plain", "-t", image}, cmd.args...)
	r, err = runCase(e.Command(context.Background(), args...), cmd, cmd.env)
	if err != nil || r.Code != 0 {
		return r, err
	}
	saved := filepath.Join(top, "saved")
	// Docker's format is not compressed: that would take longer than to build.
	if s := e.Run("save", "-q", "--format", "docker-dir", "-o", saved, image); s.Code != 0 {
		return r, fmt.Errorf("save: %s", s.Err)
	}
	blobs, err := plainDir(saved)
	if err != nil {
		return r, err
	}
	r.Image, err = base.describe(blobs, describing{times: slices.Contains(c.values("check"), "mtime")})
	return r, err
}

func runCase(c *exec.Cmd, cmd buildCommand, env []string) (r caseResult, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	bounded := exec.CommandContext(ctx, c.Path, c.Args[1:]...)
	bounded.Env, bounded.Dir, bounded.WaitDelay = append(c.Env, env...), cmd.dir, c.WaitDelay
	if cmd.stdin != nil {
		bounded.Stdin = strings.NewReader(string(cmd.stdin))
	}
	out, err := bounded.CombinedOutput()
	r.Said = string(out)
	if exit, ok := err.(*exec.ExitError); ok && ctx.Err() == nil {
		r.Code, err = exit.ExitCode(), nil
	}
	return r, err
}
