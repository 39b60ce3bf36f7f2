package seccomp

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// condition is a comparison of an argument of a call. BPF can tell =, > and >=;
// the others are their opposites.
type condition struct {
	index  uint32 // of the argument, from 0
	jump   uint16 // unix.BPF_JEQ, BPF_JGT or BPF_JGE
	negate bool
	mask   uint64 // applied to the argument; all ones but for BPF_JEQ
	value  uint64
}

// newCondition returns an error that starts with the field.
func newCondition(arg specs.LinuxSeccompArg) (condition, error) {
	if arg.Index > 5 {
		return condition{}, fmt.Errorf("index: %d: a system call has the arguments 0 to 5", arg.Index)
	}
	c := condition{index: uint32(arg.Index), mask: ^uint64(0), value: arg.Value}
	switch arg.Op {
	case specs.OpEqualTo:
		c.jump = unix.BPF_JEQ
	case specs.OpNotEqual:
		c.jump, c.negate = unix.BPF_JEQ, true
	case specs.OpGreaterThan:
		c.jump = unix.BPF_JGT
	case specs.OpLessEqual:
		c.jump, c.negate = unix.BPF_JGT, true
	case specs.OpGreaterEqual:
		c.jump = unix.BPF_JGE
	case specs.OpLessThan:
		c.jump, c.negate = unix.BPF_JGE, true
	case specs.OpMaskedEqual:
		// As libseccomp has it, the mask is for both sides: seccomp_rule_add(3).
		c.jump, c.mask, c.value = unix.BPF_JEQ, arg.Value, arg.ValueTwo&arg.Value
	default:
		return condition{}, fmt.Errorf("op: %q is not an operator", arg.Op)
	}
	return c, nil
}
