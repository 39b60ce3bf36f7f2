// Package binfmt makes programs for other processors executable: it tries whether they
// are, and if not has the kernel start QEMU's user emulation for them, in the user
// namespace of the caller and those below it. That needs no privilege outside of it.
// https://docs.kernel.org/admin-guide/binfmt-misc.html
package binfmt
