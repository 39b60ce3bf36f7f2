package transfer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests need a user namespace with subordinate ids, so the test binary starts
// itself once more in one. Root becomes an ordinary user first: $SBX_TEST_USER, or
// sbxtest.
const inside = "SBX_TEST_TRANSFER_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	os.Exit(m.Run())
}

// enter runs the tests in a new user namespace and returns their exit status.
func enter() int {
	argv := []string{"unshare", "--map-root-user", "--map-auto", "--mount", "--"}
	self, err := os.Executable()
	if err != nil {
		return cannot(err)
	}
	env := append(os.Environ(), inside+"=1")
	if os.Geteuid() == 0 {
		name := os.Getenv("SBX_TEST_USER")
		if name == "" {
			name = "sbxtest"
		}
		u, err := user.Lookup(name)
		if err != nil {
			return cannot(fmt.Errorf("started as root, and %w; make one with useradd, or name one in SBX_TEST_USER", err))
		}
		dir, copied, err := share(self)
		if err != nil {
			return cannot(err)
		}
		defer os.RemoveAll(dir)
		self = copied
		argv = append([]string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--init-groups"}, argv...)
		env = append(env, "HOME="+u.HomeDir, "USER="+name, "XDG_RUNTIME_DIR=")
	}
	cmd := exec.Command(argv[0], append(append(argv[1:], self), os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, env
	if out, err := exec.Command(argv[0], append(argv[1:], "true")...).CombinedOutput(); err != nil {
		return cannot(fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out))
	}
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		return cannot(err)
	}
	return 0
}

// cannot skips all tests, or fails where a user namespace was promised.
func cannot(err error) int {
	fmt.Fprintln(os.Stderr, "image/transfer: needs a user namespace with subordinate ids:", err)
	if slices.Contains(strings.Split(os.Getenv("SBX_MUST"), ","), "userns") {
		return 1
	}
	fmt.Println("SKIP: all tests of this package")
	return 0
}

// share copies the test binary to where another user can execute it.
func share(self string) (dir, copied string, err error) {
	if dir, err = os.MkdirTemp("", "sbx-transfer-test"); err != nil {
		return "", "", err
	}
	data, err := os.ReadFile(self)
	if err != nil {
		return "", "", err
	}
	copied = filepath.Join(dir, "transfer.test")
	return dir, copied, errors.Join(os.Chmod(dir, 0o755), os.WriteFile(copied, data, 0o755))
}
