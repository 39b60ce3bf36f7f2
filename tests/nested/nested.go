// Package nested starts a test binary once more in namespaces of its own, where
// its tests may do what the supervisor does.
package nested

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sbx/tests/promised"
)

// Subordinate runs the tests as root of a user namespace with the subordinate ids of
// an ordinary user, and a mount namespace, with env ("NAME=value") added to the
// environment, and gives the exit status for TestMain. Root becomes an ordinary user
// first: $SBX_TEST_USER, or sbxtest.
func Subordinate(env string) int {
	argv := []string{"unshare", "--map-root-user", "--map-auto", "--mount", "--"}
	self, err := os.Executable()
	if err != nil {
		return cannot(err)
	}
	environ := append(os.Environ(), env)
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
		environ = append(environ, "HOME="+u.HomeDir, "USER="+name, "XDG_RUNTIME_DIR=")
	}
	if out, err := exec.Command(argv[0], append(argv[1:], "true")...).CombinedOutput(); err != nil {
		return cannot(fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out))
	}
	cmd := exec.Command(argv[0], append(append(argv[1:], self), os.Args[1:]...)...)
	cmd.Env = environ
	return status(cmd)
}

// Main is TestMain of a package whose tests need all that Subordinate gives; inside is
// the variable by which the tests in there are told.
func Main(m *testing.M, inside string) {
	if os.Getenv(inside) == "" {
		os.Exit(Subordinate(inside + "=1"))
	}
	os.Exit(m.Run())
}

// Single runs the tests in new namespaces (CLONE_NEW* flags, a user namespace among
// them) with one id, the caller's, which is root there. The rest is as with Subordinate.
func Single(env string, flags uintptr) int { return status(Command(env, flags)) }

// Command is this test binary, to be run as Single runs it, with the same arguments.
func Command(env string, flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), env)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  flags,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	return cmd
}

func status(cmd *exec.Cmd) int {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		return cannot(err)
	}
	return 0
}

// cannot skips all tests, or fails where a user namespace was promised.
func cannot(err error) int {
	fmt.Fprintf(os.Stderr, "%s: needs a user namespace: %v\n", filepath.Base(os.Args[0]), err)
	if promised.Has("userns") {
		return 1
	}
	fmt.Println("SKIP: all tests of this package")
	return 0
}

// share copies the test binary to where another user can execute it.
func share(self string) (dir, copied string, err error) {
	if dir, err = os.MkdirTemp("", "sbx-test"); err != nil {
		return "", "", err
	}
	data, err := os.ReadFile(self)
	if err != nil {
		return "", "", err
	}
	copied = filepath.Join(dir, filepath.Base(self))
	return dir, copied, errors.Join(os.Chmod(dir, 0o755), os.WriteFile(copied, data, 0o755))
}
