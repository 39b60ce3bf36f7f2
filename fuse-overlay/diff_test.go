package fuseoverlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// layers are an overlay that is mounted.
type layers struct {
	upper, lower, merged string
	marks                Marks
}

// mounted makes an overlay of two layers below and an upper directory.
func mounted(t *testing.T) *layers {
	t.Helper()
	l := directories(t)
	top := filepath.Dir(l.upper)
	below := "userxattr,lowerdir=" + top + "/one:" + top + "/base"
	mount(t, l.lower, below)
	mount(t, l.merged, below+",upperdir="+l.upper+",workdir="+top+"/work")
	return l
}

// directories makes all that mounted mounts.
func directories(t *testing.T) *layers {
	t.Helper()
	top := t.TempDir()
	l := &layers{upper: top + "/upper", lower: top + "/lower", merged: top + "/merged"}
	for _, dir := range []string{"/upper", "/work", "/merged", "/lower", "/base/d/sub", "/base/etc", "/base/deep/er/most", "/one/e", "/one/opq/x"} {
		if err := os.MkdirAll(top+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"/base/d/a", "/base/d/sub/b", "/base/f", "/base/f2d", "/base/etc/passwd", "/base/deep/er/most/file", "/one/e/x", "/one/opq/o", "/one/opq/x/y"} {
		if err := os.WriteFile(top+name, []byte("x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("d", top+"/base/l"); err != nil {
		t.Fatal(err)
	}
	return l
}

func mount(t *testing.T, at, data string) {
	t.Helper()
	if err := unix.Mount("overlay", at, "overlay", 0, data); err != nil {
		t.Fatalf("mount overlay: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// do runs shell commands in the merged directory.
func (l *layers) do(t *testing.T, script string) {
	t.Helper()
	c := exec.Command("sh", "-ec", script)
	c.Dir = l.merged
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

func (l *layers) diff(t testing.TB) string {
	t.Helper()
	upper, lower := open(t, l.upper), open(t, l.lower)
	defer upper.Close()
	defer lower.Close()
	list, err := l.marks.Diff(context.Background(), upper, lower)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, c := range list {
		words = append(words, fmt.Sprintf("%c %s", c.Kind, c.Path))
	}
	return strings.Join(words, ", ")
}

func open(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What podman 5.4.2 says of the same commands in a container, sorted and without
// /etc, where it makes files of its own. Where it is wrong, that is said.
func TestDiff(t *testing.T) { forEachScript(t, mounted) }

// forEachScript compares what diff says with what it should. Of those that are unseen it
// says nothing.
func forEachScript(t *testing.T, mounted func(t *testing.T) *layers, unseen ...string) {
	for script, want := range map[string]string{
		"true":                            "",
		"echo 1 >new":                     "A /new",
		"mkdir -p n1/n2; echo 1 >n1/n2/f": "A /n1, A /n1/n2, A /n1/n2/f",
		"echo 1 >d/sub/new":               "C /d, C /d/sub, A /d/sub/new",
		"echo 2 >>d/sub/b":                "C /d/sub/b",
		"chmod 700 d/sub":                 "C /d/sub",
		"touch d/sub/b":                   "C /d/sub/b",
		"rm d/sub/b":                      "C /d, C /d/sub, D /d/sub/b",
		"rm -r d":                         "D /d",
		"touch d/q; rm d/q":               "C /d",
		"rm -r d; mkdir d; echo 1 >d/new": "D /d, A /d/new",
		"rm -r d; mkdir d; echo 1 >d/a":   "D /d, C /d/a",
		"rm -r d; mkdir -p d/sub; echo 1 >d/sub/b; echo 2 >d/sub/c": "D /d, C /d/sub, C /d/sub/b, A /d/sub/c",
		"rm -r d; echo 1 >d":           "C /d",
		"rm -r d; ln -s e d":           "C /d",
		"mv f g":                       "D /f, A /g",
		"mkdir k; echo 1 >k/1; mv k j": "A /j, A /j/1",
		"mkfifo ff":                    "A /ff",
		"echo 1 >'a b'; echo 1 >'ü'":   "A /a b, A /ü",
		"chmod 700 .":                  "",
		"ln f hard":                    "C /f, A /hard",
		"mkdir z zz; echo 1 >z/b; echo 1 >z/a; echo 1 >zz/c; echo 1 >z.x; echo 1 >d/new; rm e/x": "C /d, A /d/new, C /e, D /e/x, A /z, A /z/a, A /z/b, A /z.x, A /zz, A /zz/c",
		"rm opq/o; rmdir e || rm -r e; echo 1 >deep/er/most/file":                                "C /deep/er/most/file, D /e, C /opq, D /opq/o",
		"rm deep/er/most/file": "C /deep, C /deep/er, C /deep/er/most, D /deep/er/most/file",
		// podman does not see owners of directories.
		"chown 5:6 d/sub": "C /d/sub",
		// podman fails.
		"rm f2d; mkdir f2d; echo 1 >f2d/x": "D /f2d, A /f2d/x",
		// podman follows the symbolic link that was there.
		"rm l; mkdir l; echo 1 >l/a": "D /l, A /l/a",
		// Of a deleted directory that a file has taken the place of, and again.
		"rm -r opq; echo 1 >opq; rm opq; mkdir opq": "D /opq",
	} {
		if slices.Contains(unseen, script) {
			want = ""
		}
		t.Run(script, func(t *testing.T) {
			l := mounted(t)
			l.do(t, script)
			if got := l.diff(t); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// The marks that the kernel may use instead of devices, since Linux 6.7.
func TestDiffWhiteoutAttribute(t *testing.T) {
	l := mounted(t)
	upper := l.upper + "/d"
	for _, err := range []error{
		os.Mkdir(upper, 0o755),
		os.WriteFile(upper+"/a", nil, 0),
		unix.Setxattr(upper+"/a", "user.overlay.whiteout", nil, 0),
		os.WriteFile(upper+"/empty", nil, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, want := l.diff(t), "C /d, C /d/a, A /d/empty"; got != want {
		t.Errorf("in a directory without the mark: %s, want %s", got, want)
	}
	if err := unix.Setxattr(upper, "user.overlay.opaque", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if got, want := l.diff(t), "C /d, D /d/a, A /d/empty"; got != want {
		t.Errorf("in a marked directory: %s, want %s", got, want)
	}
}

// A whiteout of nothing, which some unpacking leaves, says nothing.
func TestDiffWhiteoutOfNothing(t *testing.T) {
	l := mounted(t)
	if err := unix.Mknod(l.upper+"/none", unix.S_IFCHR, 0); err != nil {
		t.Fatal(err)
	}
	if got := l.diff(t); got != "" {
		t.Error("got", got)
	}
}

// What is a mark of fuse-overlayfs's is a file to the kernel.
func TestDiffMarksOfOthers(t *testing.T) {
	l := mounted(t)
	l.do(t, "echo 1 >.wh.x; echo 1 >d/.wh..wh..opq")
	if got, want := l.diff(t), "A /.wh.x, C /d, A /d/.wh..wh..opq"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Names are bytes, and as long as the file system lets them be.
func TestDiffNames(t *testing.T) {
	l := mounted(t)
	long, bad := strings.Repeat("n", 255), "\xff\x1b[31m\n"
	for _, name := range []string{long, bad} {
		if err := os.WriteFile(filepath.Join(l.merged, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := l.diff(t), "A /"+long+", A /"+bad; got != want {
		t.Errorf("got %q", got)
	}
}

// A tree as deep as a program may make it, far below what a path can name, is an
// error and not the end of the supervisor's descriptors.
func TestDiffTooDeep(t *testing.T) {
	l := mounted(t)
	at, err := unix.Open(l.merged, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	name := strings.Repeat("d", 200)
	for range 25 {
		if err == nil {
			err = unix.Mkdirat(at, name, 0o755)
		}
		next, err2 := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(at)
		at, err = next, errors.Join(err, err2)
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(at)
	_, err = Kernel.Diff(context.Background(), open(t, l.upper), open(t, l.lower))
	if err == nil || !strings.Contains(err.Error(), "the directories are too deep") {
		t.Errorf("got %v", err)
	}
	if err := os.RemoveAll(filepath.Join(l.merged, name)); err != nil {
		t.Fatal(err)
	}
}

// The directory changes while it is read, and names become symbolic links out of it.
func TestDiffRaces(t *testing.T) {
	l := mounted(t)
	secret := t.TempDir()
	if err := os.WriteFile(secret+"/secret", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		at := l.upper + "/swap"
		for ctx.Err() == nil {
			os.Mkdir(at, 0o755)
			os.WriteFile(at+"/file", nil, 0o600)
			os.RemoveAll(at)
			os.Symlink(secret, at)
			os.Remove(at)
		}
	}()
	for ctx.Err() == nil {
		if got := l.diff(t); strings.Contains(got, "secret") {
			t.Fatal("it followed the symbolic link:", got)
		}
	}
	<-done
}

func TestDiffEnds(t *testing.T) {
	l := mounted(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Kernel.Diff(ctx, open(t, l.upper), open(t, l.lower)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
