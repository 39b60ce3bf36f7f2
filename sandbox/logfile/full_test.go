package logfile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/tests/promised"
)

// TestFullDisk runs inside a user namespace of its own, with a tiny tmpfs.
func TestFullDisk(t *testing.T) {
	const inside = "SBX_TEST_FULL_DISK"
	if dir := os.Getenv(inside); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
			t.Skipf("mount tmpfs: %v", err)
		}
		t.Run("gap", func(t *testing.T) { testGap(t, dir) })
		t.Run("no inode", func(t *testing.T) { testNoInode(t, dir) })
		return
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || strings.Contains(string(out), "--- SKIP") {
		promised.OrSkip(t, "userns", err, string(out))
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestFullDisk/no_inode") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func testGap(t *testing.T, dir string) {
	ballast := filepath.Join(dir, "ballast")
	put(t, dir, "ballast", strings.Repeat("x", 100<<10))
	w := create(t, dir, Options{})
	s := w.Stream("stdout")
	write(t, w.Stream("stderr"), "a prompt: ")
	var want strings.Builder
	lost := 0
	for i := range 40 {
		line := fmt.Sprintf("%d %s\n", i, strings.Repeat("y", 10000))
		switch n, err := s.Write([]byte(line)); {
		case err == nil:
			want.WriteString(line)
		case n != 0 || !errors.Is(err, unix.ENOSPC):
			t.Fatalf("wrote %d bytes: %v", n, err)
		default:
			lost += len(line)
		}
	}
	if lost == 0 {
		t.Fatal("the disk did not get full")
	}
	out, errOut := read(t, dir, everything)
	equal(t, "stdout of the full disk", out, want.String())
	equal(t, "stderr of the full disk", errOut, "a prompt: ")

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	write(t, s, "again\n")
	write(t, s, "and again\n")
	out, errOut = read(t, dir, everything)
	equal(t, "stdout", out, want.String()+"again\nand again\n")
	equal(t, "stderr", errOut, fmt.Sprintf("a prompt: \nsbx: %d bytes of output were not logged: no space left on device\n", lost))
}

// A rotation that has no inode for its file must not drop an older one.
func testNoInode(t *testing.T, dir string) {
	log := filepath.Join(dir, "small")
	if err := os.Mkdir(log, 0o700); err != nil {
		t.Fatal(err)
	}
	w := create(t, log, Options{MaxSize: 200, MaxFile: 9})
	s := w.Stream("stdout")
	write(t, s, strings.Repeat("a\n", 20))
	before := len(names(t, log))
	var fill []string
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=256k,nr_inodes=64"); err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		path := filepath.Join(dir, fmt.Sprint("fill", i))
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		fill = append(fill, path)
	}
	for range 30 {
		_, err := s.Write([]byte(strings.Repeat("b", 150) + "\n"))
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("error %v", err)
		}
	}
	if n := len(names(t, log)); n != before {
		t.Errorf("%d files, %d before", n, before)
	}
	if err := os.Remove(fill[0]); err != nil {
		t.Fatal(err)
	}
	write(t, s, "c\n")
	out, errOut := read(t, log, everything)
	equal(t, "stdout", out, strings.Repeat("a\n", 20)+"c\n")
	equal(t, "stderr", errOut, "sbx: 4530 bytes of output were not logged: no space left on device\n")
}
