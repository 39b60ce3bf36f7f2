package tests

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var updateRemedies = flag.Bool("update-remedies", false, "write testdata/remedies.golden")

//go:embed testdata/remedies.golden
var remedies string

// finding is a line of sbx doctor --json.
type finding struct{ Name, Level, What, Lost, Fix, Root string }

// doctor gives the findings, by name, that sbx doctor has where sbx is run by run.
func doctor(t *testing.T, run func(args ...string) Result) map[string]finding {
	t.Helper()
	r := run("doctor", "--json")
	var list []finding
	if err := json.Unmarshal([]byte(r.Out), &list); err != nil || r.Err != "" {
		t.Fatalf("%v: %+v", err, r)
	}
	all := map[string]finding{}
	red := false
	for _, f := range list {
		if !slices.Contains([]string{"green", "yellow", "red"}, f.Level) || f.Name == "" || f.What == "" || all[f.Name].Name != "" {
			t.Errorf("%+v", f)
		}
		if f.Level != "green" && f.Lost == "" {
			t.Errorf("nothing is lost by %+v", f)
		}
		red = red || f.Level == "red"
		all[f.Name] = f
	}
	if want := map[bool]int{false: 0, true: 1}[red]; r.Code != want {
		t.Errorf("status %d, want %d: %s", r.Code, want, r.Out)
	}
	return all
}

// On a machine where sandboxes run nothing is red; no supervisor is started for that,
// and nothing is left.
func TestDoctorFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	Need(t, "overlay")
	e := Sbx(t)
	all := doctor(t, func(args ...string) Result { return e.Run(args...) })
	for _, name := range []string{"user namespaces", "subordinate ids", "sandbox namespaces", "overlay", "image store", "seccomp", "other processors", "data directory", "runtime directory"} {
		if all[name].Level != "green" {
			t.Errorf("%s: %+v", name, all[name])
		}
	}
	if program("pasta") == nil && writable("/dev/net/tun") == nil && all["way out"].What != "pasta" {
		t.Errorf("%+v", all["way out"])
	}
	if left := e.Processes(); len(left) != 0 {
		t.Errorf("processes: %v", left)
	}
	if left, err := os.ReadDir(e.Data); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	text := e.Run("doctor")
	for name, f := range all {
		if !strings.Contains(text.Out, name) || f.Level != "green" && !strings.Contains(text.Out, "fix: "+f.Fix) {
			t.Errorf("%s is not in\n%s", name, text.Out)
		}
	}
	// With a supervisor it is the same.
	e.OK("run", "--rm", "host", "true")
	if again := doctor(t, func(args ...string) Result { return e.Run(args...) }); len(again) != len(all) {
		t.Errorf("with a supervisor: %v", again)
	}
	e.Fails(125, "formats are text and json", "doctor", "--format", "yaml")
	e.Fails(1, "--fix prints a script", "doctor", "--fix", "--json")
}

// The script is one, has what takes an administrator, and runs nothing.
func TestDoctorFix(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	j := e.jail("echo 0 >/proc/sys/user/max_user_namespaces")
	r := j.Run(nil, "doctor", "--fix")
	if r.Code != 1 || !strings.HasPrefix(r.Out, "#!/bin/sh\n") || !strings.Contains(r.Out, "\nsysctl -w user.max_user_namespaces=28633\n") {
		t.Errorf("%+v", r)
	}
	c := exec.Command("sh", "-n")
	c.Stdin = strings.NewReader(r.Out)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, r.Out)
	}
}

// broken is an environment that lacks something.
type broken struct {
	setup   string   // by a shell that is root in a jail, with $DATA
	jailed  bool     // even without a setup
	env     []string // of sbx
	before  []string // words before sbx
	args    []string // a command that needs it
	finding string
	level   string
	golden  bool // its words are the same on all machines
}

var breakages = map[string]broken{
	"user namespaces off": {setup: "echo 0 >/proc/sys/user/max_user_namespaces", args: []string{"run", "--rm", "busybox", "true"}, finding: "user namespaces", level: "red", golden: true},
	"no new privileges":   {before: []string{"setpriv", "--no-new-privs"}, args: []string{"run", "--rm", "busybox", "true"}, finding: "user namespaces", level: "red", golden: true},
	"read-only data":      {setup: "mount -t tmpfs -o ro,mode=700 sbx-ro $DATA", args: []string{"ps"}, finding: "data directory", level: "red", golden: true},
	"no data directory":   {env: []string{"SBX_DATA=", "HOME="}, args: []string{"ps"}, finding: "data directory", level: "red", golden: true},
	"long runtime path":   {env: []string{"SBX_RUN=$LONG"}, args: []string{"ps"}, finding: "runtime directory", level: "red", golden: true},
	"no pasta":            {setup: "for p in pasta slirp4netns; do p=$(command -v $p) && mount --bind /dev/null $(readlink -f $p); done; :", args: []string{"run", "--rm", "--network", "pasta", "host", "true"}, finding: "way out", level: "yellow", golden: true},
	"no tun device":       {setup: "mount -t tmpfs sbx-empty /dev/net", args: []string{"run", "--rm", "--network", "pasta", "host", "true"}, finding: "tun device", level: "yellow"},
	"no newuidmap":        {setup: "mount --bind /dev/null $(readlink -f $(command -v newuidmap))", args: []string{"run", "--rm", "small", "true"}, finding: "subordinate ids", level: "yellow", golden: true},
	"no subordinate ids":  {jailed: true, args: []string{"run", "--rm", "small", "true"}, finding: "subordinate ids", level: "yellow"},
	"no cgroup":           {jailed: true, args: []string{"run", "--rm", "-m", "64m", "host", "true"}, finding: "cgroup", level: "yellow"},
}

