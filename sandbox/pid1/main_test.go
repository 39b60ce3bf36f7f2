package pid1

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/tests/promised"
)

// inside is set in a test that inNamespaces has started again.
const inside = "SBX_TEST_PID1_INSIDE"

// inNamespaces runs the calling test once more, as root of a user and mount
// namespace of its own, and says there that it may go on.
func inNamespaces(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil && strings.Contains(out.String(), "--- PASS: "+t.Name()):
	case err == nil || errors.As(err, &exit):
		t.Errorf("in a user namespace: %v\n%s", err, out.String())
	default:
		promised.OrSkip(t, "userns", err)
	}
	return false
}
