package seccomp

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	retEPERM  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	retENOSYS = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// action is the value that a program returns for an action of a profile.
// SCMP_ACT_ERRNO without an errno means EPERM. The kernel takes an errno above
// 4095 for 4095.
func action(name specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	switch name {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActErrno:
		if errno == nil {
			return retEPERM, nil
		}
		if *errno > unix.SECCOMP_RET_DATA {
			return 0, fmt.Errorf("errno %d is larger than %d", *errno, unix.SECCOMP_RET_DATA)
		}
		return unix.SECCOMP_RET_ERRNO | uint32(*errno), nil
	case specs.ActTrace, specs.ActNotify:
		return 0, fmt.Errorf("%s needs a process that decides about calls, and there is none: use SCMP_ACT_ERRNO or SCMP_ACT_LOG", name)
	}
	return 0, fmt.Errorf("%q is not an action", name)
}
