package pid1

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func TestSearchPath(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		want []string
	}{
		{"sh", []string{"A=1", "PATH=/bin:/usr/bin", "XPATH=/no"}, []string{"/bin/sh", "/usr/bin/sh"}},
		{"sh", []string{"PATH=:/bin:"}, []string{"./sh", "/bin/sh", "./sh"}},
		{"sh", []string{"PATH="}, []string{"./sh"}},
		{"sh", nil, nil},
		{"./sh", []string{"PATH=/bin"}, []string{"./sh"}},
		{"/bin/sh", nil, []string{"/bin/sh"}},
		{"a/b", []string{"PATH=/bin"}, []string{"a/b"}},
	} {
		if got := SearchPath(c.name, c.env); !slices.Equal(got, c.want) {
			t.Errorf("%s with %q: %q, want %q", c.name, c.env, got, c.want)
		}
	}
}

// exitCode is 0 without an error.
func exitCode(err error) int {
	var e *api.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitCode()
	}
	return -1
}

func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a/denied": 0o644, "b/both": 0o644, "c/both": 0o755, "c/only": 0o711, "d/only": 0o755} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/a/only", 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + dir + "/missing:" + dir + "/a:" + dir + "/a/denied:" + dir + "/b:" + dir + "/c:" + dir + "/d"}
	for _, c := range []struct {
		name, path string
		code       int
	}{
		{"only", dir + "/c/only", 0}, // past a directory of the name
		{"both", dir + "/c/both", 0}, // past one that cannot be executed
		{"denied", "", api.ExitNotExecutable},
		{"nothing", "", api.ExitNotFound},
		{"", "", api.ExitNotFound},
		{"./nothing", "./nothing", 0}, // execve has the last word
	} {
		if path, err := findProgram(c.name, env); path != c.path || exitCode(err) != c.code {
			t.Errorf("%s: %q, %v, want %q and status %d", c.name, path, err, c.path, c.code)
		}
	}
	if _, err := findProgram("only", nil); exitCode(err) != api.ExitNotFound {
		t.Errorf("without a PATH: %v", err)
	}
}

// The statuses of docker run.
func TestExecError(t *testing.T) {
	there := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(there, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		errno unix.Errno
		code  int
		hint  bool
	}{
		{"/gone", unix.ENOENT, 127, false},
		{there, unix.ENOENT, 127, true}, // its interpreter is not there
		{there + "/x", unix.ENOTDIR, 127, false},
		{there, unix.EACCES, 126, false},
		{there, unix.ENOEXEC, 126, true},
		{there, unix.E2BIG, 126, false},
		{there, unix.ETXTBSY, 126, false},
	} {
		err := execError(c.name, c.errno)
		var e *api.Error
		if !errors.As(err, &e) || e.ExitCode() != c.code || (e.Hint != "") != c.hint || e.Path != c.name || !errors.Is(err, c.errno) {
			t.Errorf("%s, %v: %v, status %d", c.name, c.errno, err, e.ExitCode())
		}
	}
	if code := exitCode(notFound("x")); code != 127 {
		t.Errorf("not found: %d", code)
	}
}

func TestWithHome(t *testing.T) {
	env := make([]string, 1, 10)
	env[0] = "A=1"
	first, second := withHome(env, "/one"), withHome(env, "/two")
	if !slices.Equal(first, []string{"A=1", "HOME=/one"}) || !slices.Equal(second, []string{"A=1", "HOME=/two"}) {
		t.Errorf("got %q and %q", first, second)
	}
	for _, env := range [][]string{{"HOME=/mine"}, {"HOME=", "A=1"}} {
		if got := withHome(env, "/other"); !slices.Equal(got, env) {
			t.Errorf("%q became %q", env, got)
		}
	}
	if got := withHome([]string{"HOMES=/x", "XHOME=/y"}, "/h"); got[len(got)-1] != "HOME=/h" {
		t.Errorf("got %q", got)
	}
}

func TestExitCode(t *testing.T) {
	for status, want := range map[unix.WaitStatus]int{0: 0, 7 << 8: 7, 255 << 8: 255, 9: 137, 15: 143, 11 | 0x80: 139} {
		if got := ExitCode(status); got != want {
			t.Errorf("wait status %#x is %d, want %d", int(status), got, want)
		}
	}
}

func TestChangeDir(t *testing.T) {
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Chdir(before); err != nil {
			t.Fatal(err)
		}
	}()
	dir := t.TempDir()
	root := treeAt(t, dir, map[string]string{"a/b/": "", "file": "", "link": "-> /a", "out": "-> ../../../..", "gone": "-> /nowhere", "loop": "-> loop"})
	for path, want := range map[string]string{
		"": "", "/": "", "/a": "/a", "/link/b": "/a/b", "/out/a": "/a", "../..": "", "/new/deep": "/new/deep", "/link/made": "/a/made",
	} {
		if err := changeDir(root, path); err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		if got, err := os.Getwd(); err != nil || got != dir+want {
			t.Errorf("%q leads to %s, %v, want %s", path, got, err, dir+want)
		}
	}
	for path, errno := range map[string]unix.Errno{"/file": unix.ENOTDIR, "/file/x": unix.ENOTDIR, "/loop": unix.ELOOP, "/gone": unix.ENOENT} {
		err := changeDir(root, path)
		var e *api.Error
		if !errors.As(err, &e) || e.Errno != errno || e.Path != path || e.Hint == "" {
			t.Errorf("%q: %v, want %v", path, err, errno)
		}
	}
}
