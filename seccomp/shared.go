package seccomp

import (
	"golang.org/x/sys/unix"
)

// Calls about files by which Landlock cannot tell what is whose, landlock(7).
var (
	// Modes and times are what compilers and archivers set all the time: another
	// process looks at the file and does it, or does not.
	reportedCalls = []string{"chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat"}
	// The C libraries have come to use utimensat(2) instead of these.
	obsoleteCalls = []string{"utime", "utimes", "futimesat"}
	// Owners: an ordinary user can only give files to another group of its own.
	chownCalls = []string{"chown", "lchown", "fchown", "fchownat", "file_setattr"}
	// Attributes: many file systems have none, so that programs do without.
	attributeCalls = []string{"setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat"}
)

// neighbourCalls find other processes' memory, queues and semaphores by name.
var neighbourCalls = []string{"shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl",
	"semget", "semop", "semtimedop", "semctl", "mq_open", "mq_unlink"}

// Requests of ioctl(2) that change a file which is open for reading only,
// ioctl_iflags(2) and ioctl_xfs_fssetxattr(2).
const (
	setFlags      = unix.FS_IOC_SETFLAGS
	setAttributes = 0x401c5820
)

// Shared is a filter for a program that has no namespaces of its own, besides that of
// a profile. It denies what namespaces would have kept apart (IPC, the limits of other
// processes, unix sockets by name, and without network all sockets) and what Landlock
// does not guard. io_uring goes with it: it makes sockets past every filter.
//
// Calls that change modes and times come to the listener that seccomp(2) gives for
// SECCOMP_FILTER_FLAG_NEW_LISTENER.
func Shared(network bool) ([]byte, error) {
	p := &policy{calls: make(map[uint32]verdict), other: unix.SECCOMP_RET_ALLOW, newest: newestKnown(), newer: retENOSYS}
	deny := func(errno unix.Errno) verdict { return verdict{ret: unix.SECCOMP_RET_ERRNO | uint32(errno)} }
	p.set(verdict{ret: unix.SECCOMP_RET_USER_NOTIF}, reportedCalls...)
	p.set(deny(unix.ENOSYS), obsoleteCalls...)
	p.set(deny(unix.EPERM), chownCalls...)
	p.set(deny(unix.EOPNOTSUPP), attributeCalls...)
	p.set(deny(unix.EACCES), neighbourCalls...)
	p.set(deny(unix.EPERM), "io_uring_setup", "io_uring_enter", "io_uring_register")
	p.set(only(unix.EPERM, []condition{is(0, 0)}), "prlimit64")
	p.set(verdict{ret: unix.SECCOMP_RET_ALLOW, rules: []rule{
		{[]condition{is(1, setFlags)}, retEPERM}, {[]condition{is(1, setAttributes)}, retEPERM},
	}}, "ioctl")
	// A datagram socket of a pair can send to any name, the others are connected for ever.
	p.set(only(unix.EACCES, []condition{is(0, unix.AF_UNIX), kind(unix.SOCK_STREAM)}, []condition{is(0, unix.AF_UNIX), kind(unix.SOCK_SEQPACKET)}), "socketpair")
	sockets := only(unix.EACCES)
	if network {
		for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
			sockets.rules = append(sockets.rules,
				rule{[]condition{is(0, family), kind(unix.SOCK_STREAM)}, unix.SECCOMP_RET_ALLOW},
				rule{[]condition{is(0, family), kind(unix.SOCK_DGRAM)}, unix.SECCOMP_RET_ALLOW})
		}
		// Resolvers ask which addresses there are.
		route := []condition{is(0, unix.AF_NETLINK), is(2, unix.NETLINK_ROUTE)}
		sockets.rules = append(sockets.rules, rule{route, unix.SECCOMP_RET_ALLOW})
	}
	p.set(sockets, "socket")
	return encodeProgram(assemble(p))
}

// set gives calls a verdict. One that this architecture does not have is left out.
func (p *policy) set(v verdict, names ...string) {
	for _, name := range names {
		if nr, ok := lookup(name); ok {
			p.calls[nr] = v
		}
	}
}

// only allows a call in certain forms; the others get an error.
func only(errno unix.Errno, forms ...[]condition) verdict {
	v := verdict{ret: unix.SECCOMP_RET_ERRNO | uint32(errno)}
	for _, form := range forms {
		v.rules = append(v.rules, rule{form, unix.SECCOMP_RET_ALLOW})
	}
	return v
}

// is compares an int, of which the kernel takes 32 bits.
func is(index uint32, value uint64) condition {
	return condition{index: index, jump: unix.BPF_JEQ, mask: 1<<32 - 1, value: value}
}

// kind compares the type of a socket without its flags, SOCK_TYPE_MASK of the kernel.
func kind(value uint64) condition {
	return condition{index: 1, jump: unix.BPF_JEQ, mask: 0xf, value: value}
}
