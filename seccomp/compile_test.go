package seccomp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// profileOf makes a profile for this architecture that allows everything and has
// these rules.
func profileOf(rules ...string) string {
	return fmt.Sprintf(`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": [%q], "syscalls": [%s]}`,
		nativeArch, strings.Join(rules, ","))
}

func TestOperators(t *testing.T) {
	const big = 5<<32 | 7
	tests := []struct {
		op       string
		value    uint64
		valueTwo uint64
		match    []uint64
		miss     []uint64
	}{
		{"EQ", big, 0, []uint64{big}, []uint64{7, 5 << 32, big + 1, big - 1, big | 1<<63}},
		{"NE", big, 0, []uint64{7, 5 << 32, big + 1}, []uint64{big}},
		{"LT", big, 0, []uint64{0, 7, big - 1, 4<<32 | 9}, []uint64{big, big + 1, 6 << 32, 1 << 63}},
		{"LE", big, 0, []uint64{0, big, 4<<32 | 9}, []uint64{big + 1, 6 << 32}},
		{"GE", big, 0, []uint64{big, big + 1, 6 << 32, ^uint64(0)}, []uint64{0, big - 1, 4<<32 | 9}},
		{"GT", big, 0, []uint64{big + 1, 6 << 32, 1 << 63}, []uint64{big, big - 1, 4<<32 | 9}},
		{"GT", ^uint64(0), 0, nil, []uint64{0, ^uint64(0)}},
		{"LE", ^uint64(0), 0, []uint64{0, ^uint64(0)}, nil},
		{"MASKED_EQ", 0xf0, 0x50, []uint64{0x50, 0x5f, 1<<63 | 0x50}, []uint64{0, 0x60, 0x0f}},
		{"MASKED_EQ", 0xf << 32, 3 << 32, []uint64{3 << 32, 0x13<<32 | 9}, []uint64{3, 4 << 32}},
		{"MASKED_EQ", 0xf<<32 | 0xf, 3<<32 | 4, []uint64{3<<32 | 4}, []uint64{3 << 32, 4, 3<<32 | 5}},
		{"MASKED_EQ", 0, 0, []uint64{0, 1, ^uint64(0)}, nil},
		{"MASKED_EQ", 0xf0, 0xfff5f, []uint64{0x50}, []uint64{0xf0}},
	}
	for _, tt := range tests {
		rule := fmt.Sprintf(`{"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": [
			{"index": 3, "op": "SCMP_CMP_%s", "value": %d, "valueTwo": %d}]}`, tt.op, tt.value, tt.valueTwo)
		program := mustCompile(t, profileOf(rule))
		for i, args := range [][]uint64{tt.miss, tt.match} {
			want := []uint32{allow, unix.SECCOMP_RET_ERRNO | 5}[i]
			for _, arg := range args {
				c := call{nr: number(t, "kill"), args: [6]uint64{9, 9, 9, arg, 9, 9}}
				if got, _ := simulate(program, c); got != want {
					t.Errorf("%s %#x %#x: argument %#x gives %s, want %s", tt.op, tt.value, tt.valueTwo, arg, show(got), show(want))
				}
			}
		}
	}
}

func TestActions(t *testing.T) {
	tests := map[string]uint32{
		`"SCMP_ACT_ALLOW"`:                      unix.SECCOMP_RET_ALLOW,
		`"SCMP_ACT_LOG"`:                        unix.SECCOMP_RET_LOG,
		`"SCMP_ACT_TRAP"`:                       unix.SECCOMP_RET_TRAP,
		`"SCMP_ACT_KILL"`:                       unix.SECCOMP_RET_KILL_THREAD,
		`"SCMP_ACT_KILL_THREAD"`:                unix.SECCOMP_RET_KILL_THREAD,
		`"SCMP_ACT_KILL_PROCESS"`:               unix.SECCOMP_RET_KILL_PROCESS,
		`"SCMP_ACT_ERRNO"`:                      eperm,
		`"SCMP_ACT_ERRNO", "errnoRet": 0`:       unix.SECCOMP_RET_ERRNO,
		`"SCMP_ACT_ERRNO", "errnoRet": 13`:      unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES),
		`"SCMP_ACT_KILL_PROCESS","errnoRet": 1`: unix.SECCOMP_RET_KILL_PROCESS,
	}
	for action, want := range tests {
		program := mustCompile(t, profileOf(`{"names": ["kill"], "action": `+action+`}`))
		if got, _ := simulate(program, call{nr: number(t, "kill")}); got != want {
			t.Errorf("rule with %s returns %#x, want %#x", action, got, want)
		}
		profile := `{"defaultAction": ` + strings.Replace(action, "errnoRet", "defaultErrnoRet", 1) + `}`
		program = mustCompile(t, profile)
		if got, _ := simulate(program, call{nr: number(t, "kill")}); got != want {
			t.Errorf("default with %s returns %#x, want %#x", action, got, want)
		}
	}
}

