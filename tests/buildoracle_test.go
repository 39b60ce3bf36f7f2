package tests

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"sbx/tests/promised"
)

// newAnswers is how many cases buildah is asked in one run of the tests, unless it is
// promised by SBX_MUST: then all. What it has answered once is remembered, by its
// version and the case, so that later runs go on with the others.
const newAnswers = 40

// comparedWith are the versions that the reasons in the cases were found with: Debian
// 12's and 13's. With these, every reason must still hold.
var comparedWith = []string{"1.28.2", "1.39.3"}

// TestBuildOracle builds the same cases with buildah. What it makes otherwise than
// the case wants is listed in the case, with the reason.
func TestBuildOracle(t *testing.T) {
	t.Parallel()
	Need(t, "buildah", "overlay")
	e := Sbx(t)
	o := e.oracle()
	e.eachCase(t, buildCases(t), *writeWanted == "buildah", o.answer, func(t *testing.T, c *buildCase, r caseResult) {
		wrong, reason := c.compare(r, false), o.differs(c)
		switch {
		case reason == "" && len(wrong) > 0:
			t.Errorf("buildah %s differs, and no reason is given:\n%s", o.version, strings.Join(wrong, "\n"))
		case reason != "" && len(wrong) == 0 && slices.Contains(comparedWith, o.version):
			t.Errorf("buildah %s does the same, in spite of: %s", o.version, reason)
		}
	})
}

// oracle is buildah with a store of its own.
type oracle struct {
	e       *Env
	base    *imageBase
	version string
	command []string
	server  string
	answers string // directory of what it has answered before
	asked   atomic.Int64
	all     bool
}

func (e *Env) oracle() *oracle {
	e.t.Helper()
	dir := e.witnessDir()
	// "buildah version 1.39.3 (image-spec 1.1.0, runtime-spec 1.2.0)"
	version := strings.Fields(e.witness("", "buildah", "--version"))[2]
	layout := filepath.Join(dir, "base") // buildah makes a name of it: no capitals
	cache := must[string](e.t)(os.UserCacheDir())
	o := &oracle{e: e, base: caseBases(e.t, layout), version: version, server: caseServer(e.t),
		command: []string{"buildah", "--root", dir + "/store", "--runroot", dir + "/run", "--storage-driver", "overlay"},
		answers: filepath.Join(cache, "sbx-test", "buildah-"+version),
		all:     promised.Has("buildah")}
	if err := os.MkdirAll(o.answers, 0o755); err != nil {
		e.t.Fatal(err)
	}
	id := e.witness("", append(slices.Clone(o.command), "pull", "-q", "oci:"+layout)...)
	e.witness("", append(slices.Clone(o.command), "tag", id, "localhost/base:latest")...)
	return o
}

// differs is the reason why this version does something else, "" if it should not.
// "differs: <1.39 REASON" is about older ones, with >= it is about newer ones.
func (o *oracle) differs(c *buildCase) string {
	for _, line := range c.values("differs") {
		bound, reason, _ := strings.Cut(line, " ")
		older, newer := strings.HasPrefix(bound, "<"), strings.HasPrefix(bound, ">=")
		switch {
		case !older && !newer:
			return line
		case older == olderThan(o.version, strings.TrimLeft(bound, "<>=")):
			return reason
		}
	}
	return ""
}

// olderThan compares versions of numbers and dots.
func olderThan(a, b string) bool {
	numbers := func(v string) (list []int) {
		for word := range strings.SplitSeq(v, ".") {
			n, err := strconv.Atoi(word)
			if err != nil {
				break // 1.40.0-dev
			}
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(numbers(a), numbers(b)) < 0
}

// answer is what buildah makes of a case, now or before.
func (o *oracle) answer(t *testing.T, c *buildCase, top string) (r caseResult, err error) {
	sum := sha256.New()
	for _, l := range o.base.config.RootFS.DiffIDs {
		fmt.Fprintln(sum, l)
	}
	fmt.Fprint(sum, c.name, "\n", c.text)
	known := filepath.Join(o.answers, fmt.Sprintf("%.16x.json", sum.Sum(nil)))
	if raw, err := os.ReadFile(known); err == nil {
		return r, json.Unmarshal(raw, &r)
	}
	if o.asked.Add(1) > newAnswers && !o.all {
		t.Skip("asked in a later run")
	}
	if r, err = o.build(c, top); err != nil {
		return r, err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	part := filepath.Join(top, "answer")
	if err := os.WriteFile(part, raw, 0o644); err != nil {
		return r, err
	}
	return r, os.Rename(part, known)
}

func (o *oracle) build(c *buildCase, top string) (r caseResult, err error) {
	cmd, err := c.prepare(top, o.server)
	if err != nil {
		return r, err
	}
	image := "localhost/" + c.group + "-" + c.name
	args := append(slices.Clone(o.command), "build", "--isolation", "chroot", "--layers=false", "--format", "docker", "--pull=never",
		"--identity-label=false", "-t", image)
	r, err = o.run(append(args, cmd.args...), cmd)
	if err != nil || r.Code != 0 {
		return r, err
	}
	saved := filepath.Join(top, "saved")
	s, err := o.run(append(slices.Clone(o.command), "push", "-q", "-D", "-f", "v2s2", image, "dir:"+saved), buildCommand{dir: filepath.Join(top, "context")})
	if err != nil || s.Code != 0 {
		return r, fmt.Errorf("push: %w: %s", err, s.Said)
	}
	blobs, err := plainDir(saved)
	if err != nil {
		return r, err
	}
	r.Image, err = o.base.describe(blobs, describing{times: slices.Contains(c.values("check"), "mtime"), tidy: withoutHabits})
	return r, err
}

// overlayMarks are what buildah's store leaves in the layers it makes.
var overlayMarks = regexp.MustCompile(` user\.overlay\.[a-z]*="[^"]*"`)

// withoutHabits takes away what buildah does to every image: its store's marks, the
// places for its mounts in /etc that a RUN leaves, and the name of the host that it
// built on.
func withoutHabits(tree map[string]treeEntry, config map[string]any) {
	for name, e := range tree {
		e.tail = overlayMarks.ReplaceAllString(e.tail, "")
		tree[name] = e
	}
	maps.DeleteFunc(tree, func(name string, e treeEntry) bool {
		return slices.Contains([]string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}, name) && e.tail == ` ""`
	})
	delete(config, "Hostname")
}

// run runs buildah. Its temporary files are of the case alone: it gives those of two
// builds the same names.
func (o *oracle) run(args []string, cmd buildCommand) (caseResult, error) {
	c := exec.Command(args[0], args[1:]...)
	c.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + o.e.Home, "XDG_RUNTIME_DIR=" + o.e.witnesses, "TMPDIR=" + filepath.Dir(cmd.dir), "LANG=C.UTF-8"}
	return runCase(c, cmd, cmd.env)
}
