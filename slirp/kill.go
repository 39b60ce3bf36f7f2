package slirp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// killTimeout in milliseconds, after which a helper that ignores SIGTERM gets
// SIGKILL.
const killTimeout = 500

// killByPidFile ends the program whose pid is in a file, waits for its end and
// removes the file. The pid may be that of another process by now: only one
// that was started as program with this very pid file is ended. A missing file
// and a process that is gone are no errors.
func killByPidFile(file, program string) error {
	pid, err := readPid(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, strconv.ErrSyntax), errors.Is(err, strconv.ErrRange):
		// Cut short by a crash or a full disk: there is nobody to find.
		return os.Remove(file)
	case err != nil:
		return err
	}
	pidfd, err := sys.Pidfd(pid)
	if err == nil {
		defer pidfd.Close()
		// After the pidfd is open the pid cannot come to mean another process.
		if isHelper(pid, program, file) {
			err = end(pidfd)
		}
	}
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL) { // gone, or "0"
		return fmt.Errorf("end %s, pid %d: %w", program, pid, err)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isHelper looks at the command line of a process. The program's name may have
// a suffix: pasta replaces itself with pasta.avx2.
func isHelper(pid int, program, pidFile string) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	args := bytes.Split(cmdline, []byte{0})
	name, _, _ := strings.Cut(filepath.Base(string(args[0])), ".")
	if name != program {
		return false
	}
	for _, arg := range args[1:] {
		if string(arg) == pidFile {
			return true
		}
	}
	return false
}

func end(pidfd *os.File) error {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := sys.Signal(pidfd, sig); err != nil {
			return err
		}
		fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, killTimeout)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
	return os.NewSyscallError("kill", unix.EBUSY)
}

func readPid(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 31)
	return int(pid), err
}
