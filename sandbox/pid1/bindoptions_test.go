package pid1

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// What the options of a bind do to the mount and to the one below it.
func TestBindOptions(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	top := t.TempDir()
	mountPoint(t, top)
	dir := filepath.Join(top, "root")
	b := &box{root: treeAt(t, dir, map[string]string{"etc/passwd": "bob:x:0:0::/:/bin/sh\n"}), user: "bob"}
	treeAt(t, top+"/source", map[string]string{"file": "source", "below/": "", "sub/file": "deep"})
	if err := unix.Mount("tmpfs", top+"/source/below", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(top+"/source/below/seen", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const usual = unix.ST_NOSUID | unix.ST_NODEV
	for _, c := range []struct {
		options     string
		readOnly    bool
		want, below int64
	}{
		{"", false, usual, usual},
		{"", true, usual | unix.ST_RDONLY, usual | unix.ST_RDONLY},
		{"writable", true, usual | unix.ST_RDONLY, usual},
		{"noexec", false, usual | unix.ST_NOEXEC, usual | unix.ST_NOEXEC},
		{"suid", false, unix.ST_NODEV, unix.ST_NODEV},
		{"dev,suid", false, 0, 0},
		{"U", false, usual, usual},
		{"rslave", false, usual, usual},
		{"nonrecursive", false, usual, -1},
	} {
		target := "/mnt-" + strings.ReplaceAll(c.options, ",", "-")
		if c.readOnly {
			target += "-ro"
		}
		if err := b.mount(&api.Mount{Type: "bind", Source: top + "/source", Target: target, ReadOnly: c.readOnly, Options: c.options}); err != nil {
			t.Errorf("%q: %v", c.options, err)
			continue
		}
		const all = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC
		for path, want := range map[string]int64{"": c.want, "/below": c.below} {
			var fs unix.Statfs_t
			err := unix.Statfs(dir+target+path, &fs)
			if want == -1 {
				if _, err := os.Stat(dir + target + path + "/seen"); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%q: what is mounted below is seen: %v", c.options, err)
				}
			} else if err != nil || fs.Flags&all != want {
				t.Errorf("%q, read-only %t, %q: flags %#x, %v, want %#x", c.options, c.readOnly, path, fs.Flags&all, err, want)
			}
		}
	}
	err := b.mount(&api.Mount{Type: "bind", Source: top + "/source", Target: "/x", Options: "shared"})
	if err == nil || !strings.Contains(err.Error(), `unknown option "shared"`) {
		t.Errorf("an unknown option: %v", err)
	}
	b.user = "nobody-here"
	err = b.mount(&api.Mount{Type: "bind", Source: top + "/source", Target: "/x", Options: "U"})
	if err == nil || !strings.Contains(err.Error(), "no such user") {
		t.Errorf("a user that the image does not know: %v", err)
	}
}

// What is mounted on the host later shows with rslave, and else it does not.
func TestBindPropagation(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	top := t.TempDir()
	mountPoint(t, top)
	dir := filepath.Join(top, "root")
	b := &box{root: treeAt(t, dir, nil)}
	treeAt(t, top+"/source", map[string]string{"later/": ""})
	if err := errors.Join(unix.Mount("tmpfs", top+"/source", "tmpfs", 0, ""), unix.Mount("", top+"/source", "", unix.MS_SHARED, ""), os.Mkdir(top+"/source/later", 0o755)); err != nil {
		t.Fatal(err)
	}
	for target, options := range map[string]string{"/slave": "rslave", "/private": ""} {
		if err := b.mount(&api.Mount{Type: "bind", Source: top + "/source", Target: target, Options: options}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(unix.Mount("tmpfs", top+"/source/later", "tmpfs", 0, ""), os.WriteFile(top+"/source/later/file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for target, seen := range map[string]bool{"/slave": true, "/private": false} {
		if _, err := os.Stat(dir + target + "/later/file"); (err == nil) != seen {
			t.Errorf("%s: what was mounted later: %v", target, err)
		}
	}
	// The other way round, nothing shows.
	if err := unix.Mount("tmpfs", dir+"/slave/later", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(top + "/source/later/file"); err != nil {
		t.Errorf("a mount in the sandbox shows on the host: %v", err)
	}
}

// A subpath stays in its source, whatever links there are.
func TestOpenSourceBelow(t *testing.T) {
	top := t.TempDir()
	treeAt(t, top+"/volume", map[string]string{"a/b/file": "inside", "up": "-> ../../outside", "abs": "-> " + top + "/outside", "ab": "-> a/b", "root": "-> /"})
	treeAt(t, top+"/outside", map[string]string{"file": "outside"})
	for subpath, want := range map[string]string{"a/b": "/a/b", "ab": "/a/b", "a/b/file": "/a/b/file", "root": "", "up": "none", "abs": "none", "none": "none", "../outside": "none"} {
		fd, _, err := openSource(&api.Mount{Source: top + "/volume", Subpath: subpath})
		if want == "none" {
			if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "must exist") {
				t.Errorf("%s: %d, %v", subpath, fd, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", subpath, err)
			continue
		}
		at, err := os.Readlink("/proc/self/fd/" + itoa(fd))
		unix.Close(fd)
		if err != nil || at != top+"/volume"+want {
			t.Errorf("%s is %s, %v", subpath, at, err)
		}
	}
}
