package seccomp

import (
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// call is a struct seccomp_data; arch 0 means the native one.
type call struct {
	nr   uint32
	arch uint32
	args [6]uint64
}

// bytes is call as the kernel shows it to a program.
func (c call) bytes() []byte {
	if c.arch == 0 {
		c.arch = auditArch
	}
	b := binary.NativeEndian.AppendUint32(nil, c.nr)
	b = binary.NativeEndian.AppendUint32(b, c.arch)
	b = binary.NativeEndian.AppendUint64(b, 0) // instruction pointer
	for _, arg := range c.args {
		b = binary.NativeEndian.AppendUint64(b, arg)
	}
	return b
}

func decodeProgram(program []byte) []unix.SockFilter {
	var code []unix.SockFilter
	for b := program; len(b) >= 8; b = b[8:] {
		code = append(code, unix.SockFilter{
			Code: binary.NativeEndian.Uint16(b),
			Jt:   b[2],
			Jf:   b[3],
			K:    binary.NativeEndian.Uint32(b[4:]),
		})
	}
	return code
}

// verify applies the rules of seccomp_check_filter and bpf_check_classic of the
// kernel, as far as the instructions used here go.
func verify(program []byte) error {
	code := decodeProgram(program)
	if len(program) == 0 || len(program)%8 != 0 || len(code) > 4096 {
		return fmt.Errorf("program of %d bytes", len(program))
	}
	for i, ins := range code {
		left := len(code) - i - 1
		ok := true
		switch ins.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			ok = ins.K%4 == 0 && ins.K < 64
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, unix.BPF_RET | unix.BPF_K:
		case unix.BPF_JMP | unix.BPF_JA:
			ok = uint64(ins.K) < uint64(left)
		case unix.BPF_JMP | unix.BPF_JEQ, unix.BPF_JMP | unix.BPF_JGT, unix.BPF_JMP | unix.BPF_JGE:
			ok = int(ins.Jt) < left && int(ins.Jf) < left
		default:
			ok = false
		}
		if !ok {
			return fmt.Errorf("instruction %d of %d is not valid: %+v", i, len(code), ins)
		}
	}
	if last := code[len(code)-1]; last.Code != unix.BPF_RET|unix.BPF_K {
		return fmt.Errorf("program does not end in a return: %+v", last)
	}
	return nil
}

// simulate runs a verified program and gives what it returns, and the number of
// instructions that took.
func simulate(program []byte, c call) (ret uint32, steps int) {
	return step(decodeProgram(program), c)
}

func step(code []unix.SockFilter, c call) (ret uint32, steps int) {
	data := c.bytes()
	acc := uint32(0)
	for pc := 0; ; pc++ {
		steps++
		ins := code[pc]
		taken := false
		switch ins.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.NativeEndian.Uint32(data[ins.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= ins.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return ins.K, steps
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(ins.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ:
			taken = acc == ins.K
		case unix.BPF_JMP | unix.BPF_JGT:
			taken = acc > ins.K
		case unix.BPF_JMP | unix.BPF_JGE:
			taken = acc >= ins.K
		}
		if taken {
			pc += int(ins.Jt)
		} else {
			pc += int(ins.Jf)
		}
	}
}

// mustCompile compiles and verifies.
func mustCompile(t testing.TB, profile string, caps ...string) []byte {
	t.Helper()
	program, err := Compile([]byte(profile), caps)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	if err := verify(program); err != nil {
		t.Fatal(err)
	}
	return program
}

// number is the number of a system call by name.
func number(t testing.TB, name string) uint32 {
	t.Helper()
	nr, ok := lookup(name)
	if !ok {
		t.Fatalf("%s is not in the table", name)
	}
	return nr
}

// show names a return value for messages.
func show(ret uint32) string {
	switch ret {
	case unix.SECCOMP_RET_ALLOW:
		return "allow"
	case retEPERM:
		return "EPERM"
	case retENOSYS:
		return "ENOSYS"
	}
	return fmt.Sprintf("%#x", ret)
}

const (
	allow  = uint32(unix.SECCOMP_RET_ALLOW)
	eperm  = uint32(retEPERM)
	enosys = uint32(retENOSYS)
)
