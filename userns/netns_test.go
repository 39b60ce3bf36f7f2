package userns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Unshare leaves a namespace of its own at the path, with the loopback up.
func TestUnshare(t *testing.T) {
	if path := os.Getenv("SBX_TEST_UNSHARE"); path != "" {
		unshareHere(t, path)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs to be root, of a user namespace at least")
	}
	path := filepath.Join(t.TempDir(), "netns")
	if err := os.WriteFile(path, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUnshare$")
	cmd.Env = append(os.Environ(), "SBX_TEST_UNSHARE="+path)
	// The mount is in a namespace that goes with the process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func unshareHere(t *testing.T, path string) {
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if err := Unshare([]string{"unshare", "-n", "mount", "--bind", "/proc/self/ns/net", path}); err != nil {
		t.Fatal(err)
	}
	// This goroutine stays on the thread that is in the namespace.
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if lo.Flags&net.FlagUp == 0 {
		t.Errorf("lo is %v", lo.Flags)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	inside, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if inside == host {
		t.Error("still in the host's namespace")
	}
	if !strings.Contains(inside, fmt.Sprint(st.Ino)) {
		t.Errorf("%s has inode %d, the namespace is %s", path, st.Ino, inside)
	}
}

func TestUnshareRefusesOtherCommands(t *testing.T) {
	for _, args := range [][]string{{"unshare"}, {"unshare", "-n", "sh", "-c", "id", "x"}, {"unshare", "-m", "mount", "--bind", "a", "b"}} {
		if err := Unshare(args); err == nil {
			t.Errorf("%q accepted", args)
		}
	}
}
