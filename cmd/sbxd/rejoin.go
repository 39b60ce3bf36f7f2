package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/sandbox/keeper"
	"sbx/slirp"
)

// rejoin starts a keeper in the namespaces that a running sandbox has inherited
// from an earlier one. Rootlesskit cannot do that. The published ports are still
// there: what forwards them needs nobody.
//
// The kernel allows it because the user owns that user namespace (Linux 5.8 for
// setns(2) with a pidfd; the check is that of ptrace(2)).
func rejoin(d dirs.Dirs, left *survivor, out *slirp.Driver) error {
	// The keeper dies when the thread that has started it does.
	runtime.LockOSThread()
	pid, err := enter(d, left)
	if err != nil && endsSoon(left) {
		return errLeft
	}
	if err != nil {
		return api.Wrap("enter the namespaces of", "process "+strconv.Itoa(left.pid), err).
			WithHint("sandboxes are running that cannot be reached; end that process to start anew")
	}
	pidfd, err := sys.Pidfd(pid)
	if err != nil {
		return err
	}
	defer pidfd.Close()
	relay(pidfd)
	// Through the keeper, which lives as long as anybody can want the network.
	netns := filepath.Join("/proc", strconv.Itoa(pid), "root", d.Switch())
	stop, err := out.Reconnect(pid, netns)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbxd: connect the network again:", err)
	}
	if err := wait(pid); err != nil {
		// The sandboxes are still there, and so is their network.
		return err
	}
	if stop == nil {
		return nil
	}
	return stop()
}

// errLeft says that the survivor was about to end: a slot of the supervisor that
// has died, or a sandbox at the end of its program.
var errLeft = errors.New("the monitor has ended")

// endsSoon waits for the end of a process whose namespaces could not be entered:
// they are the first that a process gives up.
func endsSoon(left *survivor) bool {
	const patience = 2000 // milliseconds
	fds := []unix.PollFd{{Fd: int32(left.pidfd.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, patience)
		if err != unix.EINTR {
			return n > 0
		}
	}
}

func enter(d dirs.Dirs, left *survivor) (pid int, err error) {
	exe, err := os.Open(keeperLink(d))
	if err != nil {
		return 0, err
	}
	defer exe.Close()
	mnt, err := mountNamespace(left)
	if err != nil {
		return 0, err
	}
	defer mnt.Close()
	e := sys.Entry{
		Exe:   exe,
		Args:  []string{keeper.Name},
		Env:   os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Join:  []sys.Join{{File: left.pidfd, Flags: unix.CLONE_NEWUSER}, {File: mnt, Flags: unix.CLONE_NEWNS}},
	}
	return e.Start()
}

// mountNamespace opens the one that a monitor was started in. The first thread of
// one that has staged mounts for its sandbox has left it, and only that thread.
func mountNamespace(left *survivor) (*os.File, error) {
	dir := fmt.Sprintf("/proc/%d", left.pid)
	first, err := os.Readlink(dir + "/ns/mnt")
	if err != nil {
		return nil, err
	}
	threads, err := filepath.Glob(dir + "/task/*/ns/mnt")
	if err != nil {
		return nil, err
	}
	path := dir + "/ns/mnt"
	for _, other := range threads {
		// A thread that cannot be read has ended.
		if ns, err := os.Readlink(other); err == nil && ns != first {
			path = other
		}
	}
	f, err := os.Open(path)
	if err == nil && sys.Ended(left.pidfd) {
		err = errors.Join(unix.ESRCH, f.Close()) // the pid may be another process's by now
	}
	return f, err
}

// relay passes requests to stop on to the keeper, as rootlesskit does.
func relay(keeper *os.File) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for sig := range signals {
			if num, ok := sig.(syscall.Signal); ok {
				// ESRCH: it has ended, and this process is about to.
				_ = sys.Signal(keeper, num)
			}
		}
	}()
}

func wait(pid int) error {
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case status.Signaled():
			return fmt.Errorf("keeper: killed by signal %v", status.Signal())
		case status.ExitStatus() != 0:
			return fmt.Errorf("keeper: exit status %d", status.ExitStatus())
		}
		return nil
	}
}
