package pid1

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// calls lists a script, one system call a line, with the arguments that matter.
// Drops of the bounding set are counted.
func calls(s *sys.Script) string {
	var text strings.Builder
	list := reflect.ValueOf(s).Elem().FieldByName("calls")
	var kept uint64 = 1<<64 - 1
	for i := range list.Len() {
		c := list.Index(i)
		name := c.FieldByName("name").String()
		args := c.FieldByName("args")
		if name == "prctl PR_CAPBSET_DROP" {
			kept &^= 1 << args.Index(1).Uint()
			continue
		}
		if kept != 1<<64-1 {
			fmt.Fprintf(&text, "drop all of the bounding set but %x\n", kept)
			kept = 1<<64 - 1
		}
		text.WriteString(name)
		switch name {
		case "setresuid", "setresgid", "close_range":
			fmt.Fprintf(&text, " %d %d %d", args.Index(0).Uint(), args.Index(1).Uint(), args.Index(2).Uint())
		case "setgroups":
			fmt.Fprintf(&text, " %d", args.Index(0).Uint())
		case "prctl PR_SET_KEEPCAPS", "prctl PR_SET_PDEATHSIG", "prctl PR_SET_NO_NEW_PRIVS":
			fmt.Fprintf(&text, " %d", args.Index(1).Uint())
		case "capset":
			text.WriteString(capData(s))
		}
		text.WriteString("\n")
	}
	return text.String()
}

// capData finds the argument of capset among what the calls point to.
func capData(s *sys.Script) string {
	keep := reflect.ValueOf(s).Elem().FieldByName("keep")
	var permitted, effective, inheritable uint64
	for i := range keep.Len() {
		v := keep.Index(i).Elem().Elem()
		if v.Type() != reflect.TypeFor[[2]unix.CapUserData]() {
			continue
		}
		for j := range 2 {
			permitted |= v.Index(j).FieldByName("Permitted").Uint() << (32 * j)
			effective |= v.Index(j).FieldByName("Effective").Uint() << (32 * j)
			inheritable |= v.Index(j).FieldByName("Inheritable").Uint() << (32 * j)
		}
	}
	return fmt.Sprintf(" permitted %x effective %x inheritable %x", permitted, effective, inheritable)
}

const (
	bounding = "drop all of the bounding set but 8000000005\n"
	filtered = "seccomp\n"
	death    = "prctl PR_SET_PDEATHSIG 9\n"
	noNew    = "prctl PR_SET_NO_NEW_PRIVS 1\n"
	ambient  = "prctl PR_CAP_AMBIENT_CLEAR_ALL\n"
	last     = "close_range 3 4294967295 4\n"
)

// The order in which privileges go is the security of it: a change must be meant.
func TestBecomeOrder(t *testing.T) {
	const caps = 1<<39 | 1<<2 | 1<<0
	nobody := identity{uid: 65534, gid: 1000, groups: []int{4, 5}}
	ret := []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}
	for name, c := range map[string]struct {
		program   Program
		id        identity
		setgroups bool
		want      string
	}{
		"root": {Program{Caps: caps, Seccomp: ret}, identity{}, true, bounding + filtered +
			"setgroups 1\nprctl PR_SET_KEEPCAPS 1\nsetresgid 0 0 0\nsetresuid 0 0 0\n" +
			ambient + "capset permitted 8000000001 effective 8000000001 inheritable 0\n" + death + last},
		"another user": {Program{Caps: caps, Seccomp: ret}, nobody, true, bounding + filtered +
			"setgroups 3\nprctl PR_SET_KEEPCAPS 1\nsetresgid 1000 1000 1000\nsetresuid 65534 65534 65534\n" +
			ambient + "capset permitted 0 effective 0 inheritable 0\n" + death + last},
		// The filter could forbid what comes before it; with no_new_privs it can be last.
		"no new privileges": {Program{Caps: caps, Seccomp: ret, NoNewPrivs: true}, nobody, true, bounding +
			"setgroups 3\nprctl PR_SET_KEEPCAPS 1\nsetresgid 1000 1000 1000\nsetresuid 65534 65534 65534\n" +
			ambient + "capset permitted 0 effective 0 inheritable 0\n" + death + noNew + filtered + last},
		"unconfined, a namespace of one id": {Program{Caps: caps, OOMScoreAdj: new(int), Rlimits: []api.Rlimit{{Name: "core"}, {Name: "nofile", Soft: 1, Hard: 2}}}, identity{}, false,
			"prlimit64 core\nprlimit64 nofile\nopen oom_score_adj\nwrite oom_score_adj\n" + bounding +
				"prctl PR_SET_KEEPCAPS 1\nsetresgid 0 0 0\nsetresuid 0 0 0\n" +
				ambient + "capset permitted 8000000001 effective 8000000001 inheritable 0\n" + death + last},
	} {
		var s sys.Script
		if err := c.program.become(&s, c.id, ^uint64(1<<2), c.setgroups); err != nil {
			t.Fatal(err)
		}
		if got := calls(&s); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}

