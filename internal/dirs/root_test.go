package dirs

import (
	"flag"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/tests/nested"
)

// What is about root is tried as root of a user namespace, in which the test binary
// starts once more.
const stage = "SBX_TEST_DIRS"

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(stage) != "" {
		if err := flag.Set("test.run", "^TestRoots"); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	code := m.Run()
	if code == 0 {
		code = nested.Single(stage+"=root", syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS)
	}
	os.Exit(code)
}

// A directory of somebody else's is root's supervisor's only where nobody but root could
// have put it.
func TestRootsDirectories(t *testing.T) {
	if os.Getenv(stage) == "" {
		t.Skip("comes later, as root")
	}
	const base = "/mnt"
	if err := unix.Mount("sbx-t", base, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o755: true, 0o711: true, 0o775: false, 0o757: false, 0o777 | os.ModeSticky: false} {
		if err := os.Chmod(base, mode); err != nil {
			t.Fatal(err)
		}
		if got := roots(base + "/data"); got != want {
			t.Errorf("%v: %v", mode, got)
		}
	}
	// What is above may be everybody's only as /tmp is.
	deep := filepath.Join(base, "deep")
	if err := os.Mkdir(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o777: false, 0o777 | os.ModeSticky: true, 0o700: true} {
		if err := os.Chmod(base, mode); err != nil {
			t.Fatal(err)
		}
		if got := roots(deep + "/data"); got != want {
			t.Errorf("above %v: %v", mode, got)
		}
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	// One id is all there is: root's supervisor is root of this namespace.
	d := Dirs{Data: deep + "/data", Run: deep + "/run"}
	if err := d.GiveAway(0, 0); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(deep, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := d.GiveAway(0, 0); err == nil {
		t.Error("given away in a directory of everybody's")
	}
}
