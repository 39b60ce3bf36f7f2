package pid1

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// hostile is a root whose links all try to lead to its neighbours.
func hostile(t *testing.T) (top string, b *box) {
	t.Helper()
	top = t.TempDir()
	dir := filepath.Join(top, "root")
	root := treeAt(t, dir, map[string]string{
		"up": "-> ../outside", "abs": "-> " + top + "/outside", "far": "-> ../../../../../../../../.." + top + "/outside", "dangling": "-> ../outside/new",
		"a/up": "-> ../../outside", "chain": "-> a/up", "file": "", "loop": "-> loop", "etc/resolv.conf": "-> ../run/r/resolv.conf", "run/": "",
	})
	if err := errors.Join(os.Mkdir(top+"/outside", 0o755), os.WriteFile(top+"/outside/file", []byte("old"), 0o644),
		unix.Mkfifo(dir+"/fifo", 0o644)); err != nil {
		t.Fatal(err)
	}
	return top, &box{root: root}
}

// CVE-2024-45310: what is made for a mount must be made inside.
func TestTargetIsMadeInside(t *testing.T) {
	top, b := hostile(t)
	before := snapshot(t, top, top+"/root")
	for path, want := range map[string]string{
		"/up/new": "/outside/new", "/abs/x/y": top + "/outside/x/y", "/far": top + "/outside", "/dangling": "/outside/new", "/chain/z": "/outside/z",
		"/../../outside/q": "/outside/q", "/etc/resolv.conf": "/run/r/resolv.conf", "relative/p": "/relative/p", "/new/deep/er": "/new/deep/er",
	} {
		fd, err := b.target(path, path != "/etc/resolv.conf")
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		at, err := os.Readlink("/proc/self/fd/" + itoa(fd))
		unix.Close(fd)
		if err != nil || at != top+"/root"+want {
			t.Errorf("%s is %s, %v, want %s in the root", path, at, err, want)
		}
	}
	for path, word := range map[string]string{
		"/": "root itself", "": "root itself", "/a/..": "root itself", "/file": "not a directory", "/file/x": "not a directory",
		"/loop": "symbolic links", "/loop/x": "symbolic links", "/fifo": "not a directory", "/" + strings.Repeat("n", 256): "name too long",
	} {
		fd, err := b.target(path, true)
		if err == nil || !strings.Contains(err.Error(), word) || fd != -1 {
			t.Errorf("%.20q: %d, %v, want %q", path, fd, err, word)
		}
	}
	if _, err := b.target("/a", false); err == nil || !strings.Contains(err.Error(), "target is a directory") {
		t.Errorf("a file on a directory: %v", err)
	}
	if after := snapshot(t, top, top+"/root"); !slices.Equal(before, after) {
		t.Errorf("outside was\n%q\nand is\n%q", before, after)
	}
}

func TestMakeFileAndMakeDirsStayInside(t *testing.T) {
	top, b := hostile(t)
	before := snapshot(t, top, top+"/root")
	for _, path := range []string{"up/f", "abs/f", "far/f", "chain/f", "dangling", "up/../f", "../f", "loop/f", "file", "fifo"} {
		// Most of them are refused; what counts is where nothing appears.
		_ = makeFile(b.root, path)
		_ = makeDirs(b.root, path+"/d")
		_ = makeDirs(b.root, path)
	}
	if after := snapshot(t, top, top+"/root"); !slices.Equal(before, after) {
		t.Errorf("outside was\n%q\nand is\n%q", before, after)
	}
	if err := makeFile(b.root, "file"); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a file that is there: %v", err)
	}
	if err := makeFile(b.root, "missing/file"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a file in a missing directory: %v", err)
	}
	if err := makeDirs(b.root, "x/y/z"); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(top + "/root/x/y/z"); err != nil || !st.IsDir() {
		t.Errorf("made: %v, %v", st, err)
	}
}

func TestOpenSourceKnowsItsFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mount api.Mount
		isDir bool
		fails string
	}{
		{api.Mount{Source: dir}, true, ""},
		{api.Mount{Source: file}, false, ""},
		{api.Mount{Source: file, Dev: st.Dev, Ino: st.Ino}, false, ""},
		{api.Mount{Source: file, Dev: st.Dev, Ino: st.Ino + 1}, false, "another file"},
		{api.Mount{Source: file, Dev: st.Dev + 1, Ino: st.Ino}, false, "another file"},
		{api.Mount{Source: file + "x"}, false, "must exist"},
	} {
		fd, isDir, err := openSource(&c.mount)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%+v: %v, want %q", c.mount, err, c.fails)
			}
			continue
		}
		if err != nil || isDir != c.isDir {
			t.Errorf("%+v: directory %t, %v", c.mount, isDir, err)
		}
		unix.Close(fd)
	}
}

func TestMountRefusesTheUnknown(t *testing.T) {
	b := &box{root: -1}
	for _, m := range []api.Mount{
		{Type: "volume", Target: "/x"}, {Target: "/x"}, {Type: "tmpfs", Target: "/x", Options: "size=1m,dev"},
		{Type: "tmpfs", Target: "/x", Options: "shared"}, {Type: "tmpfs", Target: "/x", Options: "mpol=bind"},
	} {
		err := b.mount(&m)
		var e *api.Error
		if !errors.As(err, &e) || e.Path != "/x" || !strings.Contains(e.Msg, "unknown") {
			t.Errorf("%+v: %v", m, err)
		}
	}
}
