package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func fill(t *testing.T, s *Store, name, from string) error {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return s.Fill(context.Background(), name, f, true)
}

// imageDir is a directory with one of everything that a volume can take, and some
// things that it cannot.
func imageDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	long := strings.Repeat("n", 255)
	old := []unix.Timespec{{Sec: 1_000_000_001, Nsec: 5}, {Sec: 1_000_000_002, Nsec: 7}}
	sparse := func() error {
		f, err := os.Create(dir + "/sparse")
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte("end"), 64<<20)
		return errors.Join(err, f.Truncate(65<<20), f.Close())
	}
	err := errors.Join(
		os.MkdirAll(dir+"/sub/deep", 0o755), os.WriteFile(dir+"/file", []byte("content\n"), 0o600),
		os.Link(dir+"/file", dir+"/sub/deep/hard"), os.Symlink("/etc/passwd", dir+"/abs"), os.Symlink("../../../..", dir+"/sub/up"),
		unix.Mkfifo(dir+"/fifo", 0o620), os.WriteFile(dir+"/"+long, nil, 0o644), os.WriteFile(dir+"/non-utf8\xff\n", []byte("x"), 0o644),
		unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o600, 0), sparse(),
		unix.Setxattr(dir+"/file", "user.colour", []byte("red"), 0), unix.Setxattr(dir, "user.root", []byte("yes"), 0),
		unix.Setxattr(dir+"/sub", "user.overlay.opaque", []byte("y"), 0),
		os.WriteFile(dir+"/ping", []byte("#!"), 0o755),
		os.Lchown(dir+"/file", 1000, 1001), os.Lchown(dir+"/abs", 5, 6), os.Lchown(dir+"/sub", 70, 70), os.Lchown(dir+"/fifo", 3, 4),
		unix.Chmod(dir+"/sub", 0o3750), unix.Chmod(dir+"/file", 0o4751),
		os.Lchown(dir, 999, 998), unix.Chmod(dir, 0o1700),
		unix.Setxattr(dir+"/ping", "security.capability", capability, 0),
		unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/abs", old, unix.AT_SYMLINK_NOFOLLOW),
		unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/file", old, 0), unix.UtimesNanoAt(unix.AT_FDCWD, dir, old, 0),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// capability is CAP_NET_RAW+ep, struct vfs_cap_data of version 2.
