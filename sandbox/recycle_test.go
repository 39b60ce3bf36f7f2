package sandbox

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// used makes what a sandbox leaves whose program has written nothing.
func used(t *testing.T, s *Supervisor, id string) string {
	t.Helper()
	dir, err := s.makeDirs(id)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/config.json", "{}")
	put(t, dir+"/state.json", "{}")
	if err := os.MkdirAll(filepath.Join(dir, "work", "work", "incompat", "volatile", "dirty"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestRecycle(t *testing.T) {
	s, _ := supervisor(t)
	before := inode(t, used(t, s, id("a"))+"/upper")
	next := filepath.Join(s.Dirs.Sandboxes(), id("b"))
	if !s.recycle(id("a"), id("b")) {
		t.Fatalf("refused:\n%s", list(t, s.Dirs.Sandboxes()))
	}
	if inode(t, next+"/upper") != before || exists(filepath.Join(s.Dirs.Sandboxes(), id("a"))) {
		t.Errorf("not renamed:\n%s", list(t, s.Dirs.Sandboxes()))
	}
	if exists(next+"/config.json") || exists(next+"/state.json") || exists(filepath.Join(next, "work", "work", "incompat")) {
		t.Errorf("left from the last one:\n%s", list(t, next))
	}
}

// Whatever a program can do to its root directory keeps the next one from getting it.
func TestRecycleNothingUsed(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"a file":            func(dir string) error { return os.WriteFile(dir+"/upper/x", nil, 0o600) },
		"a log":             func(dir string) error { return os.WriteFile(dir+"/log", nil, 0o600) },
		"work left":         func(dir string) error { return os.WriteFile(filepath.Join(dir, "work", "work", "#1"), nil, 0o600) },
		"beside work":       func(dir string) error { return os.Mkdir(filepath.Join(dir, "work", "index"), 0o700) },
		"mode":              func(dir string) error { return os.Chmod(dir+"/upper", 0o777) },
		"sticky":            func(dir string) error { return os.Chmod(dir+"/upper", 0o755|os.ModeSticky) },
		"xattr":             func(dir string) error { return unix.Setxattr(dir+"/upper", "user.x", []byte("1"), 0) },
		"not a box":         func(dir string) error { return os.Remove(dir + "/config.json") },
		"mode of a file":    func(dir string) error { return os.Chmod(dir+"/hosts", 0o666) },
		"xattr of a file":   func(dir string) error { return unix.Setxattr(dir+"/hosts", "user.x", []byte("1"), 0) },
		"size of a file":    func(dir string) error { return os.WriteFile(dir+"/hosts", make([]byte, 5000), 0o600) },
		"a file is missing": func(dir string) error { return os.Remove(dir + "/hostname") },
		"a file is a link":  func(dir string) error { return swap(dir+"/hosts", dir+"/link") },
		"upper is one":      func(dir string) error { return swap(dir+"/upper", dir+"/link") },
	} {
		s, _ := supervisor(t)
		dir := used(t, s, id("a"))
		if err := spoil(dir); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.recycle(id("a"), id("b")) {
			t.Errorf("%s: recycled:\n%s", name, list(t, s.Dirs.Sandboxes()))
		}
	}
	s, _ := supervisor(t)
	if s.recycle("", id("b")) || s.recycle("..", id("b")) {
		t.Error("what is no id was recycled")
	}
}

// swap puts a symbolic link to an empty directory where a directory was.
func swap(dir, aside string) error {
	if err := os.Rename(dir, aside); err != nil {
		return err
	}
	return os.Symlink(aside, dir)
}
