package pid1

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBeyondLinks(t *testing.T) {
	root := tree(t, map[string]string{
		"etc/resolv.conf": "-> ../run/resolv.conf", "run/": "", "var/run": "-> /run", "etc/mtab": "-> /proc/self/mounts", "a/file": "",
		"abs": "-> /x/y", "out": "-> ../../../../x", "out-abs": "-> /../../x", "two": "-> abs", "in-two": "-> var/run/new",
		"ping": "-> pong", "pong": "-> ping", "grow": "-> grow/grow", "root": "-> /", "dots": "-> a/../b/./c/..",
		"double": "-> //x//y",
	})
	for path, want := range map[string]string{
		"etc/resolv.conf": "run/resolv.conf", "var/run/x": "run/x", "etc/mtab": "proc/self/mounts", "abs": "x/y", "abs/z": "x/y/z",
		"out": "x", "out/y": "x/y", "out-abs": "x", "two/z": "x/y/z", "in-two": "run/new", "root/root/x": "x", "dots/d": "b/d",
		"double": "x/y", "plain/new": "plain/new", "a/new": "a/new", "run": "run",
	} {
		if got, err := beyondLinks(root, path); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	for path, want := range map[string]unix.Errno{
		"ping": unix.ELOOP, "pong/x": unix.ELOOP, "grow": unix.ELOOP, "a/file/x": unix.ENOTDIR,
	} {
		if got, err := beyondLinks(root, path); !errors.Is(err, want) {
			t.Errorf("%s: %q, %v, want %v", path, got, err, want)
		}
	}
}

// plant fills dir as a program says: lines of "NAME" for a directory, "NAME!" for
// a file and "NAME>TARGET" for a link. What does not work out is left out.
func plant(dir, program string) {
	for line := range strings.Lines(program) {
		name, to, link := strings.Cut(strings.TrimSuffix(line, "\n"), ">")
		name, file := strings.CutSuffix(name, "!")
		if name == "" || strings.Count(name, "/") > 6 || strings.Contains(name, "..") {
			continue
		}
		path := filepath.Join(dir, name)
		// Only below what is there already: a link must not lead the test astray.
		parent, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil || parent != filepath.Dir(path) {
			continue
		}
		// A hostile program's mistakes are not ours.
		switch {
		case link:
			_ = os.Symlink(to, path)
		case file:
			_ = os.WriteFile(path, nil, 0o644)
		default:
			_ = os.Mkdir(path, 0o755)
		}
	}
}

// snapshot lists everything below dir but for what is below except.
func snapshot(t testing.TB, dir, except string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == except {
			return fs.SkipDir
		}
		info, err := d.Info()
		list = append(list, path+" "+info.Mode().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func FuzzBeyondLinks(f *testing.F) {
	for _, seed := range [][2]string{
		{"l>../../outside\n", "l/x"}, {"l>/../outside\n", "l/x"}, {"a\na/b>../../..\n", "a/b/outside/x"},
		{"l>l\n", "l"}, {"a>b\nb>a\n", "a/x"}, {"a!\n", "a/b"}, {"a>/\n", "a/a/../a/x"}, {"a>.\n", "a/a/a/new"}, {"a>..\n", "a/outside/y"},
		{"a\na/l>../b/../c\nb>d/e\n", "a/l/x"}, {"a>/missing/..\n", "a"}, {"a>/x/" + strings.Repeat("y", 300) + "\n", "a"},
		{"a>/proc/self/root/tmp\n", "a/x"}, {"a>b/c/d\n", "a"}, {"a>x\nx>y\ny>z/w\n", "a/b/c"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, program, path string) {
		path = strings.TrimPrefix(filepath.Clean("/"+path), "/")
		if path == "" || len(path) > 4000 || strings.ContainsRune(program+path, 0) {
			return
		}
		top := t.TempDir()
		dir := filepath.Join(top, "in", "root")
		b := box{root: besideOutside(t, top, dir)}
		plant(dir, program)
		before := snapshot(t, top, dir)
		got, err := beyondLinks(b.root, path)
		switch {
		case err != nil:
			var errno unix.Errno
			if !errors.As(err, &errno) || !slices.Contains([]unix.Errno{unix.ELOOP, unix.ENOTDIR, unix.ENAMETOOLONG}, errno) {
				t.Errorf("%q: %v", path, err)
			}
		case filepath.IsAbs(got) || slices.Contains(strings.Split(got, "/"), "..") || got != "" && got != filepath.Clean(got):
			t.Errorf("%q became %q", path, got)
		}
		for _, isDir := range []bool{true, false} {
			fd, err := b.target(path, isDir)
			if err != nil {
				continue
			}
			at, err := os.Readlink("/proc/self/fd/" + itoa(fd))
			unix.Close(fd)
			if err != nil || at != dir && !strings.HasPrefix(at, dir+"/") {
				t.Errorf("%q leads to %s, %v", path, at, err)
			}
		}
		if after := snapshot(t, top, dir); !slices.Equal(before, after) {
			t.Errorf("%q has changed what is outside:\n%q\n%q", path, before, after)
		}
	})
}

// besideOutside is an empty root with a hostile neighbour.
func besideOutside(t testing.TB, top, dir string) int {
	t.Helper()
	for _, d := range []string{dir, top + "/outside", top + "/in/outside"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return treeAt(t, dir, nil)
}
