package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// On an overlay, which cannot have the device for it, what is deleted is marked by
// names, as fuse-overlayfs does there; and the archive can be made again from that.
func TestWhiteoutsByName(t *testing.T) {
	top, merged := onOverlay(t)
	if err := unix.Mknod(filepath.Join(merged, "device"), unix.S_IFCHR, 0); err != unix.EPERM {
		t.Skipf("this overlay takes whiteouts: %v", err)
	}
	graph, run := filepath.Join(merged, "graph"), filepath.Join(top, "run")
	s, err := OpenWith(graph, run, "/usr/bin/fuse-overlayfs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	plain := pack(t, dir("a"), regular("a/f", "x"), regular("b", "x"), dir("c"), regular("c/f", "x"), dir("d"), regular("d/f", "x"))
	below := stage(t, s, plain)
	if needs, err := NeedsProgram(graph); needs || err != nil {
		t.Errorf("without whiteouts: %v, %v", needs, err)
	}
	// Of a file, of one in a directory, of a directory that is made again, of one that
	// has a file of this layer, of one in a deleted directory, and of all.
	above := pack(t, regular(".wh.b", ""), dir("a"), regular("a/.wh.f", ""), regular(".wh.c", ""), regular("c/new", "y"),
		regular("d/mine", "z"), regular(".wh.d", ""), regular(".wh.e", ""), regular("e/.wh.g", ""), dir("o"), regular("o/.wh..wh..opq", ""))
	img := commit(t, s, "x", below, stage(t, s, above))
	path, err := filepath.EvalSymlinks(filepath.Join(graph, "overlay", "l", img.Layers[0]))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{". 40755", `.wh.b 100600 ""`, `.wh.e 100600 ""`, "a 40755", `a/.wh.f 100600 ""`, "c 40755 opaque",
		`c/new 100644 "y"`, "d 40755 opaque", `d/mine 100644 "z"`, "o 40755 opaque"}, "\n")
	if got := listing(t, path); got != want {
		t.Errorf("unpacked:\n%s\nwant:\n%s", got, want)
	}
	again(t, s, img, 1, above)
	if needs, err := NeedsProgram(graph); !needs || err != nil {
		t.Errorf("with whiteouts: %v, %v", needs, err)
	}

	// All that the layers below have in the root.
	img = commit(t, s, "y", stage(t, s, plain), stage(t, s, pack(t, regular(".wh..wh..opq", ""), dir("a"))))
	if path, err = filepath.EvalSymlinks(filepath.Join(graph, "overlay", "l", img.Layers[0])); err != nil {
		t.Fatal(err)
	}
	want = strings.Join([]string{". 40755 opaque", `.wh.b 100600 ""`, `.wh.c 100600 ""`, `.wh.d 100600 ""`, "a 40755 opaque"}, "\n")
	if got := listing(t, path); got != want {
		t.Errorf("all hidden:\n%s\nwant:\n%s", got, want)
	}
}

// A store with such layers, moved elsewhere, is not shown wrongly.
func TestWhiteoutsByNameAreNotTheKernels(t *testing.T) {
	top := t.TempDir()
	graph, run := filepath.Join(top, "graph"), filepath.Join(top, "run")
	if err := os.MkdirAll(graph, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (&Store{graphRoot: graph}).noteNamed(); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(graph, run); err == nil || !strings.Contains(err.Error(), "only fuse-overlayfs knows") {
		t.Errorf("%v, %v", s, err)
	}
}
