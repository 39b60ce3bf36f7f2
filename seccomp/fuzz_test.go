package seccomp

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzCompile: any text gives a program that the kernel would take and that
// denies TIOCSTI, or an error of one line.
func FuzzCompile(f *testing.F) {
	f.Add("", "CAP_SYS_ADMIN")
	f.Add(`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [null]}`, "")
	f.Add(profileOf(manyRules(40)...), "")
	f.Add(`{"defaultAction": "SCMP_ACT_KILL", "archMap": [{"architecture": "SCMP_ARCH_X86_64"}], "syscalls": [
		{"name": "ioctl", "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 255, "valueTwo": 1}],
		"includes": {"minKernel": "4.8", "caps": ["CAP_CHOWN"], "arches": ["amd64"]}, "excludes": {"caps": ["CAP_BPF"]}}]}`, "CAP_CHOWN")
	f.Fuzz(func(t *testing.T, profile, capability string) {
		program, err := Compile([]byte(profile), []string{capability})
		if err != nil {
			if msg := err.Error(); strings.Contains(msg, "\n") {
				t.Errorf("error of several lines: %q", msg)
			}
			return
		}
		if err := verify(program); err != nil {
			t.Fatal(err)
		}
		for _, request := range []uint64{tiocsti, 1<<40 | tioclinux} {
			c := call{nr: unix.SYS_IOCTL, args: [6]uint64{0, request}}
			if got, _ := simulate(program, c); got != eperm {
				t.Errorf("ioctl %#x = %s, want EPERM", request, show(got))
			}
		}
	})
}
