// Package landlock makes rule sets that keep a process, and all that it starts, from
// files, from TCP, and from the processes around it, without any privilege.
// landlock(7), Linux 5.13.
//
// A rule set only allows: what no rule names is denied. Denied are opening, executing,
// making, removing, linking and truncating. Landlock does not guard what is known by a
// name alone: to look whether a file is there, its mode, owner, times and attributes,
// also to change these, and to connect to a unix socket by its path. Whoever confines a
// program has to see to those in another way.
package landlock

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// Rights below a directory, or on a file.
const (
	// Read is to see and to execute.
	Read = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// Write is all that an ordinary user can do, but for making devices.
	Write = Read | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK
	// Terminal is to use one as ever.
	Terminal = Device | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// Device is to read and to write one, without its ioctls.
	Device = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
)

// onFiles are the rights that a file can have; the others are about what is in a
// directory, and EINVAL for a file.
const onFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
	unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

// Versions of the interface.
const (
	// Least is the first one without a hole that a program can write through:
	// before it everybody may truncate every file. Linux 6.2.
	Least = 3
	// Network guards TCP. Linux 6.7.
	Network = 4
	// Scoped keeps signals, and abstract unix sockets, within. Linux 6.12.
	Scoped = 6
)

// Version is that of the kernel's interface; 0 without one: not built in, or not
// among those of the boot parameter lsm=.
func Version() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// handled are the rights on files that a version knows: all of these are denied
// unless a rule allows them.
func handled(version int) uint64 {
	const first = 13 // bits of version 1
	rights := uint64(1)<<first - 1
	for _, later := range []struct {
		version int
		right   uint64
	}{{2, unix.LANDLOCK_ACCESS_FS_REFER}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV}} {
		if version >= later.version {
			rights |= later.right
		}
	}
	return rights
}

// Ruleset is one that rules are added to.
type Ruleset struct {
	file    *os.File
	handled uint64
}

// New makes a rule set that allows nothing of what a version of the interface knows.
// With tcp the program may use TCP as before.
func New(version int, tcp bool) (*Ruleset, error) {
	r := &Ruleset{handled: handled(version)}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: r.handled}
	if version >= Network && !tcp {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= Scoped {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	// An older kernel takes the longer structure as long as it does not know of
	// what is zero.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("landlock_create_ruleset", errno)
	}
	r.file = os.NewFile(fd, "landlock") // close-on-exec
	return r, nil
}

// Allow gives rights on a file or below a directory, an O_PATH descriptor of which is
// enough. Those that a file cannot have are left out for one.
func (r *Ruleset) Allow(f *os.File, rights uint64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.IsDir() {
		rights &= onFiles
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.handled, Parent_fd: int32(f.Fd())}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, r.file.Fd(), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	runtime.KeepAlive(f)
	if errno != 0 {
		return &os.PathError{Op: "landlock_add_rule", Path: f.Name(), Err: errno}
	}
	return nil
}

// Restrict adds the call to a script that puts the thread which runs it under the
// rules for ever. No_new_privs must be set before.
func (r *Ruleset) Restrict(s *sys.Script) {
	s.Call("landlock_restrict_self", unix.SYS_LANDLOCK_RESTRICT_SELF, r.file.Fd(), 0)
}

// Close closes the rule set; who is under it stays so.
func (r *Ruleset) Close() error { return r.file.Close() }
