package seccomp

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Requests of ioctl(2) that put input into a terminal, ioctl_tty(2) and
// ioctl_console(2).
const (
	tiocsti   = unix.TIOCSTI
	tioclinux = 0x541c
)

// rule is an action with the conditions that must all hold.
type rule struct {
	conditions []condition
	ret        uint32 // what the program returns to the kernel
}

// verdict is everything a policy says about one call.
type verdict struct {
	rules []rule // the first that matches counts
	ret   uint32 // when none does
}

func (v verdict) equal(w verdict) bool {
	return v.ret == w.ret && slices.EqualFunc(v.rules, w.rules, rule.equal)
}

func (r rule) equal(s rule) bool {
	return r.ret == s.ret && slices.Equal(r.conditions, s.conditions)
}

// policy is a profile with numbers instead of names.
type policy struct {
	calls  map[uint32]verdict // the calls that rules are about
	other  uint32             // for calls without a rule
	newest uint32             // calls above it are newer than the profile
	newer  uint32             // for those
}

// span is a run of numbers, up to the next span, with the same verdict.
type span struct {
	first uint32
	verdict
}

func newPolicy(profile *specs.LinuxSeccomp) (*policy, error) {
	other, err := action(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	p := &policy{calls: make(map[uint32]verdict), other: other, newest: newest(profile), newer: retENOSYS}
	if other == unix.SECCOMP_RET_ALLOW || other == unix.SECCOMP_RET_LOG {
		p.newer = other
	}
	decided := make(map[uint32]bool)
	for _, call := range profile.Syscalls {
		ret, err := action(call.Action, call.ErrnoRet)
		if err != nil {
			return nil, err
		}
		if ret == other {
			continue
		}
		rules, err := newRules(call.Args, ret)
		if err != nil {
			return nil, err
		}
		for _, name := range call.Names {
			nr, ok := lookup(name)
			if !ok || decided[nr] {
				continue
			}
			if len(rules) == 0 {
				decided[nr] = true
				p.calls[nr] = verdict{ret: ret}
				continue
			}
			p.add(nr, rules)
		}
	}
	p.denyTerminalInput()
	return p, nil
}

// newest is the largest number that the profile's author knew.
func newest(profile *specs.LinuxSeccomp) uint32 {
	if !slices.Contains(profile.Architectures, nativeArch) {
		return newestKnown()
	}
	newest := uint32(0)
	for _, call := range profile.Syscalls {
		for _, name := range call.Names {
			if nr, ok := lookup(name); ok {
				newest = max(newest, nr)
			}
		}
	}
	return newest
}

// newRules makes one rule of all args, or one of each when two of them are about
// the same argument: Docker took every argument for a rule of its own once, and
// profiles rely on it to list several values.
func newRules(args []specs.LinuxSeccompArg, ret uint32) ([]rule, error) {
	var all []condition
	var same bool
	for _, arg := range args {
		c, err := newCondition(arg)
		if err != nil {
			return nil, err
		}
		same = same || slices.ContainsFunc(all, func(d condition) bool { return d.index == c.index })
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, nil
	}
	if !same {
		return []rule{{all, ret}}, nil
	}
	var rules []rule
	for _, c := range all {
		rules = append(rules, rule{[]condition{c}, ret})
	}
	return rules, nil
}

// add appends rules to those of a call, but for repetitions.
func (p *policy) add(nr uint32, rules []rule) {
	v := p.verdict(nr)
	for _, r := range rules {
		if !slices.ContainsFunc(v.rules, r.equal) {
			v.rules = append(v.rules, r)
		}
	}
	p.calls[nr] = v
}

// denyTerminalInput puts the rule of our own before those of the profile.
func (p *policy) denyTerminalInput() {
	v := p.verdict(unix.SYS_IOCTL)
	var rules []rule
	for _, request := range []uint64{tiocsti, tioclinux} {
		// The kernel takes the request as an unsigned int. Comparing 64 bits
		// lets 1<<32|TIOCSTI pass (CVE-2019-10063).
		low := condition{index: 1, jump: unix.BPF_JEQ, mask: 1<<32 - 1, value: request}
		rules = append(rules, rule{[]condition{low}, retEPERM})
	}
	v.rules = append(rules, v.rules...)
	p.calls[unix.SYS_IOCTL] = v
}

// verdict is what the policy says about any number.
func (p *policy) verdict(nr uint32) verdict {
	switch v, ok := p.calls[nr]; {
	case ok:
		return v
	case nr >= foreign:
		return verdict{ret: retENOSYS}
	case nr > p.newest:
		return verdict{ret: p.newer}
	}
	return verdict{ret: p.other}
}

// spans covers all numbers, in order, with as few spans as possible.
func (p *policy) spans() []span {
	starts := []uint32{0, p.newest + 1, foreign}
	for nr := range p.calls {
		starts = append(starts, nr, nr+1)
	}
	slices.Sort(starts)
	var spans []span
	for _, nr := range slices.Compact(starts) {
		v := p.verdict(nr)
		if n := len(spans); n == 0 || !spans[n-1].equal(v) {
			spans = append(spans, span{nr, v})
		}
	}
	return spans
}
