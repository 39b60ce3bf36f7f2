package sys

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// du(1) is the witness: files of odd sizes, holes, hard links, a symbolic link to
// something large, a directory that is deeper than a path can name.
func TestDiskUsage(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"empty": 0, "one": 1, "odd": 70001} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Link(filepath.Join(dir, "odd"), filepath.Join(dir, "again")),
		os.Symlink("/usr", filepath.Join(dir, "usr")),
		os.WriteFile(filepath.Join(dir, "hole"), nil, 0o600),
		os.Truncate(filepath.Join(dir, "hole"), 1<<30),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	deep := deepDirectory(t, dir, strings.Repeat("d", 200), 40)
	out, err := exec.Command("du", "-s", "--block-size=1", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DiskUsage(dir); got != want || err != nil {
		t.Errorf("%d, %v; du says %d (%d levels)", got, err, want, deep)
	}
	if _, err := DiskUsage(filepath.Join(dir, "none")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := DiskUsage(filepath.Join(dir, "usr")); err == nil {
		t.Error("a symbolic link was followed")
	}
}

// A program may nest directories without end: what is not counted is not opened.
func TestDiskUsageBottomless(t *testing.T) {
	dir := t.TempDir()
	deepDirectory(t, dir, "d", deepest+100)
	one := t.TempDir()
	each, err := DiskUsage(one)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DiskUsage(dir); got != each*(deepest+2) || err != nil {
		t.Errorf("%d, %v; want %d directories of %d", got, err, deepest+2, each)
	}
}

// deepDirectory makes directories inside each other, more than a path has room
// for, and says how many.
func deepDirectory(t *testing.T, dir, name string, levels int) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range levels {
		if err := unix.Mkdirat(fd, name, 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	unix.Close(fd)
	return levels
}
