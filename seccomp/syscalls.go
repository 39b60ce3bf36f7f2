package seccomp

import (
	"slices"
	"strings"
)

//go:generate go run ./internal/mksyscalls amd64 arm64

// syscallNumber is a line of the table of system calls, which is sorted by name.
type syscallNumber struct {
	name string
	nr   uint32
}

// lookup gives the number of a system call of the native ABI.
func lookup(name string) (nr uint32, ok bool) {
	i, ok := slices.BinarySearchFunc(syscalls[:], name, func(s syscallNumber, name string) int {
		return strings.Compare(s.name, name)
	})
	if !ok {
		return 0, false
	}
	return syscalls[i].nr, true
}

// newestKnown is the largest number in the table.
func newestKnown() uint32 {
	newest := uint32(0)
	for _, s := range syscalls {
		newest = max(newest, s.nr)
	}
	return newest
}
