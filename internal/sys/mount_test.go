package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// rootWithLinks is a directory, open, in which "secret" says "inside"; a file of
// this name next to it says "outside".
func rootWithLinks(t *testing.T) int {
	t.Helper()
	top := t.TempDir()
	root := filepath.Join(top, "root")
	for path, text := range map[string]string{"secret": "outside", "root/secret": "inside", "root/a/b/file": "deep"} {
		path = filepath.Join(top, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"absolute": "/secret", "up": "../secret", "far-up": "../../../../../secret", "real": top + "/secret", "loop": "loop",
		"chain": "up", "into": "a/b", "a/b/back": "../../../secret", "magic": "/proc/self/root/secret", "self": "../root/secret",
	} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestOpenInRootStaysInside(t *testing.T) {
	root := rootWithLinks(t)
	for path, want := range map[string]any{
		"secret": "inside", "/secret": "inside", "../secret": "inside", "/../../secret": "inside", "a/../../secret": "inside",
		"absolute": "inside", "up": "inside", "far-up": "inside", "chain": "inside", "a/b/back": "inside", "into/back": "inside",
		"into/file": "deep", "./a//b/./file": "deep", "into/../b/file": "deep",
		"loop": unix.ELOOP, "real": unix.ENOENT, "magic": unix.ENOENT, "self": unix.ENOENT, "missing": unix.ENOENT, "": unix.ENOENT,
		"secret/x": unix.ENOTDIR, "into/../secret": unix.ENOENT, // "..", of where the link leads
	} {
		fd, err := OpenInRoot(root, path, unix.O_RDONLY)
		if errno, ok := want.(unix.Errno); ok {
			var where *os.PathError
			if !errors.Is(err, errno) || !errors.As(err, &where) || where.Path != path || fd != -1 {
				t.Errorf("%q: %d, %v, want %v", path, fd, err, errno)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		f := os.NewFile(uintptr(fd), path)
		text := make([]byte, 10)
		n, err := f.Read(text)
		if got := string(text[:n]); err != nil || got != want {
			t.Errorf("%q says %q, %v, want %q", path, got, err, want)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%q would be inherited: %v", path, err)
		}
		f.Close()
	}
}

// A link of /proc/PID goes wherever its file is, whatever the root.
func TestOpenInRootRefusesMagicLinks(t *testing.T) {
	proc, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(proc)
	for _, path := range []string{"self/root", "self/root/etc", "self/cwd", "self/exe", "self/fd/0", "thread-self/root"} {
		if fd, err := OpenInRoot(proc, path, unix.O_PATH); !errors.Is(err, unix.ELOOP) {
			t.Errorf("%s: %d, %v, want ELOOP", path, fd, err)
		}
	}
	fd, err := OpenInRoot(proc, "self/status", unix.O_RDONLY)
	if err != nil {
		t.Fatalf("an ordinary link: %v", err)
	}
	unix.Close(fd)
}

func TestMountErrorsNameTheirObject(t *testing.T) {
	if _, err := NewMount("no-such-fs", 0); !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EPERM) {
		t.Errorf("a file system that does not exist: %v", err)
	}
	dir := t.TempDir()
	_, err := CloneTree(unix.AT_FDCWD, filepath.Join(dir, "missing"), false)
	var where *os.PathError
	if !errors.As(err, &where) || where.Op != "open_tree" || where.Path != filepath.Join(dir, "missing") {
		t.Errorf("a missing tree: %v", err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := SetAttr(fd, 1<<60, false); !errors.As(err, &where) || where.Op != "mount_setattr" || where.Path != dir {
		t.Errorf("attributes that do not exist: %v", err)
	}
	if err := AttachAt(fd, fd, "x"); !errors.As(err, &where) || where.Op != "move_mount" || where.Path != dir+"/x" {
		t.Errorf("a directory that is no mount: %v", err)
	}
}