// What the kernel says after it all.
func TestBecomeForReal(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	const caps = 1<<5 | 1<<0
	score := 777
	for _, nnp := range []bool{false, true} {
		p := Program{Caps: caps, NoNewPrivs: nnp, Rlimits: []api.Rlimit{{Name: "nofile", Soft: 20, Hard: 30}},
			OOMScoreAdj: &score, Seccomp: []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}} // ret ALLOW
		var s sys.Script
		have, err := permitted()
		if err != nil {
			t.Fatal(err)
		}
		setgroups, err := hasSetgroups("self")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.become(&s, identity{}, have, setgroups); err != nil {
			t.Fatal(err)
		}
		out := output(t, &sys.Entry{Paths: []string{"/bin/sh"}, Script: &s,
			Args: []string{"sh", "-c", "cat /proc/self/status; echo score $(cat /proc/self/oom_score_adj); echo soft $(ulimit -Sn) hard $(ulimit -Hn); test -e /proc/$$/fd/3 && echo leaked || echo closed"}})
		for _, want := range []string{
			"CapInh:\t0000000000000000", "CapPrm:\t0000000000000021", "CapEff:\t0000000000000021", "CapBnd:\t0000000000000021",
			"CapAmb:\t0000000000000000", "Seccomp:\t2", fmt.Sprintf("NoNewPrivs:\t%d", map[bool]int{true: 1}[nnp]),
			"Uid:\t0\t0\t0\t0", "soft 20 hard 30", "score 777", "closed",
		} {
			if !strings.Contains(out, want+"\n") {
				t.Errorf("no_new_privs %t: %q is not in\n%s", nnp, want, out)
			}
		}
	}
}

// output runs a program and gives what it prints.
func output(t *testing.T, e *sys.Entry) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	leak, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	// The fourth would be a door.
	e.Files = []*os.File{os.Stdin, file, file, leak}
	e.Env = []string{"PATH=/usr/bin:/bin"}
	pid, err := e.Start()
	if err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	for {
		if _, err = unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	text, readErr := os.ReadFile(file.Name())
	if err := errors.Join(err, readErr); err != nil || status != 0 {
		t.Errorf("status %#x, %v: %s", status, err, text)
	}
	return string(text)
}

func TestRlimitCallsRefuseUnknown(t *testing.T) {
	for _, name := range []string{"", "nofiles", "NOFILE", "RLIMIT_NOFILE"} {
		var s sys.Script
		err := rlimitCalls(&s, []api.Rlimit{{Name: "core"}, {Name: name}})
		var e *api.Error
		if !errors.As(err, &e) || e.Path != name {
			t.Errorf("%q: %v", name, err)
		}
	}
	if len(rlimits) != unix.RLIMIT_RTTIME+1 {
		t.Errorf("%d limits have a name, Linux has %d", len(rlimits), unix.RLIMIT_RTTIME+1)
	}
}

func TestExplain(t *testing.T) {
	for call, hint := range map[*os.SyscallError]string{
		{Syscall: "prlimit64 nofile", Err: unix.EPERM}:     "ulimit -H",
		{Syscall: "setresuid", Err: unix.EINVAL}:           "sbx doctor",
		{Syscall: "setgroups", Err: unix.EINVAL}:           "sbx doctor",
		{Syscall: "setresuid", Err: unix.EAGAIN}:           "ulimit -u",
		{Syscall: "write oom_score_adj", Err: unix.EACCES}: "--oom-score-adj",
		{Syscall: "seccomp", Err: unix.EPERM}:              "",
	} {
		var e *api.Error
		err := explain(call)
		if !errors.As(err, &e) || !errors.Is(err, call.Err) || !strings.Contains(e.Hint, hint) || hint == "" && e.Hint != "" {
			t.Errorf("%v: %v", call, err)
		}
	}
}
