package fuseoverlay

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
	"sbx/tests/promised"
)

func program(t *testing.T) string {
	t.Helper()
	path, err := Find()
	if err != nil {
		promised.OrSkip(t, "fuse", err)
	}
	return path
}

// serve mounts at a directory until the end of the test, and waits for the server's
// end then.
func serve(t *testing.T, l *Layers, at string) *Server {
	t.Helper()
	mount, server, err := Mount(program(t), l)
	if err != nil {
		t.Fatal(err)
	}
	err = sys.AttachAt(mount, unix.AT_FDCWD, at)
	unix.Close(mount)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
		ended(t, server)
	})
	return server
}

// ended wants a server to end by itself.
func ended(t *testing.T, s *Server) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error("the server:", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the server goes on without its mount")
		s.process.Kill()
	}
}

func served(t *testing.T) *layers {
	t.Helper()
	l := directories(t)
	l.marks = FUSE
	top := filepath.Dir(l.upper)
	serve(t, &Layers{Dir: top, Lower: []string{"one", "base"}}, l.lower)
	serve(t, &Layers{Dir: top, Lower: []string{"one", "base"}, Upper: "upper", Work: "work"}, l.merged)
	return l
}

// The time of a directory alone is no change there.
func TestDiffFUSE(t *testing.T) { forEachScript(t, served, "touch d/q; rm d/q") }

// What a program of the sandbox's changes is in the upper directory at once: others
// read it there.
func TestMountWritesThrough(t *testing.T) {
	l := served(t)
	f, err := os.OpenFile(l.merged+"/f", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(l.upper + "/f"); err != nil || string(text) != "x\nmore" {
		t.Errorf("%q, %v", text, err)
	}
}

// Without an upper directory nothing can be changed.
func TestMountReadOnly(t *testing.T) {
	l := served(t)
	if err := os.WriteFile(l.lower+"/new", nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("got %v", err)
	}
}

// The server has nothing open of the caller's but the device, and goes on in a
// session of its own.
func TestMountServerIsAlone(t *testing.T) {
	secret, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	l := directories(t)
	top := filepath.Dir(l.upper)
	s := serve(t, &Layers{Dir: top, Lower: []string{"one"}}, l.lower)
	dir := "/proc/" + strconv.Itoa(s.PID) + "/fd"
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		to, err := os.Readlink(dir + "/" + e.Name())
		if err == nil && to == secret.Name() {
			t.Errorf("descriptor %s is %s", e.Name(), to)
		}
	}
	if sid, err := unix.Getsid(s.PID); err != nil || sid != s.PID {
		t.Errorf("session %d, %v", sid, err)
	}
}

func TestMountFails(t *testing.T) {
	path := program(t)
	_, _, err := Mount(path, &Layers{Dir: t.TempDir(), Lower: []string{"nowhere"}})
	if err == nil || !strings.Contains(err.Error(), "mount fuse-overlayfs: ") || !strings.Contains(err.Error(), "nowhere") || strings.Contains(err.Error(), "lazytime") {
		t.Errorf("no layer: %v", err)
	}
	for name, script := range map[string]string{
		"mount fuse-overlayfs: exit status 3":                       "exit 3",
		"mount fuse-overlayfs: one two":                             "echo one >&2; echo two >&2; exit 1",
		"mount fuse-overlayfs: signal: killed":                      "kill -9 $$",
		"mount fuse-overlayfs: transport endpoint is not connected": "exit 0",
	} {
		bad := filepath.Join(t.TempDir(), Program)
		if err := os.WriteFile(bad, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Mount(bad, &Layers{Dir: t.TempDir()}); err == nil || err.Error() != name {
			t.Errorf("%s: %v", script, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(); err == nil || !strings.Contains(err.Error(), "install the package fuse-overlayfs") {
		t.Errorf("no program: %v", err)
	}
}

// Of a file system that has no access control lists files can be read and copied up
// all the same.
func TestMountWithoutACLs(t *testing.T) {
	program(t)
	l := directories(t)
	top := filepath.Dir(l.upper)
	tmpfs := top + "/ramfs"
	if err := os.Mkdir(tmpfs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("ramfs", tmpfs, "ramfs", 0, ""); err != nil {
		t.Fatal("ramfs: ", err)
	}
	t.Cleanup(func() { unix.Unmount(tmpfs, unix.MNT_DETACH) })
	if err := os.WriteFile(tmpfs+"/file", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	serve(t, &Layers{Dir: top, Lower: []string{"ramfs"}, Upper: "upper", Work: "work"}, l.merged)
	f, err := os.OpenFile(l.merged+"/file", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestTry(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if wrong, err := Try(dir); wrong != nil || err != nil {
			t.Fatalf("%v, %v", wrong, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("left there: %v, %v", list, err)
	}
}

// An overlay cannot be the upper directory of another one: found by trying, and all
// of it works by fuse-overlayfs.
func TestTryOnOverlay(t *testing.T) {
	l := mounted(t)
	wrong, err := Try(l.merged)
	if !errors.Is(wrong, unix.EINVAL) || err != nil {
		t.Fatalf("%v, %v", wrong, err)
	}
	if !strings.Contains(wrong.Error(), "mount overlay "+l.merged+": invalid argument") {
		t.Errorf("%v", wrong)
	}
	top := l.merged + "/top"
	for _, dir := range []string{"/upper", "/work", "/lower/d/e", "/merged"} {
		if err := os.MkdirAll(top+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(top+"/lower/f", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	serve(t, &Layers{Dir: top, Lower: []string{"lower"}, Upper: "upper", Work: "work"}, top+"/merged")
	inner := &layers{upper: top + "/upper", lower: top + "/lower", merged: top + "/merged", marks: FUSE}
	inner.do(t, "rm f; rm -r d; mkdir d; echo 1 >d/x; echo 1 >.new")
	if got, want := inner.diff(t), "A /.new, D /d, A /d/x, D /f"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// By name, since an overlay cannot have the device.
	if _, err := os.Lstat(top + "/upper/.wh.f"); err != nil {
		t.Error(err)
	}
}
