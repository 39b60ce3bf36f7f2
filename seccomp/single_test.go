package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

func TestCompileSingle(t *testing.T) {
	const pretended, other = unix.SECCOMP_RET_ERRNO, 33
	const unset, minus = 1<<32 - 1, ^uint64(0)
	caps := []string{"CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"}
	for _, c := range []struct {
		name string
		caps []string
		call call
		want uint32
	}{
		{"chown to another", caps, call{nr: unix.SYS_FCHOWN, args: [6]uint64{3, other, other}}, pretended},
		{"chown to another group", caps, call{nr: unix.SYS_FCHOWN, args: [6]uint64{3, 0, other}}, pretended},
		{"chown to oneself", caps, call{nr: unix.SYS_FCHOWN, args: [6]uint64{3, 0, unset}}, unix.SECCOMP_RET_ALLOW},
		{"chown to nobody, in 64 bits", caps, call{nr: unix.SYS_FCHOWN, args: [6]uint64{3, minus, minus}}, unix.SECCOMP_RET_ALLOW},
		{"fchownat", caps, call{nr: unix.SYS_FCHOWNAT, args: [6]uint64{3, 0, other, 0}}, pretended},
		{"fchownat to oneself, of a path at 33", caps, call{nr: unix.SYS_FCHOWNAT, args: [6]uint64{3, other, 0, 0, other}}, unix.SECCOMP_RET_ALLOW},
		{"without the capability", caps[1:], call{nr: unix.SYS_FCHOWN, args: [6]uint64{3, other, other}}, unix.SECCOMP_RET_ALLOW},
		{"setresuid", caps, call{nr: unix.SYS_SETRESUID, args: [6]uint64{other, other, other}}, pretended},
		{"setresuid, saved only", caps, call{nr: unix.SYS_SETRESUID, args: [6]uint64{unset, 0, other}}, pretended},
		{"setresuid of our own", caps, call{nr: unix.SYS_SETRESUID, args: [6]uint64{other, other, other, sys.OwnCall}}, unix.SECCOMP_RET_ALLOW},
		{"setresuid to root", caps, call{nr: unix.SYS_SETRESUID, args: [6]uint64{0, unset, 0}}, unix.SECCOMP_RET_ALLOW},
		{"setgid", caps, call{nr: unix.SYS_SETGID, args: [6]uint64{other}}, pretended},
		{"setgroups", caps, call{nr: unix.SYS_SETGROUPS, args: [6]uint64{1}}, pretended},
		{"something else", caps, call{nr: unix.SYS_GETPID}, unix.SECCOMP_RET_ALLOW},
		{"what the profile denies", caps, call{nr: unix.SYS_KEYCTL}, retEPERM},
	} {
		program, err := CompileSingle(nil, c.caps)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(program); err != nil {
			t.Fatal(err)
		}
		if got, _ := simulate(program, c.call); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	// A profile that has its own mind about a call keeps it.
	program, err := CompileSingle([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["fchown"],"action":"SCMP_ACT_ERRNO","errnoRet":7}]}`), caps)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := simulate(program, call{nr: unix.SYS_FCHOWN, args: [6]uint64{3, other, other}}); got != unix.SECCOMP_RET_ERRNO|7 {
		t.Errorf("a denied fchown: %#x", got)
	}
}
