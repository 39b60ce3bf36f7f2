package owners

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
	"sbx/tests/promised"
)

// keepID is what --userns keep-id of user 1000 needs.
var keepID = Map{{0, 1, 1000}, {1000, 0, 1}}

// shown mounts a directory with other owners.
func shown(t testing.TB, dir string, m Map) (at string, pid int) {
	t.Helper()
	probe, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		promised.OrSkip(t, "fuse", err)
	}
	probe.Close()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	server, err := Start(self)
	if err != nil {
		t.Fatal(err)
	}
	pid = server.PID
	mount, err := server.Show(d, m, m)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mount)
	at = t.TempDir()
	if err := sys.AttachAt(mount, unix.AT_FDCWD, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
			t.Error(err)
		}
		if _, err := wait(pid, 10*time.Second); err != nil {
			t.Error(err)
		}
	})
	return at, pid
}

// wait gives the exit status of a child that must end soon, 0 for one that has been
// waited for.
func wait(pid int, within time.Duration) (int, error) {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var status unix.WaitStatus
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		switch {
		case err == unix.ECHILD:
			return 0, nil
		case err != nil:
			return 0, err
		case got == pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case got == pid:
			return status.ExitStatus(), nil
		}
	}
	return 0, fmt.Errorf("process %d has not ended", pid)
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

// Everything about a file shows but who owns it.
func TestShow(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/etc/passwd", "root:x:0:0\n", 0o644)
	write(t, dir+"/home/u/.rc", "mine\n", 0o600)
	write(t, dir+"/bin/su", "su\n", 0o4755)
	write(t, dir+"/empty", "", 0o640)
	write(t, dir+"/"+strings.Repeat("n", 255), "long", 0o644)
	write(t, dir+"/not\xffutf8", "x", 0o644)
	for _, err := range []error{
		os.Chown(dir+"/home/u", 1000, 1000), os.Chown(dir+"/home/u/.rc", 1000, 1000), os.Chown(dir+"/empty", 33, 42),
		os.Chmod(dir+"/bin/su", 0o755|os.ModeSetuid), os.Link(dir+"/empty", dir+"/home/hard"),
		os.Symlink("../etc/passwd", dir+"/home/link"), os.Symlink("/nowhere", dir+"/dangling"),
		unix.Mkfifo(dir+"/fifo", 0o600), unix.Mknod(dir+"/gone", unix.S_IFCHR, 0),
		unix.Setxattr(dir+"/empty", "user.one", []byte("value"), 0),
		os.Chtimes(dir+"/etc/passwd", time.Unix(1e9, 5), time.Unix(1e9, 123456789)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	at, _ := shown(t, dir, keepID)
	seen := 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		seen++
		rel, _ := filepath.Rel(dir, path)
		sameFile(t, rel, path, filepath.Join(at, rel))
		return nil
	})
	if err != nil || seen != 16 {
		t.Errorf("%d files: %v", seen, err)
	}
	if _, err := os.Lstat(at + "/etc/shadow"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	if err := os.WriteFile(at+"/new", nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("write: %v", err)
	}
	var buf [64]byte
	if n, err := unix.Getxattr(at+"/empty", "user.one", buf[:]); err != nil || string(buf[:n]) != "value" {
		t.Errorf("xattr: %q %v", buf[:max(n, 0)], err)
	}
	if n, err := unix.Listxattr(at+"/empty", buf[:]); err != nil || !bytes.Contains(buf[:n], []byte("user.one\x00")) {
		t.Errorf("xattrs: %q %v", buf[:max(n, 0)], err)
	}
	if _, err := unix.Getxattr(at+"/empty", "user.two", buf[:]); err != unix.ENODATA {
		t.Errorf("no xattr: %v", err)
	}
}

func sameFile(t *testing.T, rel, before, after string) {
	t.Helper()
	var want, got unix.Stat_t
	if err := errors.Join(unix.Lstat(before, &want), unix.Lstat(after, &got)); err != nil {
		t.Errorf("%s: %v", rel, err)
		return
	}
	want.Uid, want.Gid = keepID.apply(want.Uid), keepID.apply(want.Gid)
	if got.Uid != want.Uid || got.Gid != want.Gid || got.Mode != want.Mode || got.Size != want.Size || got.Ino != want.Ino ||
		got.Nlink != want.Nlink || got.Mtim != want.Mtim || got.Rdev != want.Rdev || got.Blocks != want.Blocks {
		t.Errorf("%s: %+v, want %+v", rel, got, want)
	}
	switch want.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		a, err1 := os.ReadFile(before)
		b, err2 := os.ReadFile(after)
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %v %v, %d bytes for %d", rel, err1, err2, len(b), len(a))
		}
	case unix.S_IFLNK:
		a, err1 := os.Readlink(before)
		b, err2 := os.Readlink(after)
		if err1 != nil || err2 != nil || a != b {
			t.Errorf("%s: %v %v, %q for %q", rel, err1, err2, b, a)
		}
	case unix.S_IFDIR:
		a, err1 := os.ReadDir(before)
		b, err2 := os.ReadDir(after)
		if err1 != nil || err2 != nil || !slices.EqualFunc(a, b, func(x, y os.DirEntry) bool { return x.Name() == y.Name() && x.Type() == y.Type() }) {
			t.Errorf("%s: %v %v, %v for %v", rel, err1, err2, b, a)
		}
	}
}

