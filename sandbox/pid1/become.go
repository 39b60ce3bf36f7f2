package pid1

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// become gives up everything that the program must not have. All of it is state
// of the calling thread, which is the one that executes the program; the raw
// calls keep Go from telling its other threads.
func become(id identity, p *Program) error {
	// After a change of user the kernel forgets who must not outlive whom, so that
	// this is said once more at the end. prctl(2), PR_SET_PDEATHSIG.
	if err := dropBounding(p.Caps); err != nil {
		return err
	}
	// Without no_new_privs a filter needs CAP_SYS_ADMIN, which is about to go.
	if !p.NoNewPrivs {
		if err := loadFilter(p.Seccomp); err != nil {
			return err
		}
	}
	if err := setIDs(id); err != nil {
		return err
	}
	caps := p.Caps
	if id.uid != 0 {
		caps = 0
	}
	if err := setCaps(caps); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_PDEATHSIG", err)
	}
	if !p.NoNewPrivs {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", err)
	}
	return loadFilter(p.Seccomp)
}

func dropBounding(keep uint64) error {
	for c := range uintptr(64) {
		if keep&(1<<c) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL {
			return nil // above the last one that this kernel has
		}
		if err != nil {
			return os.NewSyscallError("prctl PR_CAPBSET_DROP", err)
		}
	}
	return nil
}

func setIDs(id identity) error {
	if err := setGroups(id); err != nil {
		return err
	}
	// setresuid must not take the capabilities with it before capset has chosen.
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_KEEPCAPS", err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(id.gid), uintptr(id.gid), uintptr(id.gid)); errno != 0 {
		return idError("setresgid", id.gid, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(id.uid), uintptr(id.uid), uintptr(id.uid)); errno != 0 {
		return idError("setresuid", id.uid, errno)
	}
	return nil
}

func idError(call string, id int, errno syscall.Errno) error {
	e := api.Wrap(call, itoa(id), errno)
	if errno == unix.EINVAL {
		e.WithHint("you have no subordinate id for it: see /etc/subuid and /etc/subgid")
	}
	return e
}

func setGroups(id identity) error {
	groups := make([]uint32, len(id.groups), len(id.groups)+1)
	for i, g := range id.groups {
		groups[i] = uint32(g)
	}
	groups = append(groups, uint32(id.gid))
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
	runtime.KeepAlive(groups)
	if errno == 0 {
		return nil
	}
	// A user namespace with a single group does not have setgroups at all.
	// user_namespaces(7).
	if deny, err := os.ReadFile("/proc/self/setgroups"); err == nil && string(deny) == "deny\n" {
		return nil
	}
	return idError("setgroups", id.gid, errno)
}

// setCaps sets the permitted and effective capabilities; nothing is inheritable
// or ambient (CVE-2022-27649 and its kin). capset(2).
func setCaps(caps uint64) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return os.NewSyscallError("prctl PR_CAP_AMBIENT_CLEAR_ALL", err)
	}
	var have [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&hdr, &have[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	var want [2]unix.CapUserData
	for i := range want {
		want[i].Permitted = have[i].Permitted & uint32(caps>>(32*i))
		want[i].Effective = want[i].Permitted
	}
	return os.NewSyscallError("capset", unix.Capset(&hdr, &want[0]))
}

// loadFilter installs a seccomp filter on this thread. seccomp(2).
func loadFilter(filter []byte) error {
	if len(filter) == 0 {
		return nil
	}
	prog := unix.SockFprog{
		Len:    uint16(len(filter) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0])),
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	return nil
}
