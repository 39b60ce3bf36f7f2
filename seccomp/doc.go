// Package seccomp turns Docker's seccomp profiles into the classic BPF program
// that seccomp(2) loads. It is pure Go; libseccomp is not needed.
//
// A profile means here what it means to Docker:
//
//   - A system call that no rule names gets the profile's default action. A name
//     that this architecture does not have is skipped: a profile names the calls
//     of all architectures.
//   - A call newer than the profile gets ENOSYS instead of a denying default, so
//     that C libraries fall back to the older call. "Newer" is a number above the
//     largest one that the profile names, if it lists this architecture, and above
//     the largest one known to this package otherwise.
//   - A rule without arguments decides its call and overrides every rule with
//     arguments; the first of several such rules counts. Of the rules with
//     arguments the first that matches counts. A rule whose action is the
//     default action says nothing and is left out.
//   - The conditions of a rule must all hold, but if two of them are about the
//     same argument, any one of them is enough.
//   - Arguments are compared as unsigned 64-bit numbers.
//
// It differs from Docker in four ways, all on the side of refusing:
//
//   - ioctl(2) with TIOCSTI or TIOCLINUX gets EPERM in every profile. Both put
//     input into a terminal, which whoever reads there next takes for typed
//     (CVE-2017-5226). Only the low 32 bits of the request are compared, because
//     the kernel ignores the others (CVE-2019-10063, CVE-2023-28100).
//   - Calls of another ABI of the machine (i386 and x32 on amd64, 32-bit Arm on
//     arm64) get ENOSYS, whatever subarchitectures the profile lists: 32-bit
//     programs do not run. On i386 socketcall(2) hides its arguments from a
//     filter, and with it the address families that the profile denies.
//   - SCMP_ACT_TRACE, SCMP_ACT_NOTIFY, and flags that seccomp(2) would have to be
//     called with, are errors.
//   - A profile that says nothing, such as {}, is an error. To Docker it means no
//     filter at all.
package seccomp
