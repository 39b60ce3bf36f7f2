package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenPty makes a pseudo-terminal in the devpts that ptmx, an open /dev/ptmx,
// belongs to. The terminal end is opened by descriptor, never by its path, which
// a file system not ours could redirect (CVE-2025-52565). Linux 4.13,
// TIOCGPTPEER, ioctl_tty(2).
func OpenPty(ptmx int) (terminal int, err error) {
	if err := unix.IoctlSetPointerInt(ptmx, unix.TIOCSPTLCK, 0); err != nil {
		return -1, os.NewSyscallError("ioctl TIOCSPTLCK", err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(ptmx), unix.TIOCGPTPEER,
		uintptr(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC))
	if errno != 0 {
		return -1, os.NewSyscallError("ioctl TIOCGPTPEER", errno)
	}
	return int(fd), nil
}

// SetWinsize tells a terminal its size in characters.
func SetWinsize(tty int, rows, cols uint16) error {
	return os.NewSyscallError("ioctl TIOCSWINSZ", unix.IoctlSetWinsize(tty, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}))
}
