package seccomp

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	// nativeArch is the machine's own ABI in a profile, auditArch in
	// struct seccomp_data.
	nativeArch = specs.ArchAARCH64
	auditArch  = unix.AUDIT_ARCH_AARCH64

	// foreign is the first number that is not a call of the native ABI. The
	// number is an int; there are no negative calls.
	foreign = 0x80000000
)
