package build

import (
	"os"
	"path/filepath"
	"testing"
)

// tree makes files; a name with a slash at its end is a directory, one with -> a link.
func makeTree(t *testing.T, dir string, names ...string) *os.File {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		var err error
		switch {
		case name[len(name)-1] == '/':
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.MkdirAll(filepath.Dir(path), 0o755)
			if err == nil {
				err = os.WriteFile(path, nil, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestWalk(t *testing.T) {
	dir := t.TempDir()
	root := makeTree(t, dir, "run/", "a/b/c", "deep/")
	for link, to := range map[string]string{"var": "/run", "rel": "a/b", "up": "../../../a", "loop": "loop", "gone": "/nowhere/x"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, there, missing string }{
		{"/run/secrets/x", "run", "secrets/x"},
		{"/var/secrets", "run", "secrets"},
		{"/rel/c", "a/b/c", ""},
		{"/rel/../d", "", "d"}, // Clean takes it for /d, as the target of a mount is cleaned
		{"/up/b/new", "a/b", "new"},
		{"/gone/y", "", "nowhere/x/y"},
		{"/new", "", "new"},
		{"/", "", ""},
	} {
		there, missing, err := walk(int(root.Fd()), c.name)
		if err != nil || there != c.there || missing != c.missing {
			t.Errorf("%s: %q %q %v, want %q %q", c.name, there, missing, err, c.there, c.missing)
		}
	}
	if _, _, err := walk(int(root.Fd()), "/loop/x"); err == nil {
		t.Error("a loop of links is no error")
	}
}

func TestRemoveStub(t *testing.T) {
	lower := makeTree(t, t.TempDir(), "run/")
	dir := t.TempDir()
	upper := makeTree(t, dir, "run/secrets/s", "used", "d/x", "own/")
	if err := os.WriteFile(filepath.Join(dir, "used"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		made, gone bool
	}{
		{"run/secrets/s", true, true},
		{"run/secrets", true, true},
		{"run", false, true}, // it says nothing that the one below does not say
		{"used", true, false},
		{"d", true, false},    // something is in it
		{"own", false, false}, // nothing is below
		{"nothing", true, true},
	} {
		gone, err := removeStub(int(upper.Fd()), int(lower.Fd()), c.name, c.made)
		if err != nil || gone != c.gone {
			t.Errorf("%s: gone %v, %v; want %v", c.name, gone, err, c.gone)
		}
		if _, err := os.Lstat(filepath.Join(dir, c.name)); os.IsNotExist(err) != c.gone {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
