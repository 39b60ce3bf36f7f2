package pid1

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Init is pid 1 of a sandbox with --init: it starts the program, forwards
// signals to it, reaps what is left to it, and ends as the program ends.
// Arguments: the program's path, its argument vector.
func Init() int {
	unix.CloseOnExec(Control)
	// The program runs as the same user, and could look in.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return initFault(os.NewSyscallError("prctl PR_SET_DUMPABLE", err))
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	path, argv := os.Args[1], os.Args[2:]
	// A process group of its own, in the foreground: ^C must reach the program
	// and not us.
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setpgid: true}}
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil {
		attr.Sys.Foreground = true
		attr.Sys.Ctty = 0
	}
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return initFault(execError(argv[0], err))
	}
	if err := unix.Close(Control); err != nil {
		return initFault(os.NewSyscallError("close", err))
	}
	for sig := range signals {
		switch s := sig.(syscall.Signal); s {
		case unix.SIGCHLD:
			if code, ended := reap(pid); ended {
				return code
			}
		case unix.SIGURG, unix.SIGPIPE: // Go's own preemption; and nobody sends the other to us
		case unix.SIGTTIN, unix.SIGTTOU:
		default:
			// ESRCH: it has just ended, and SIGCHLD is on its way.
			if err := unix.Kill(pid, s); err != nil && err != unix.ESRCH {
				fmt.Fprintln(os.Stderr, "sbx: forward signal:", err)
			}
		}
	}
	return api.ExitFault
}

// initFault tells the monitor why there is no program.
func initFault(err error) int {
	control, e := api.NewConn(os.NewFile(Control, "control"))
	if e != nil {
		fmt.Fprintln(os.Stderr, "sbx-init:", err)
		return api.ExitFault
	}
	return fault(control, err)
}

// reap collects every child that has ended: SIGCHLDs merge.
func reap(program int) (code int, ended bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return code, ended
		}
		if pid == program {
			code, ended = ExitCode(status), true
		}
	}
}

// ExitCode is the status as a shell and Docker give it: 128+n for signal n.
func ExitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