func TestRulesOfOneCall(t *testing.T) {
	arg := func(index, value int) string {
		return fmt.Sprintf(`{"index": %d, "op": "SCMP_CMP_EQ", "value": %d}`, index, value)
	}
	rule := func(action string, args ...string) string {
		return fmt.Sprintf(`{"names": ["no_such_call", "kill"], "action": "SCMP_ACT_%s", "args": [%s]}`, action, strings.Join(args, ","))
	}
	const logged, trapped = unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRAP
	tests := []struct {
		name  string
		rules []string
		args  [6]uint64
		want  uint32
	}{
		{"all arguments must match: they do", []string{rule("TRAP", arg(0, 1), arg(1, 2))}, [6]uint64{1, 2}, trapped},
		{"all arguments must match: one does", []string{rule("TRAP", arg(0, 1), arg(1, 2))}, [6]uint64{1, 3}, allow},
		{"same argument twice: first", []string{rule("TRAP", arg(0, 1), arg(0, 2))}, [6]uint64{1}, trapped},
		{"same argument twice: second", []string{rule("TRAP", arg(0, 1), arg(0, 2))}, [6]uint64{2}, trapped},
		{"same argument twice: none", []string{rule("TRAP", arg(0, 1), arg(0, 2))}, [6]uint64{3}, allow},
		{"first rule that matches", []string{rule("LOG", arg(0, 1)), rule("TRAP", arg(1, 1))}, [6]uint64{1, 1}, logged},
		{"second rule", []string{rule("LOG", arg(0, 1)), rule("TRAP", arg(1, 1))}, [6]uint64{0, 1}, trapped},
		{"no arguments overrides arguments", []string{rule("LOG", arg(0, 1)), rule("TRAP")}, [6]uint64{1}, trapped},
		{"no arguments overrides later arguments", []string{rule("TRAP"), rule("LOG", arg(0, 1))}, [6]uint64{1}, trapped},
		{"first without arguments", []string{rule("TRAP"), rule("LOG")}, [6]uint64{}, trapped},
		{"default action says nothing", []string{rule("ALLOW"), rule("TRAP", arg(0, 1))}, [6]uint64{1}, trapped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			program := mustCompile(t, profileOf(tt.rules...))
			if got, _ := simulate(program, call{nr: number(t, "kill"), args: tt.args}); got != tt.want {
				t.Errorf("kill%v = %s, want %s", tt.args, show(got), show(tt.want))
			}
		})
	}
}

