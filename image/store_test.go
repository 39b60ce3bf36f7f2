package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// A storage.conf of the user, broken at that, has no say.
func TestOpenIgnoresStorageConf(t *testing.T) {
	home := t.TempDir()
	conf := filepath.Join(home, "containers", "storage.conf")
	if err := os.MkdirAll(filepath.Dir(conf), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte("[storage\ndriver = 'vfs'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("CONTAINERS_STORAGE_CONF", conf)
	t.Setenv("STORAGE_DRIVER", "vfs")
	s := open(t)
	if got := s.store.GraphDriverName(); got != "overlay" {
		t.Errorf("driver %s", got)
	}
	if os.Getenv("CONTAINERS_STORAGE_CONF") != conf {
		t.Error("the environment has changed")
	}
}

func TestOpenMountsNothing(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t)
	load(t, s, "x", pack(t, tree()...))
	if after, err := os.ReadFile("/proc/self/mountinfo"); err != nil || string(after) != string(before) {
		t.Errorf("mounts have changed: %v\n%s", err, after)
	}
}

// An overlay cannot be the upper layer of another one.
func TestOpenWithoutOverlay(t *testing.T) {
	top, merged := onOverlay(t)
	run := filepath.Join(top, "run")
	s, err := Open(filepath.Join(merged, "graph"), run)
	if err == nil {
		s.Close()
		t.Skip("this kernel stacks overlays with user attributes")
	}
	var e *api.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "SBX_DATA") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	t.Log(err)
	// The failure is not remembered: the same run directory works elsewhere.
	if s, err = Open(filepath.Join(top, "graph"), run); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// onOverlay mounts an overlay in a directory, and gives both.
func onOverlay(t *testing.T) (top, merged string) {
	t.Helper()
	top = t.TempDir()
	for _, name := range []string{"l", "u", "w", "m"} {
		if err := os.Mkdir(filepath.Join(top, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	merged = filepath.Join(top, "m")
	if err := unix.Mount("overlay", merged, "overlay", 0, strings.ReplaceAll("lowerdir=@/l,upperdir=@/u,workdir=@/w,userxattr", "@", top)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
	})
	return top, merged
}

// fuse-overlayfs in PATH must not be taken instead of the kernel's overlay.
func TestOpenIsNative(t *testing.T) {
	s := open(t)
	status, err := s.store.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range status {
		if pair[0] == "Native Overlay Diff" {
			return
		}
	}
	t.Errorf("status %q", status)
}

// A layer that an image uses stays, with those below it; another one goes.
func TestSweepKeepsParents(t *testing.T) {
	s := open(t)
	img := load(t, s, "x", pack(t, tree()...))
	record, err := s.store.Image(img.ID)
	if err != nil {
		t.Fatal(err)
	}
	upper, err := s.store.CreateLayer("", record.TopLayer, nil, "", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.CreateLayer("", upper.ID, nil, "", false, nil); err != nil {
		t.Fatal(err)
	}
	used, err := s.store.CreateLayer("", record.TopLayer, nil, "", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.CreateImage("", []string{"localhost/two:latest"}, used.ID, "", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.sweep(); err != nil {
		t.Fatal(err)
	}
	layers, err := s.store.Layers()
	if err != nil || len(layers) != 2 || layers[0].ID != record.TopLayer || layers[1].ID != used.ID {
		t.Errorf("layers %v, %v", layers, err)
	}
}