// What doctor says about something that is missing ends the error, or the note, of the
// command that misses it. The words are in testdata, to be read.
func TestDoctorAndErrorsSayTheSame(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	golden := map[string]string{}
	for name, b := range breakages {
		t.Run(name, func(t *testing.T) {
			e := Sbx(t)
			run := e.broken(t, b)
			f := doctor(t, run)[b.finding]
			if f.Level == "green" && !b.golden {
				t.Skipf("it is there: %+v", f)
			}
			if f.Level != b.level || f.Fix == "" {
				t.Fatalf("%+v", f)
			}
			if b.finding == "subordinate ids" {
				if r := run("import", os.Getenv("SBX_TEST_BUSYBOX"), "small"); r.Code != 0 {
					t.Fatalf("%+v", r)
				}
			}
			r := run(b.args...)
			if lines := strings.Count(r.Err, "\n"); lines != 1 || !strings.Contains(r.Err, f.Fix) {
				t.Errorf("%+v does not say: %s", r, f.Fix)
			}
			if b.golden {
				golden[name] = e.neutral(r.Err) + "    lost: " + f.Lost + "\n"
			}
		})
	}
	names := make([]string, 0, len(golden))
	for name := range golden {
		names = append(names, name)
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "%s\n    %s", name, golden[name])
	}
	const file = "testdata/remedies.golden"
	if *updateRemedies {
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !t.Failed() && !*updateRemedies && text.String() != remedies {
		t.Errorf("the words have changed (-update-remedies writes them):\n%s", text.String())
	}
}

// broken gives a way to run sbx in an environment.
func (e *Env) broken(t *testing.T, b broken) func(args ...string) Result {
	for _, v := range b.env {
		long := e.Data + "/" + strings.Repeat("x", 104-len(e.Data))
		e.Extra = append(e.Extra, strings.NewReplacer("$DATA", e.Data, "$LONG", long).Replace(v))
	}
	if b.setup != "" || b.jailed {
		j := e.jail("DATA=" + e.Data + "; " + b.setup)
		return func(args ...string) Result { return j.Run(nil, args...) }
	}
	return func(args ...string) Result {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		words := append(append(slices.Clone(b.before), e.Instance.Sbx()), args...)
		c := exec.CommandContext(ctx, words[0], words[1:]...)
		c.Env, c.Dir = e.Env(), e.Home
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		return e.result(c.Run(), ctx, c, &out, &errs)
	}
}

// managed is how a package is installed on a distribution; the words are the others.
var managed = regexp.MustCompile(` \(as root: [^)]*\)`)

// filled is what makes a path long.
var filled = regexp.MustCompile(`xxx+`)

// neutral is a text without what differs from one run or machine to the next.
func (e *Env) neutral(text string) string {
	text = filled.ReplaceAllString(strings.ReplaceAll(text, e.Data, "DATA"), "x...")
	text = strings.ReplaceAll(text, filepath.Dir(e.Data), "ROOT")
	text = strings.ReplaceAll(text, "uid "+strconv.Itoa(os.Getuid()), "uid UID")
	return managed.ReplaceAllString(text, "")
}

// On a file system of a program's, which answers to one user, the roots of sandboxes
// are mounted in another way, and only files of one owner can be kept.
func TestDoctorKnowsForeignFileSystems(t *testing.T) {
	t.Parallel()
	Need(t, "bindfs", "fuse")
	e := Sbx(t)
	dirs := [2]string{filepath.Join(e.Root, "source"), filepath.Join(e.Root, "fuse")}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := output("bindfs", "--no-allow-other", dirs[0], dirs[1]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := output("fusermount3", "-u", "-z", dirs[1]); err != nil {
			t.Error(err)
		}
	}()
	e.Extra = append(e.Extra, "SBX_DATA="+dirs[1])
	all := doctor(t, func(args ...string) Result { return e.Run(args...) })
	for name, fix := range map[string]string{"overlay": "SBX_DATA", "image store": "set SBX_DATA to a directory on a local disk"} {
		if f := all[name]; f.Level != "yellow" || !strings.Contains(f.Fix, fix) {
			t.Errorf("%+v", f)
		}
	}
}