func TestNewerCalls(t *testing.T) {
	const eacces = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)
	const denying = `{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, %s "syscalls": [
		{"names": ["statx", "no_such_call"], "action": "SCMP_ACT_ALLOW"}]}`
	listed := fmt.Sprintf(denying, fmt.Sprintf(`"archMap": [{"architecture": %q}],`, nativeArch))
	permissive := fmt.Sprintf(`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": [%q],
		"syscalls": [{"names": ["kill"], "action": "SCMP_ACT_ERRNO"}]}`, nativeArch)
	oldest := "read" // 0 on amd64
	if number(t, "io_setup") == 0 {
		oldest = "io_setup" // 0 on arm64
	}
	tests := []struct {
		name    string
		profile string
		nr      uint32
		want    uint32
	}{
		{"named", listed, number(t, "statx"), allow},
		{"older than the profile", listed, number(t, "kill"), eacces},
		{"newer than the profile", listed, number(t, "statx") + 1, enosys},
		{"architecture not listed, known call", fmt.Sprintf(denying, ""), number(t, "mseal"), eacces},
		{"architecture not listed, newest", fmt.Sprintf(denying, ""), newestKnown(), eacces},
		{"architecture not listed, newer", fmt.Sprintf(denying, ""), newestKnown() + 1, enosys},
		{"permissive default", permissive, newestKnown() + 1, allow},
		{"ioctl newer than the profile", fmt.Sprintf(`{"defaultAction": "SCMP_ACT_ERRNO", "architectures": [%q],
			"syscalls": [{"names": [%q], "action": "SCMP_ACT_ALLOW"}]}`, nativeArch, oldest), unix.SYS_IOCTL, enosys},
	}
	for _, tt := range tests {
		if got, _ := simulate(mustCompile(t, tt.profile), call{nr: tt.nr}); got != tt.want {
			t.Errorf("%s: call %d = %s, want %s", tt.name, tt.nr, show(got), show(tt.want))
		}
	}
}

func TestProfileErrors(t *testing.T) {
	rule := func(fields string) string { return profileOf(`{"names": ["kill"], "action": "SCMP_ACT_LOG"}`, fields) }
	tests := []struct{ name, profile, want string }{
		{"not JSON", "{\n  \"defaultAction\": oops}", "line 2, column 20: invalid character"},
		{"cut off", `{"defaultAction"`, "line 1, column 16: unexpected end"},
		{"blank", " \n", "line 2, column 0: unexpected end"},
		{"wrong type", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"args": [{"index": -1}]}]}`, "line 1, column 71: syscalls.args.index: number -1 where a number from 0 on is expected"},
		{"array", `[]`, "profile: array where an object is expected"},
		{"null", `null`, "defaultAction is missing"},
		{"empty object", `{}`, "defaultAction is missing"},
		{"unknown default", `{"defaultAction": "ALLOW"}`, `defaultAction: "ALLOW" is not an action`},
		{"null rule", rule(`null`), "syscalls[1]: null"},
		{"no action", rule(`{"names": ["kill"]}`), `syscalls[1].action: "" is not an action`},
		{"unknown action", rule(`{"names": ["kill"], "action": "SCMP_ACT_EAT"}`), `syscalls[1].action: "SCMP_ACT_EAT"`},
		{"trace", rule(`{"names": ["kill"], "action": "SCMP_ACT_TRACE"}`), "syscalls[1].action: SCMP_ACT_TRACE needs"},
		{"notify", rule(`{"names": ["kill"], "action": "SCMP_ACT_NOTIFY"}`), "syscalls[1].action: SCMP_ACT_NOTIFY needs"},
		{"errno", rule(`{"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 65536}`), "syscalls[1].action: errno 65536"},
		{"operator", rule(`{"names": ["kill"], "action": "SCMP_ACT_LOG", "args": [{"op": "SCMP_CMP_EQ"}, {"op": "="}]}`), `syscalls[1].args[1].op: "="`},
		{"argument", rule(`{"names": ["kill"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}`), "syscalls[1].args[0].index: 6"},
		{"kernel version", rule(`{"names": ["kill"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": ["4",` + "\n" + `"8"]}}`), "invalid kernel version"},
		{"flag", `{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}`, `flags[0]: "SECCOMP_FILTER_FLAG_LOG"`},
		{"listener", `{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"}`, "listenerPath"},
		{"name and names", rule(`{"name": "kill", "names": ["kill"], "action": "SCMP_ACT_LOG"}`), "'name' and 'names'"},
		{"too large", profileOf(manyRules(1500)...), "BPF instructions, the kernel takes 4096"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile([]byte(tt.profile), nil)
			if err == nil {
				t.Fatal("no error")
			}
			if msg := err.Error(); !strings.Contains(msg, tt.want) || strings.Contains(msg, "\n") || !strings.HasPrefix(msg, "seccomp profile: ") {
				t.Errorf("error %q, want one line with %q", msg, tt.want)
			}
		})
	}
}

