package binfmt

import (
	"bytes"
	"encoding/binary"
)

// machine is a kind of processor, as the head of an ELF file names it, elf(5).
type machine struct {
	class byte   // 1: 32 bits, 2: 64
	order byte   // 1: little endian, 2: big
	elf   uint16 // e_machine
	flags uint32 // e_flags
	qemu  string // how QEMU calls it
	exit  []byte // instructions: exit with probeStatus
}

const (
	little = 1
	big    = 2
)

// probeStatus is the exit status of a program that was really executed.
const probeStatus = 42

// machines by the name that images have them under, which is Go's.
var machines = map[string]machine{
	// mov $42,%edi; mov $60,%eax; syscall
	"amd64": {2, little, 62, 0, "x86_64", []byte{0xbf, probeStatus, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05}},
	// mov $42,%ebx; mov $1,%eax; int $0x80
	"386": {1, little, 3, 0, "i386", []byte{0xbb, probeStatus, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xcd, 0x80}},
	// mov x0,#42; mov x8,#93; svc #0
	"arm64": {2, little, 183, 0, "aarch64", words(binary.LittleEndian, 0xd2800000|probeStatus<<5, 0xd2800ba8, 0xd4000001)},
	// mov r0,#42; mov r7,#1; svc #0, of the fifth version of the ABI
	"arm": {1, little, 40, 0x05000000, "arm", words(binary.LittleEndian, 0xe3a00000|probeStatus, 0xe3a07001, 0xef000000)},
	// li a0,42; li a7,93; ecall
	"riscv64": {2, little, 243, 0, "riscv64", words(binary.LittleEndian, probeStatus<<20|0x513, 93<<20|0x893, 0x73)},
	// li r0,1; li r3,42; sc, of the second version of the ABI
	"ppc64le": {2, little, 21, 2, "ppc64le", words(binary.LittleEndian, 0x38000001, 0x38600000|probeStatus, 0x44000002)},
	// lghi %r2,42; svc 1
	"s390x": {2, big, 22, 0, "s390x", []byte{0xa7, 0x29, 0, probeStatus, 0x0a, 1}},
	// ori $a0,$zero,42; ori $a7,$zero,93; syscall 0
	"loong64": {2, little, 258, 0x43, "loongarch64", words(binary.LittleEndian, 0x03800000|probeStatus<<10|4, 0x03800000|93<<10|11, 0x002b0000)},
}

func words(order binary.AppendByteOrder, list ...uint32) []byte {
	var b []byte
	for _, w := range list {
		b = order.AppendUint32(b, w)
	}
	return b
}

// address is where a probe is loaded, and headers what comes before its instructions.
const address = 0x400000

// probe is a static program that does nothing but exit.
func (m machine) probe() []byte {
	order := binary.AppendByteOrder(binary.LittleEndian)
	if m.order == big {
		order = binary.BigEndian
	}
	b := []byte{0x7f, 'E', 'L', 'F', m.class, m.order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	long := func(v uint64) {
		if m.class == 2 {
			b = order.AppendUint64(b, v)
		} else {
			b = order.AppendUint32(b, uint32(v))
		}
	}
	short := func(list ...uint16) {
		for _, v := range list {
			b = order.AppendUint16(b, v)
		}
	}
	header, entry := uint16(64), uint16(56)
	if m.class == 1 {
		header, entry = 52, 32
	}
	start, whole := uint64(header+entry), uint64(header+entry)+uint64(len(m.exit))
	short(2, m.elf) // ET_EXEC
	b = order.AppendUint32(b, 1)
	long(address + start)
	long(uint64(header)) // program headers
	long(0)
	b = order.AppendUint32(b, m.flags)
	short(header, entry, 1, 0, 0, 0)
	const readable, executable = 4, 1
	b = order.AppendUint32(b, 1) // PT_LOAD
	if m.class == 2 {
		b = order.AppendUint32(b, readable|executable)
	}
	long(0)
	long(address)
	long(address)
	long(whole)
	long(whole)
	if m.class == 1 {
		b = order.AppendUint32(b, readable|executable)
	}
	long(0x10000) // the largest page there is
	return append(b, m.exit...)
}

// magic is what its programs, static or not, begin with, and which bits of that count:
// all but those of the ABI's number and the difference of ET_EXEC and ET_DYN.
func (m machine) magic() (magic, mask []byte) {
	magic = m.probe()[:20]
	mask = bytes.Repeat([]byte{0xff}, len(magic))
	mask[7] = 0
	mask[16] = 0xfe
	if m.order == big {
		mask[16], mask[17] = 0xff, 0xfe
	}
	return magic, mask
}
