package landlock

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/tests/promised"
)

func TestHandledGrowsWithTheInterface(t *testing.T) {
	for version, want := range map[int]uint64{1: 0x1fff, 2: 0x3fff, Least: 0x7fff, Network: 0x7fff, 5: 0xffff, Scoped: 0xffff, 99: 0xffff} {
		if got := handled(version); got != want {
			t.Errorf("version %d: %#x, want %#x", version, got, want)
		}
	}
	if missing := uint64(Write|Device) &^ handled(Least); missing != 0 {
		t.Errorf("the least version does not know %#x", missing)
	}
}

// Every version that a kernel has, it takes: the newest and those before.
func TestRulesAreTaken(t *testing.T) {
	newest := Version()
	if newest == 0 {
		promised.OrSkip(t, "landlock", "the kernel has none, or leaves it out at the start")
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for version := 1; version <= newest; version++ {
		r, err := New(version, false)
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		for _, f := range []*os.File{file, dir} {
			for _, rights := range []uint64{Read, Write, Device} {
				if err := r.Allow(f, rights); err != nil {
					t.Errorf("version %d: %v", version, err)
				}
			}
		}
		if err := r.Allow(dir, 0); err == nil {
			t.Error("a rule for nothing was taken")
		}
		if flags, err := unix.FcntlInt(r.file.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
		r.Close()
	}
}
