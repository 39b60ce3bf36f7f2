package seccomp

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	// nativeArch is the machine's own ABI in a profile, auditArch in
	// struct seccomp_data.
	nativeArch = specs.ArchX86_64
	auditArch  = unix.AUDIT_ARCH_X86_64

	// foreign is the first number that is not a call of the native ABI. x32
	// calls have the same auditArch and __X32_SYSCALL_BIT set.
	foreign = 0x40000000
)
