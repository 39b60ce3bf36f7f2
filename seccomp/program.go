package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data, seccomp(2). Both architectures are little
// endian: the low half of an argument comes first.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// program is written from its end to its start, since BPF jumps forward only: a
// target is there before the jump to it. An instruction is named by its distance
// from the end, which later ones do not change.
type program struct {
	code []unix.SockFilter // the last instruction first
	rets map[uint32]int    // newest return of each value
}

// assemble writes the program of a policy:
//
//	arch is not ours: return ENOSYS
//	search the number in the spans by halves
//	in a span: compare arguments, return
func assemble(p *policy) []unix.SockFilter {
	b := &program{rets: make(map[uint32]int)}
	search := b.search(p.spans())
	if search != len(b.code)-1 {
		b.emit(unix.BPF_JMP|unix.BPF_JA, b.distance(search))
	}
	nr := b.load(offsetNr)
	b.jump(unix.BPF_JEQ, auditArch, nr, b.ret(retENOSYS))
	b.load(offsetArch)
	slices.Reverse(b.code)
	return b.code
}

// search writes a binary tree over spans and returns its root. The number is in
// the accumulator.
func (b *program) search(spans []span) int {
	if len(spans) == 1 {
		return b.verdict(spans[0].verdict)
	}
	half := len(spans) / 2
	upper := b.search(spans[half:])
	lower := b.search(spans[:half])
	return b.jump(unix.BPF_JGE, spans[half].first, upper, lower)
}

func (b *program) verdict(v verdict) int {
	next := b.ret(v.ret)
	for _, r := range slices.Backward(v.rules) {
		match := b.ret(r.ret)
		for _, c := range slices.Backward(r.conditions) {
			match = b.condition(c, match, next)
		}
		next = match
	}
	return next
}

// condition writes a comparison that continues at yes or no.
func (b *program) condition(c condition, yes, no int) int {
	if c.negate {
		yes, no = no, yes
	}
	low := uint32(offsetArgs + 8*c.index)
	high := low + 4
	if c.jump == unix.BPF_JEQ {
		yes = b.equal(low, uint32(c.mask), uint32(c.value), yes, no)
		return b.equal(high, uint32(c.mask>>32), uint32(c.value>>32), yes, no)
	}
	b.jump(c.jump, uint32(c.value), yes, no)
	lows := b.load(low)
	same := b.jump(unix.BPF_JEQ, uint32(c.value>>32), lows, no)
	b.jump(unix.BPF_JGT, uint32(c.value>>32), yes, same)
	return b.load(high)
}

// equal compares the masked word at offset.
func (b *program) equal(offset, mask, value uint32, yes, no int) int {
	if mask == 0 {
		return yes
	}
	b.jump(unix.BPF_JEQ, value, yes, no)
	if mask != ^uint32(0) {
		b.emit(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask)
	}
	return b.load(offset)
}

func (b *program) emit(code uint16, k uint32) int {
	b.code = append(b.code, unix.SockFilter{Code: code, K: k})
	return len(b.code) - 1
}

// load puts a word of struct seccomp_data into the accumulator and goes on with
// the instruction written before it.
func (b *program) load(offset uint32) int {
	return b.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset)
}

// ret is a return of the value, an old one if there is one.
func (b *program) ret(value uint32) int {
	at, ok := b.rets[value]
	if !ok {
		at = b.emit(unix.BPF_RET|unix.BPF_K, value)
		b.rets[value] = at
	}
	return at
}

// jump goes to yes or no.
func (b *program) jump(op uint16, k uint32, yes, no int) int {
	// The detour of no comes between the jump and yes.
	yes = b.near(yes, 1)
	no = b.near(no, 0)
	jt, jf := uint8(b.distance(yes)), uint8(b.distance(no))
	at := b.emit(unix.BPF_JMP|op|unix.BPF_K, k)
	b.code[at].Jt, b.code[at].Jf = jt, jf
	return at
}

// near is target, or a detour to it if a conditional jump written next, after
// reserve more instructions, would not reach target with its 8 bits.
func (b *program) near(target, reserve int) int {
	if int(b.distance(target))+reserve <= 255 {
		return target
	}
	ins := b.code[target]
	if ins.Code == unix.BPF_RET|unix.BPF_K {
		b.rets[ins.K] = b.emit(ins.Code, ins.K)
		return b.rets[ins.K]
	}
	return b.emit(unix.BPF_JMP|unix.BPF_JA, b.distance(target))
}

// distance is the number of instructions that the next one has to skip.
func (b *program) distance(target int) uint32 {
	return uint32(len(b.code) - 1 - target)
}
