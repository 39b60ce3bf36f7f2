package sys

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pidfd refers to a process for as long as the descriptor is open, however often
// its number is used again. Linux 5.3, pidfd_open(2).
func Pidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return os.NewFile(uintptr(fd), "pidfd:"+strconv.Itoa(pid)), nil
}

// Signal sends a signal by pidfd. Linux 5.1, pidfd_send_signal(2).
func Signal(pidfd *os.File, sig unix.Signal) error {
	return os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(int(pidfd.Fd()), sig, nil, 0))
}

// StartTime of a process in clock ticks since boot: with the pid it names one
// process for ever. Field 22 of /proc/PID/stat, proc(5).
func StartTime(pid int) (uint64, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// The second field, the command in parentheses, may hold blanks and
	// parentheses of its own.
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	const startTime = 22 - 3
	if end < 0 || len(fields) <= startTime {
		return 0, fmt.Errorf("%s: unexpected contents", path)
	}
	return strconv.ParseUint(string(fields[startTime]), 10, 64)
}

// Find opens the process that had this pid and start time, or gives ESRCH.
func Find(pid int, start uint64) (*os.File, error) {
	fd, err := Pidfd(pid)
	if err != nil {
		return nil, err
	}
	now, err := StartTime(pid)
	if err != nil || now != start {
		fd.Close()
		return nil, os.NewSyscallError("pidfd_open", unix.ESRCH)
	}
	return fd, nil
}

// Ended says whether the process has exited: a pidfd is readable then.
func Ended(pidfd *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}
