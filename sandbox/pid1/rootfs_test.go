package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

func TestOctal(t *testing.T) {
	for mode := range uint32(0o10000) {
		if got, want := octal(mode), fmt.Sprintf("%04o", mode); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

func TestOverlayErrorNamesTheCause(t *testing.T) {
	root := &Root{Dir: "/d", Lower: []string{"a", "b"}}
	for _, c := range []struct {
		size  int
		errno unix.Errno
		hint  string
	}{
		{os.Getpagesize(), unix.EINVAL, "2 layers"}, {100, unix.EINVAL, "SBX_DATA"}, {100, unix.ENOENT, "import it again"},
		{100, unix.EPERM, "Linux 5.11"}, {100, unix.ENOMEM, ""},
	} {
		err := overlayError(root, c.size, c.errno)
		var e *api.Error
		if !errors.As(err, &e) || !errors.Is(err, c.errno) || !strings.Contains(e.Hint, c.hint) || c.hint == "" && e.Hint != "" {
			t.Errorf("%d bytes, %v: %v", c.size, c.errno, err)
		}
	}
}

// mountPoint makes a tmpfs on dir, a mount that others can be made on.
func mountPoint(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func tmpfs(t *testing.T) int {
	t.Helper()
	m, err := sys.NewMount("tmpfs", sys.NOSUID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(m) })
	return m
}

func device(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Dev
}

// CVE-2026-41579: where /proc is a link, a mount would land elsewhere.
func TestAttachDirTakesDirectoriesOnly(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	dir := t.TempDir()
	mountPoint(t, dir)
	b := &box{root: treeAt(t, dir, map[string]string{"link": "-> /real", "real/": "", "file": "", "dangling": "-> gone", "there/": ""})}
	before := device(t, dir+"/real")
	for _, name := range []string{"link", "file", "dangling"} {
		if err := b.attachDir(tmpfs(t), name); err == nil || !strings.Contains(err.Error(), "not a directory") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if device(t, dir+"/real") != before {
		t.Error("the mount has followed the link")
	}
	for _, name := range []string{"there", "made"} {
		if err := b.attachDir(tmpfs(t), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if device(t, dir+"/"+name) == before {
			t.Errorf("nothing is mounted on %s", name)
		}
	}
}

func TestBindAndTmpfsInAHostileRoot(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	top := t.TempDir()
	mountPoint(t, top)
	dir := filepath.Join(top, "root")
	b := &box{root: treeAt(t, dir, map[string]string{"up": "-> ../outside", "etc/resolv.conf": "-> ../run/resolv.conf", "run/": ""})}
	treeAt(t, top+"/outside", map[string]string{"file": "outside"})
	treeAt(t, top+"/source", map[string]string{"file": "source", "sub/": ""})
	before := snapshot(t, top+"/outside", "")
	for _, m := range []api.Mount{
		{Type: "bind", Source: top + "/source", Target: "/up/new", ReadOnly: true},
		{Type: "bind", Source: top + "/source/file", Target: "/etc/resolv.conf"},
		{Type: "tmpfs", Target: "/up/tmp", Options: "size=1m,mode=700,noexec"},
		{Type: "tmpfs", Target: "/ro", Options: "ro"},
		{Type: "tmpfs", Target: "/set", Options: "suid,noatime,sync,relatime"},
	} {
		if err := b.mount(&m); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
	for path, want := range map[string]string{"outside/new/file": "source", "run/resolv.conf": "source"} {
		if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
			t.Errorf("%s says %q, %v", path, got, err)
		}
	}
	var fs unix.Statfs_t
	for path, want := range map[string]int64{
		"outside/new": unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV, "run/resolv.conf": unix.ST_NOSUID | unix.ST_NODEV,
		"outside/tmp": unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC, "ro": unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV, "set": unix.ST_NODEV,
	} {
		const all = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC
		if err := unix.Statfs(filepath.Join(dir, path), &fs); err != nil || fs.Flags&all != want {
			t.Errorf("%s: flags %#x, %v, want %#x", path, fs.Flags&all, err, want)
		}
	}
	if err := os.WriteFile(top+"/root/outside/new/file", nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing through a read-only bind: %v", err)
	}
	if st, err := os.Stat(dir + "/outside/tmp"); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode of the tmpfs: %v, %v", st, err)
	}
	if after := snapshot(t, top+"/outside", ""); !slices.Equal(before, after) {
		t.Errorf("outside was %q and is %q", before, after)
	}
}

// The host's own directories are seen read-only, and the private ones empty.
func TestShowHost(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	top := t.TempDir()
	mountPoint(t, top)
	treeAt(t, top+"/host", map[string]string{
		"home/me/.ssh/id": "secret", "tmp/": "", "etc/passwd": "public", "link": "-> home/me", "run/": "", "srv/": "",
	})
	if err := errors.Join(os.Mkdir(top+"/at", 0o755), os.Chmod(top+"/host/tmp", 0o1777|os.ModeSticky), os.Chmod(top+"/host/home/me", 0o700)); err != nil {
		t.Fatal(err)
	}
	mountPoint(t, top+"/host/srv") // one below must not stay writable
	root := &Root{Host: top + "/host", Private: []string{"/tmp", "/link", "/missing", "/etc/passwd/x", "/home/me/.ssh", "/../../run"}}
	if err := ShowHost(root, top+"/at"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(top + "/at/home/me"); err != nil || len(left) != 0 {
		t.Errorf("the home directory holds %v, %v", left, err)
	}
	for path, writable := range map[string]bool{"etc": false, "": false, "home": false, "srv": false, "tmp": true, "home/me": true, "run": true} {
		err := os.WriteFile(filepath.Join(top, "at", path, "new"), nil, 0o600)
		if writable && err != nil || !writable && !errors.Is(err, unix.EROFS) {
			t.Errorf("writing into %q: %v", path, err)
		}
	}
	for path, mode := range map[string]os.FileMode{"tmp": 0o777 | os.ModeSticky, "home/me": 0o700} {
		if st, err := os.Stat(filepath.Join(top, "at", path)); err != nil || st.Mode()&^os.ModeDir != mode {
			t.Errorf("%s: %v, want %v", path, st.Mode(), mode)
		}
	}
	if text, err := os.ReadFile(top + "/host/home/me/.ssh/id"); err != nil || string(text) != "secret" {
		t.Errorf("the host's own: %q, %v", text, err)
	}
	if left, err := os.ReadDir(top + "/host/tmp"); err != nil || len(left) != 0 {
		t.Errorf("what was written is on the host: %v, %v", left, err)
	}
}