// Large files and large directories come in several answers, to many readers at once.
func TestLarge(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789abcde\n"), 300<<10) // 4.7 MB
	write(t, dir+"/large", string(data), 0o644)
	f, err := os.Create(dir + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("end"), 1<<30); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for i := range 5000 {
		write(t, fmt.Sprintf("%s/many/%04d-%s", dir, i, strings.Repeat("x", i%200)), "", 0o644)
	}
	at, _ := shown(t, dir, keepID)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := os.ReadFile(at + "/large")
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("large: %d bytes, %v", len(got), err)
			}
			list, err := os.ReadDir(at + "/many")
			if err != nil || len(list) != 5000 {
				t.Errorf("many: %d names, %v", len(list), err)
			}
			for _, e := range list[:min(len(list), 500)] {
				if _, err := os.Stat(at + "/many/" + e.Name()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	sparse, err := os.Open(at + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if data, err := sparse.Seek(0, unix.SEEK_DATA); err != nil || data < 1<<29 {
		t.Errorf("first data at %d, %v", data, err)
	}
}

// It ends when nothing refers to it any more, and not before.
func TestEnds(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/lower/f", "x", 0o644)
	at, pid := shown(t, dir+"/lower", keepID)
	merged := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/upper", 0o755), os.Mkdir(dir+"/work", 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("overlay", merged, "overlay", 0, "userxattr,lowerdir="+at+",upperdir="+dir+"/upper,workdir="+dir+"/work"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(merged + "/f"); err != nil || string(got) != "x" {
		t.Errorf("through the overlay: %q %v", got, err)
	}
	// Copied up, it keeps the owner that was shown.
	if err := os.Chmod(merged+"/f", 0o600); err != nil {
		t.Error(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/upper/f", &st); err != nil || st.Uid != 1 {
		t.Errorf("copied up: uid %d, %v", st.Uid, err)
	}
	if err := unix.Unmount(merged, 0); err != nil {
		t.Fatal(err)
	}
	if code, err := wait(pid, 10*time.Second); err != nil || code != 0 {
		t.Errorf("exit status %d, %v", code, err)
	}
}

// When the process is killed nobody waits for ever.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/f", "x", 0o644)
	at, pid := shown(t, dir, nil)
	if _, err := os.Stat(at + "/f"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, err := wait(pid, 10*time.Second); err != nil || code != 137 {
		t.Errorf("exit status %d, %v", code, err)
	}
	if _, err := os.ReadFile(at + "/f"); !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
		t.Errorf("read: %v", err)
	}
}

// Names that the kernel would never ask for lead nowhere.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/in/f", "x", 0o644)
	if err := os.Symlink("..", dir+"/in/up"); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir + "/in")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree := newTree(int(root.Fd()), nil, nil, 1)
	for name, want := range map[string]unix.Errno{"..": unix.EINVAL, ".": unix.EINVAL, "": unix.EINVAL, "../in": unix.EIO, "up/in": unix.EIO} {
		answer := tree.answer(&request{op: opLookup, unique: 7, node: rootNode, body: append([]byte(name), 0)}, nil)
		if got := unix.Errno(-int32(native.Uint32(answer[4:]))); got != want || native.Uint64(answer[8:]) != 7 {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
	if len(tree.nodes) != 1 {
		t.Errorf("%d nodes", len(tree.nodes))
	}
}

func TestForget(t *testing.T) {
	tree := newTree(-1, nil, nil, 1)
	a, _ := tree.remember(rootNode, "a")
	b, _ := tree.remember(a, "b")
	again, _ := tree.remember(a, "b")
	if b != again || len(tree.nodes) != 3 {
		t.Fatalf("%d %d, %d nodes", b, again, len(tree.nodes))
	}
	tree.forget(a, 1)
	if path, err := tree.pathOf(b); err != nil || path != "a/b" {
		t.Errorf("below what is forgotten: %q %v", path, err)
	}
	tree.forget(b, 2)
	tree.forget(rootNode, 1)
	if len(tree.nodes) != 1 {
		t.Errorf("%d nodes are left", len(tree.nodes))
	}
	if _, err := tree.remember(b, "c"); err != unix.ESTALE {
		t.Errorf("below what is gone: %v", err)
	}
}

func TestMap(t *testing.T) {
	for id, want := range map[int]int{0: 1, 999: 1000, 1000: 0, 1001: 1001, 65534: 65534} {
		if got := keepID.Apply(id); got != want || keepID.Inverse().Apply(got) != id {
			t.Errorf("%d is shown as %d, want %d", id, got, want)
		}
	}
	again, err := parseMap(keepID.String())
	if err != nil || !slices.Equal(again, keepID) {
		t.Errorf("%v %v", again, err)
	}
	for _, bad := range []string{"1", "1:2", "1:2:x", "1:2:3,", "-1:0:1"} {
		if m, err := parseMap(bad); err == nil {
			t.Errorf("%q: %v", bad, m)
		}
	}
}

// BenchmarkStat is a stat of a file that nobody has asked for yet, in a tree of 2000,
// and of one that is known.
func BenchmarkStat(b *testing.B) {
	dir := b.TempDir()
	for i := range 2000 {
		write(b, fmt.Sprintf("%s/usr/lib/%02d/%04d", dir, i%50, i), "x", 0o644)
	}
	walk := func(b *testing.B, at string) {
		for i := range 2000 {
			var st syscall.Stat_t
			if err := syscall.Stat(fmt.Sprintf("%s/usr/lib/%02d/%04d", at, i%50, i), &st); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			at, _ := shown(b, dir, keepID)
			b.StartTimer()
			walk(b, at)
		}
	})
	at, _ := shown(b, dir, keepID)
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			walk(b, at)
		}
	})
	b.Run("native", func(b *testing.B) {
		for b.Loop() {
			walk(b, dir)
		}
	})
}

// Capabilities that a file has been given by the root of a nested namespace are those
// of root where that one is shown as root.
func TestCapability(t *testing.T) {
	v3 := func(root byte) []byte {
		return []byte{1, 0, 0, 3, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, root, 0, 0, 0}
	}
	tree := newTree(-1, keepID.Inverse(), keepID.Inverse(), 1)
	ours := v3(1)
	if n := tree.capability(ours); n != 20 || ours[3] != 2 || ours[0] != 1 {
		t.Errorf("of root: %d bytes, %x", n, ours[:n])
	}
	for _, other := range [][]byte{v3(2), v3(0), {0, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {}} {
		before := string(other)
		if n := tree.capability(other); n != len(before) || string(other) != before {
			t.Errorf("%x became %x", before, other[:n])
		}
	}
}

// A server that nobody needs, since whoever has started it has died or does not want it,
// ends by itself.
func TestSpareEnds(t *testing.T) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	server, err := Start(self)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	if status, err := wait(server.PID, 10*time.Second); err != nil || status != 0 {
		t.Errorf("status %d, %v", status, err)
	}
}
