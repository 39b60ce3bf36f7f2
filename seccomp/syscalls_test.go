package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestLookup(t *testing.T) {
	for _, s := range syscalls {
		if nr, ok := lookup(s.name); !ok || nr != s.nr {
			t.Errorf("lookup(%q) = %d, %v, the table has %d", s.name, nr, ok, s.nr)
		}
	}
	for name, want := range map[string]uint32{"read": unix.SYS_READ, "clone3": unix.SYS_CLONE3, "umount2": unix.SYS_UMOUNT2} {
		if nr, ok := lookup(name); !ok || nr != want {
			t.Errorf("lookup(%q) = %d, %v, want %d", name, nr, ok, want)
		}
	}
	for _, name := range []string{"", "READ", "socketcall", "zzz"} {
		if nr, ok := lookup(name); ok {
			t.Errorf("lookup(%q) = %d, want none", name, nr)
		}
	}
}
