package seccomp

import (
	"fmt"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// ownerCalls change who files belong to, or whom the process runs as; the arguments
// from first on are ids.
var ownerCalls = []struct {
	name       string
	capability string
	first, ids uint32
}{
	{"chown", "CAP_CHOWN", 1, 2}, {"lchown", "CAP_CHOWN", 1, 2}, {"fchown", "CAP_CHOWN", 1, 2}, {"fchownat", "CAP_CHOWN", 2, 2},
	{"setuid", "CAP_SETUID", 0, 1}, {"setreuid", "CAP_SETUID", 0, 2}, {"setresuid", "CAP_SETUID", 0, 3},
	{"setgid", "CAP_SETGID", 0, 1}, {"setregid", "CAP_SETGID", 0, 2}, {"setresgid", "CAP_SETGID", 0, 3},
	{"setgroups", "CAP_SETGID", 0, 0},
}

// CompileSingle is Compile for a user namespace with the one id 0, where nothing can
// belong to anybody else. What a process with the capabilities could do in a larger
// one, make a file another's or become another, is answered with success, and not
// done: package managers and daemons go on. What the profile does not simply allow,
// and what names no other id, is as with Compile.
//
// It is no barrier that a program which "becomes" another user in such a namespace is
// still root of it. Outside it was the same user all the time.
func CompileSingle(profile []byte, caps []string) ([]byte, error) {
	return compile(profile, caps, func(p *policy) { p.pretend(caps) })
}

// pretend answers the calls that the capabilities are about.
func (p *policy) pretend(caps []string) {
	has := map[string]bool{}
	for _, c := range caps {
		has[c] = true
	}
	for _, call := range ownerCalls {
		nr, ok := lookup(call.name)
		if !ok || !has[call.capability] {
			continue
		}
		if v := p.verdict(nr); len(v.rules) > 0 || v.ret != unix.SECCOMP_RET_ALLOW {
			continue
		}
		v := verdict{ret: unix.SECCOMP_RET_ERRNO} // errno 0
		if call.ids == 3 {
			own := condition{index: 3, jump: unix.BPF_JEQ, mask: ^uint64(0), value: sys.OwnCall}
			v.rules = append(v.rules, rule{[]condition{own}, unix.SECCOMP_RET_ALLOW})
		}
		for n := range 1 << call.ids {
			if call.ids == 0 {
				break
			}
			v.rules = append(v.rules, rule{ownIDs(call.first, call.ids, n), unix.SECCOMP_RET_ALLOW})
		}
		p.calls[nr] = v
	}
}

// ownIDs are the conditions that each id is 0 or, where its bit in unset is one, -1,
// which leaves it as it is. The kernel takes 32 bits.
func ownIDs(first, ids uint32, unset int) []condition {
	var all []condition
	for i := range ids {
		c := condition{index: first + i, jump: unix.BPF_JEQ, mask: 1<<32 - 1}
		if unset&(1<<i) != 0 {
			c.value = 1<<32 - 1
		}
		all = append(all, c)
	}
	return all
}

// compile makes the policy of a profile, changed by change, into a program.
func compile(profile []byte, caps []string, change func(*policy)) ([]byte, error) {
	resolved, err := resolve(profile, caps)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	p, err := newPolicy(resolved)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	change(p)
	return encodeProgram(assemble(p))
}
