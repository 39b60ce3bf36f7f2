package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A kernel without overlay: fuse-overlayfs takes its place, and where that is missing too
// the error says what to do about either.
func TestFuseOverlayWithoutTheKernels(t *testing.T) {
	t.Parallel()
	Need(t, "fuse", "busybox")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(e *Env, args ...string) (string, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, "/usr/bin/unshare", append([]string{"--user", "--mount", "--keep-caps", fmt.Sprintf("--map-user=%d", os.Getuid()), fmt.Sprintf("--map-group=%d", os.Getgid()),
			"/usr/bin/env", probeEnv + "=overlayless", self, e.Instance.Sbx()}, args...)...)
		c.Env, c.Dir = e.Env(), e.Home
		out, err := c.CombinedOutput()
		return string(out), err
	}
	program, err := exec.LookPath("fuse-overlayfs")
	if err != nil {
		t.Fatal(err)
	}
	bare := Sbx(t)
	bare.Extra = append(bare.Extra, hiddenEnv+"="+program)
	if out, err := run(bare, "import", os.Getenv("SBX_TEST_BUSYBOX"), "box"); err == nil || !strings.Contains(out, "no such device") || !strings.Contains(out, "modprobe overlay") || !strings.Contains(out, "fuse-overlayfs") {
		t.Errorf("without fuse-overlayfs: %v: %s", err, out)
	}
	e := Sbx(t)
	if out, err := run(e, "import", os.Getenv("SBX_TEST_BUSYBOX"), "box"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(e, "info"); err != nil || !strings.Contains(out, "\n Overlay: "+program+"\n") || !strings.Contains(out, "no such device") {
		t.Errorf("%v: %s", err, out)
	}
	out, err := run(e, "run", "--rm", "--network", "none", "box", "sh", "-c", "rm -r /bin/sh && awk '$2 == \"/\" {print $3}' /proc/mounts")
	if err != nil || !strings.HasSuffix(out, "fuse.fuse-overlayfs\n") {
		t.Errorf("%v: %s", err, out)
	}
	for _, e := range []*Env{bare, e} { // in the namespace of their own
		if out, err := run(e, "system", "reset", "-f"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// hiddenEnv names a program that overlayless takes away.
const hiddenEnv = "SBX_TEST_HIDDEN"

// overlayless has mount(2) say of an overlay, which is known by its flags, that there is no
// such device, as a kernel does that has none. It is for the program that it becomes. That
// takes a capability, which is given up then.
func overlayless(args []string) {
	runtime.LockOSThread()
	if hidden := os.Getenv(hiddenEnv); hidden != "" {
		if err := unix.Mount("/dev/null", hidden, "", unix.MS_BIND, ""); err != nil {
			fmt.Println("mount:", err)
			return
		}
	}
	const nr, flags = 0, 16 + 3*8 // in struct seccomp_data; the lower half on a little-endian machine
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_MOUNT, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.MS_NODEV, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENODEV)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		fmt.Println("seccomp:", errno)
		return
	}
	becomePowerless(args)
}

// becomePowerless executes a program without the capabilities that the probe was given.
// It returns only if it cannot, and says why.
func becomePowerless(args []string) {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		fmt.Println("prctl:", err)
		return
	}
	if err := os.Unsetenv(probeEnv); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exec:", unix.Exec(args[0], args, os.Environ()))
}