// manyRules makes n rules with an argument each, over several calls and actions.
func manyRules(n int) []string {
	names := []string{"kill", "mount", "socket", "prctl", "fcntl", "openat"}
	actions := []string{`"SCMP_ACT_LOG"`, `"SCMP_ACT_TRAP"`, `"SCMP_ACT_ERRNO"`, `"SCMP_ACT_ERRNO", "errnoRet": 22`}
	var rules []string
	for i := range n {
		rules = append(rules, fmt.Sprintf(`{"names": [%q], "action": %s, "args": [{"index": %d, "op": "SCMP_CMP_EQ", "value": %d}]}`,
			names[i%len(names)], actions[i%len(actions)], i%3, i))
	}
	return rules
}

// Rules beyond the reach of 8-bit jumps must still be reached.
func TestLongProgram(t *testing.T) {
	program := mustCompile(t, profileOf(manyRules(800)...))
	if n := len(program) / 8; n < 1500 {
		t.Fatalf("%d instructions are too few to test anything", n)
	}
	against(t, profileOf(manyRules(800)...), program)
}

// TestRandomPolicies compares programs with a direct reading of their policies.
func TestRandomPolicies(t *testing.T) {
	against(t, "", mustCompile(t, ""))
	rnd := rand.New(rand.NewPCG(1, 2))
	ops := []string{"EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"}
	acts := []string{"ALLOW", "LOG", "ERRNO", "KILL", "TRAP"}
	for range 60 {
		var rules []string
		for range rnd.IntN(60) {
			var args []string
			for range rnd.IntN(4) {
				args = append(args, fmt.Sprintf(`{"index": %d, "op": "SCMP_CMP_%s", "value": %d, "valueTwo": %d}`,
					rnd.IntN(6), ops[rnd.IntN(len(ops))], sample(rnd), sample(rnd)))
			}
			rules = append(rules, fmt.Sprintf(`{"names": [%q, %q], "action": "SCMP_ACT_%s", "args": [%s]}`,
				syscalls[rnd.IntN(len(syscalls))].name, syscalls[rnd.IntN(9)].name, acts[rnd.IntN(len(acts))], strings.Join(args, ",")))
		}
		profile := strings.Replace(profileOf(rules...), "ALLOW", acts[rnd.IntN(len(acts))], 1)
		against(t, profile, mustCompile(t, profile))
	}
}

// sample picks values that collide often, in both halves.
func sample(rnd *rand.Rand) uint64 {
	half := []uint64{0, 1, 2, 0x5412, 0x7fffffff, 0xffffffff}
	return half[rnd.IntN(len(half))]<<32 | half[rnd.IntN(len(half))]
}

// against checks program on every call with several arguments.
func against(t *testing.T, profile string, program []byte) {
	t.Helper()
	resolved, err := resolve([]byte(profile), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPolicy(resolved)
	if err != nil {
		t.Fatal(err)
	}
	code := decodeProgram(program)
	rnd := rand.New(rand.NewPCG(3, 4))
	for nr := range newestKnown() + 3 {
		for i := range 30 {
			c := call{nr: nr}
			for a := range c.args {
				c.args[a] = sample(rnd)
				if i%2 == 0 {
					c.args[a] = rnd.Uint64N(900)
				}
			}
			want := read(p.verdict(nr), c.args)
			if got, _ := step(code, c); got != want {
				t.Fatalf("call %d%#x = %s, want %s; profile %s", nr, c.args, show(got), show(want), profile)
			}
		}
	}
}

// read applies a verdict as its documentation says.
func read(v verdict, args [6]uint64) uint32 {
	for _, r := range v.rules {
		all := true
		for _, c := range r.conditions {
			arg := args[c.index] & c.mask
			holds := arg == c.value
			switch c.jump {
			case unix.BPF_JGT:
				holds = arg > c.value
			case unix.BPF_JGE:
				holds = arg >= c.value
			}
			all = all && holds != c.negate
		}
		if all {
			return r.ret
		}
	}
	return v.ret
}