var capability = []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// picture says everything about a tree that a copy is to keep.
func picture(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	inodes := map[uint64]int{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			return nil
		}
		if inodes[st.Ino] == 0 {
			inodes[st.Ino] = len(inodes) + 1
		}
		text := fmt.Sprintf("%q %o %d:%d %d.%d links %d same %d", strings.TrimPrefix(path, dir), st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Nlink, inodes[st.Ino])
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %d %q sparse %t", len(data), bytes.Trim(data, "\x00"), st.Blocks*512 < st.Size)
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " -> " + to
		}
		for _, name := range []string{"user.colour", "user.root", "security.capability"} {
			buf := make([]byte, 64)
			if n, err := unix.Lgetxattr(path, name, buf); err == nil {
				text += fmt.Sprintf(" %s=%x", name, buf[:n])
			}
		}
		list = append(list, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFillKeepsEverything(t *testing.T) {
	s, _ := openStore(t, filepath.Join(t.TempDir(), "volumes"))
	ensure(t, s, "db")
	from := imageDir(t)
	want := picture(t, from)
	if err := fill(t, s, "db", from); err != nil {
		t.Fatal(err)
	}
	got := picture(t, s.Data("db"))
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(strings.Join(want, "\n"), "security.capability") {
		t.Log("no file capabilities here")
	}
	if n, err := unix.Lgetxattr(s.Data("db")+"/sub", "user.overlay.opaque", make([]byte, 8)); err == nil {
		t.Errorf("an attribute of overlay was copied, %d bytes", n)
	}
	if _, err := os.Lstat(s.Data("db") + "/socket"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a socket was copied: %v", err)
	}
	// What is there is not touched any more.
	if err := os.WriteFile(s.Data("db")+"/file", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := picture(t, s.Data("db"))
	if err := fill(t, s, "db", from); err != nil {
		t.Fatal(err)
	}
	if got := picture(t, s.Data("db")); !slices.Equal(got, before) {
		t.Errorf("filled twice: %q", got)
	}
	if left, err := os.ReadDir(filepath.Dir(s.Data("db"))); err != nil || len(left) != 2 {
		t.Errorf("beside it: %v, %v", left, err)
	}
}

// An empty directory gives its owner and mode, unless the volume has got others.
func TestFillDressesTheVolume(t *testing.T) {
	s, _ := openStore(t, filepath.Join(t.TempDir(), "volumes"))
	from := t.TempDir()
	if err := errors.Join(os.Chown(from, 70, 71), os.Chmod(from, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"as-made", "given"} {
		ensure(t, s, name)
	}
	if err := os.Chown(s.Data("given"), 5, 6); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][3]uint32{"as-made": {70, 71, 0o700}, "given": {5, 6, 0o755}} {
		var st unix.Stat_t
		if err := errors.Join(fill(t, s, name, from), unix.Stat(s.Data(name), &st)); err != nil {
			t.Fatal(err)
		}
		if got := [3]uint32{st.Uid, st.Gid, st.Mode & 0o7777}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// A sandbox has the volume mounted already, and has made a file of the same name.
func TestFillOfAMountedVolume(t *testing.T) {
	s, _ := openStore(t, filepath.Join(t.TempDir(), "volumes"))
	ensure(t, s, "db")
	before, err := os.Stat(s.Data("db"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(s.Data("db"))
	if err := errors.Join(os.MkdirAll(dir+"/fill/both", 0o755), os.WriteFile(dir+"/fill/image", nil, 0o644), os.WriteFile(s.Data("db")+"/both", []byte("mine"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s, _ = openStore(t, s.Dir) // completes it
	after, err := os.Stat(s.Data("db"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the directory is another one now: %v", err)
	}
	if text, err := os.ReadFile(s.Data("db") + "/both"); err != nil || string(text) != "mine" {
		t.Errorf("the sandbox's own file: %q, %v", text, err)
	}
	if _, err := os.Stat(s.Data("db") + "/image"); err != nil {
		t.Error(err)
	}
}

const (
	fillEnv   = "SBX_TEST_VOLUME_FILL"
	someFiles = 300
)

// fillForever fills volumes until it is killed. It tells of each on standard output.
func fillForever(dir string) int {
	s, err := Open(Options{Dir: dir + "/volumes", Used: func(string) []string { return nil }, Log: slog.New(slog.DiscardHandler)})
	for i := 0; err == nil; i++ {
		name := "v" + strconv.Itoa(i)
		if _, err = s.Ensure(Volume{Name: name}, false); err != nil {
			break
		}
		if err = fillOnce(s, name, dir); err == nil && i > 2 {
			err = s.Remove("v" + strconv.Itoa(i-2))
		}
		fmt.Println(name)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func fillOnce(s *Store, name, dir string) error {
	from, err := os.Open(dir + "/image")
	if err != nil {
		return err
	}
	defer from.Close()
	return s.Fill(context.Background(), name, from, false)
}

// Whenever the process is killed, each volume is full or empty once the store is
// opened again, and can be filled then.
func TestKilledWhileFilling(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/image", 0o750); err != nil {
		t.Fatal(err)
	}
	for i := range someFiles {
		if err := os.WriteFile(dir+"/image/f"+strconv.Itoa(i), []byte("data"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	caught := 0
	for round := range 8 {
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), fillEnv+"="+dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err) // it has filled one
		}
		time.Sleep(time.Duration(round) * 3 * time.Millisecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // killed
		for _, pattern := range []string{"/fill", "/fill.new"} {
			half, err := filepath.Glob(dir + "/volumes/v*" + pattern)
			if err != nil {
				t.Fatal(err)
			}
			caught += len(half)
		}
		s, _ := openStore(t, dir+"/volumes")
		for _, v := range s.List() {
			for _, again := range []bool{false, true} {
				if again {
					if err := fillOnce(s, v.Name, dir); err != nil {
						t.Fatal(err)
					}
				}
				entries, err := os.ReadDir(s.Data(v.Name))
				if err != nil || len(entries) != someFiles && (again || len(entries) != 0) {
					t.Fatalf("%s has %d files, %v (filled again: %t)", v.Name, len(entries), err, again)
				}
			}
			if st, err := os.Stat(s.Data(v.Name)); err != nil || st.Mode().Perm() != 0o750 {
				t.Errorf("%s: %v, %v", v.Name, st.Mode(), err)
			}
			if err := s.Remove(v.Name); err != nil {
				t.Error(err)
			}
		}
		if left, err := os.ReadDir(dir + "/volumes"); err != nil || len(left) != 0 {
			t.Fatalf("left: %v, %v", left, err)
		}
	}
	if caught == 0 {
		t.Error("it was never killed in the middle: the test shows nothing")
	}
}

// A stop of the supervisor ends a copy, and leaves nothing.
func TestFillEnds(t *testing.T) {
	s, _ := openStore(t, filepath.Join(t.TempDir(), "volumes"))
	ensure(t, s, "db")
	from, err := os.Open(imageDir(t))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Fill(ctx, "db", from, true); !strings.Contains(fmt.Sprint(err), "canceled") {
		t.Errorf("ended: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(s.Data("db"))); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
}
