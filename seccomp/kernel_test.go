package seccomp

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary started with this variable loads the program that it reads
// from standard input, and tries some system calls before and after.
const tryVariable = "SBX_TEST_SECCOMP_TRY"

func TestMain(m *testing.M) {
	if os.Getenv(tryVariable) == "" {
		os.Exit(m.Run())
	}
	if err := try(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// attempt is a call that gives something else than the filter's errno to an
// ordinary user and to root, when there is no filter.
type attempt struct {
	name string
	nr   uintptr
	args [3]uintptr
	want syscall.Errno
}

const badFd = ^uintptr(0)

var attempts = []attempt{
	{"getpid", unix.SYS_GETPID, [3]uintptr{}, 0},
	{"ioctl TCGETS", unix.SYS_IOCTL, [3]uintptr{badFd, unix.TCGETS}, unix.EBADF},
	{"ioctl TIOCSTI", unix.SYS_IOCTL, [3]uintptr{badFd, tiocsti}, unix.EPERM},
	{"ioctl TIOCSTI, bit 32 set", unix.SYS_IOCTL, [3]uintptr{badFd, 1<<32 | tiocsti}, unix.EPERM},
	{"ioctl TIOCLINUX", unix.SYS_IOCTL, [3]uintptr{badFd, tioclinux}, unix.EPERM},
	{"unshare nothing", unix.SYS_UNSHARE, [3]uintptr{}, unix.EPERM},
	{"clone3 without arguments", unix.SYS_CLONE3, [3]uintptr{}, unix.ENOSYS},
	{"setns", unix.SYS_SETNS, [3]uintptr{badFd}, unix.EPERM},
	{"keyctl", unix.SYS_KEYCTL, [3]uintptr{badFd}, unix.EPERM},
	{"personality query", unix.SYS_PERSONALITY, [3]uintptr{0xffffffff}, 0},
	{"personality ADDR_NO_RANDOMIZE", unix.SYS_PERSONALITY, [3]uintptr{0x40000}, unix.EPERM},
	{"socket AF_UNIX", unix.SYS_SOCKET, [3]uintptr{unix.AF_UNIX, unix.SOCK_STREAM}, 0},
	{"socket AF_ALG", unix.SYS_SOCKET, [3]uintptr{unix.AF_ALG, unix.SOCK_STREAM}, unix.EPERM},
	{"socket AF_VSOCK", unix.SYS_SOCKET, [3]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM}, unix.EPERM},
}

// outcomes are the errnos of the attempts, before and after.
type outcomes struct{ Before, After []syscall.Errno }

func try() error {
	program, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var o outcomes
	// The filter is of this thread only, so that the Go runtime keeps going.
	runtime.LockOSThread()
	o.Before = tryAll()
	if err := load(program); err != nil {
		return err
	}
	o.After = tryAll()
	return json.NewEncoder(os.Stdout).Encode(o)
}

func tryAll() []syscall.Errno {
	var errnos []syscall.Errno
	for _, a := range attempts {
		_, _, errno := syscall.RawSyscall(a.nr, a.args[0], a.args[1], a.args[2])
		errnos = append(errnos, errno)
	}
	return errnos
}

func load(program []byte) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", err)
	}
	code := decodeProgram(program)
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return os.NewSyscallError("seccomp SET_MODE_FILTER", errno)
	}
	return nil
}

// inKernel runs the attempts in a process that loads program.
func inKernel(t *testing.T, program []byte) outcomes {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), tryVariable+"=1")
	cmd.Stdin = strings.NewReader(string(program))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var o outcomes
	if err := json.Unmarshal(out, &o); err != nil || len(o.After) != len(attempts) {
		t.Fatalf("outcomes %q: %v", out, err)
	}
	return o
}

func TestKernelObeys(t *testing.T) {
	o := inKernel(t, mustCompile(t, "", dockerCaps...))
	for i, a := range attempts {
		if o.After[i] != a.want {
			t.Errorf("%s = %d (%v), want %d; without the filter %d", a.name, o.After[i], o.After[i], a.want, o.Before[i])
		}
		if (a.want == unix.EPERM || a.want == unix.ENOSYS) && o.Before[i] == a.want {
			t.Logf("%s gives %v here without the filter too: proves nothing", a.name, a.want)
		}
	}
}

// The kernel's verifier must like what ours does.
func TestKernelLoadsLongProgram(t *testing.T) {
	o := inKernel(t, mustCompile(t, profileOf(manyRules(800)...)))
	for i, a := range attempts {
		if strings.HasPrefix(a.name, "ioctl") && o.After[i] != a.want {
			t.Errorf("%s = %v, want %v", a.name, o.After[i], a.want)
		}
	}
}
