package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// dockerCaps is the bounding set of a container that asks for nothing.
var dockerCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

func TestDefaultProfile(t *testing.T) {
	const admin = "CAP_SYS_ADMIN"
	tests := []struct {
		name string
		call string
		args []uint64
		cap  string // beside dockerCaps
		want uint32
	}{
		{"read", "read", nil, "", allow},
		{"openat2", "openat2", nil, "", allow},
		{"newest named", "removexattrat", nil, "", allow},
		{"mount", "mount", nil, "", eperm},
		{"mount with SYS_ADMIN", "mount", nil, admin, allow},
		{"new mount API", "fsopen", nil, "", eperm},
		{"open_tree", "open_tree", nil, "", eperm},
		{"newer than the profile", "open_tree_attr", nil, "", enosys},
		{"unshare", "unshare", []uint64{unix.CLONE_NEWUSER}, "", eperm},
		{"setns", "setns", nil, "", eperm},
		{"clone of a thread", "clone", []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, "", allow},
		{"fork", "clone", []uint64{uint64(unix.SIGCHLD)}, "", allow},
		{"clone NEWUSER", "clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, "", eperm},
		{"clone NEWNET", "clone", []uint64{unix.CLONE_NEWNET}, "", eperm},
		{"clone NEWUSER, bit 63 set", "clone", []uint64{1<<63 | unix.CLONE_NEWUSER}, "", eperm},
		{"clone NEWUSER with SYS_ADMIN", "clone", []uint64{unix.CLONE_NEWUSER}, admin, allow},
		{"clone3", "clone3", nil, "", enosys},
		{"clone3 with SYS_ADMIN", "clone3", nil, admin, allow},
		{"personality PER_LINUX", "personality", []uint64{0}, "", allow},
		{"personality query", "personality", []uint64{0xffffffff}, "", allow},
		{"personality PER_LINUX32", "personality", []uint64{8}, "", allow},
		{"personality UNAME26", "personality", []uint64{0x20000}, "", allow},
		{"personality both", "personality", []uint64{0x20008}, "", allow},
		{"personality ADDR_NO_RANDOMIZE", "personality", []uint64{0x40000}, "", eperm},
		{"personality, bit 32 set", "personality", []uint64{1 << 32}, "", eperm},
		{"socket AF_UNIX", "socket", []uint64{unix.AF_UNIX}, "", allow},
		{"socket AF_NFC", "socket", []uint64{39}, "", allow},
		{"socket AF_XDP", "socket", []uint64{unix.AF_XDP}, "", allow},
		{"socket AF_ALG", "socket", []uint64{unix.AF_ALG}, "", eperm},
		{"socket AF_VSOCK", "socket", []uint64{unix.AF_VSOCK}, "", eperm},
		{"chroot", "chroot", nil, "", allow},
		{"keyctl", "keyctl", nil, "", eperm},
		{"bpf", "bpf", nil, "", eperm},
		{"bpf with BPF", "bpf", nil, "CAP_BPF", allow},
		{"perf_event_open", "perf_event_open", nil, "", eperm},
		{"io_uring_setup", "io_uring_setup", nil, "", eperm},
		{"userfaultfd", "userfaultfd", nil, "", eperm},
		{"ptrace", "ptrace", nil, "", allow},
		{"kexec_load", "kexec_load", nil, admin, eperm},
		{"reboot with SYS_BOOT", "reboot", nil, "CAP_SYS_BOOT", allow},
		{"settimeofday", "settimeofday", nil, "", eperm},
		{"ioctl TCGETS", "ioctl", []uint64{0, unix.TCGETS}, "", allow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			caps := dockerCaps
			if tt.cap != "" {
				caps = append([]string{tt.cap}, dockerCaps...)
			}
			c := call{nr: number(t, tt.call)}
			copy(c.args[:], tt.args)
			if got, _ := simulate(mustCompile(t, "", caps...), c); got != tt.want {
				t.Errorf("%s(%#x) = %s, want %s", tt.call, tt.args, show(got), show(tt.want))
			}
		})
	}
}

func TestForeignABI(t *testing.T) {
	const i386, arm = 0x40000003, 0x40000028
	for _, profile := range []string{"", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}`} {
		program := mustCompile(t, profile, dockerCaps...)
		for _, c := range []call{
			{nr: 3, arch: i386},
			{nr: 3, arch: arm},
			{nr: unix.SYS_READ | foreign},
			{nr: unix.SYS_IOCTL | foreign, args: [6]uint64{0, unix.TCGETS}},
			{nr: 0xffffffff},
		} {
			if got, _ := simulate(program, c); got != enosys {
				t.Errorf("profile %q, call %#x of arch %#x: %s, want ENOSYS", profile, c.nr, c.arch, show(got))
			}
		}
	}
}

// Threat 27: a program pushes input into the terminal of the caller.
func TestThreat27TIOCSTIFilter(t *testing.T) {
	profiles := map[string]string{
		"default":           "",
		"allows everything": `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}`,
		"allows ioctl":      `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW"}]}`,
		"allows this ioctl": `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
			"args": [{"index": 1, "value": 21522, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 21505, "op": "SCMP_CMP_EQ"}]}]}`,
		"logs everything": `{"defaultAction": "SCMP_ACT_LOG", "syscalls": []}`,
	}
	for name, profile := range profiles {
		for _, caps := range [][]string{nil, dockerCaps, {"CAP_SYS_ADMIN", "CAP_SYS_TTY_CONFIG"}} {
			program := mustCompile(t, profile, caps...)
			for _, request := range []uint64{tiocsti, tioclinux, 1<<32 | tiocsti, 1<<63 | tiocsti, 0xffffffff<<32 | tioclinux} {
				c := call{nr: unix.SYS_IOCTL, args: [6]uint64{0, request}}
				if got, _ := simulate(program, c); got != eperm {
					t.Errorf("profile that %s, caps %v: ioctl %#x = %s, want EPERM", name, caps, request, show(got))
				}
			}
			c := call{nr: unix.SYS_IOCTL, args: [6]uint64{0, unix.TCGETS}}
			if got, _ := simulate(program, c); got != allow && got != unix.SECCOMP_RET_LOG {
				t.Errorf("profile that %s: ioctl TCGETS = %s, the rule denies too much", name, show(got))
			}
		}
	}
}

// A filter is paid for at every call.
func TestFilterIsShort(t *testing.T) {
	program := mustCompile(t, "", dockerCaps...)
	for nr := range newestKnown() + 10 {
		if _, steps := simulate(program, call{nr: nr}); steps > 30 {
			t.Errorf("call %d takes %d instructions", nr, steps)
		}
	}
	if n := len(program) / 8; n > 400 {
		t.Errorf("%d instructions: neighbours with the same verdict are not one span", n)
	}
}

func BenchmarkCompileDefault(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(nil, dockerCaps); err != nil {
			b.Fatal(err)
		}
	}
}
