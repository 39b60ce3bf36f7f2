package main

import (
	"errors"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/keeper"
	"sbx/sandbox/pid1"
)

func newUnshare() command {
	return command{
		name: "unshare", group: groupDisk, args: "COMMAND [ARG...]", min: 1, max: -1, program: true, fault: api.ExitFault,
		short: "run a command on the host as root of your user namespace, to which the files of your sandboxes belong",
		examples: `sbx unshare rm -rf DIR    # with files of other users of a sandbox in it, which you may not remove
sbx unshare ls -ln DIR    # the owners, by the ids that a sandbox has for them`,
		run: func(s streams, args []string) error { return unshare(s, args) },
	}
}

// unshare runs a program as a child, in the namespaces of the keeper.
func unshare(s streams, args []string) error {
	conn, keeperFile, err := reachKeeper()
	if err != nil {
		return err
	}
	// As long as it is open the supervisor stays, and finds nothing to tidy up.
	defer conn.Close()
	defer keeperFile.Close()
	dir, err := os.Getwd()
	if err != nil {
		return api.Wrap("getwd", "", errors.Unwrap(err))
	}
	name, err := unix.BytePtrFromString(dir)
	if err != nil {
		return err
	}
	script := &sys.Script{}
	script.Call("chdir "+dir, unix.SYS_CHDIR, sys.Pointer(script, name))
	if os.Geteuid() == 0 {
		// Who has called as root is nobody there.
		script.Call("setresgid", unix.SYS_SETRESGID, 0, 0, 0)
		script.Call("setresuid", unix.SYS_SETRESUID, 0, 0, 0)
	}
	env := os.Environ()
	entry := sys.Entry{
		Paths: pid1.SearchPath(args[0], env), Args: args, Env: env, Files: []*os.File{s.in, s.out, s.err},
		Join: []sys.Join{{File: keeperFile, Flags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS}}, Script: script,
	}
	if len(entry.Paths) == 0 {
		return notRun(args[0], unix.ENOENT)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	pid, err := entry.Start()
	var exec *sys.ExecError
	if errors.As(err, &exec) {
		return notRun(args[0], exec.Err)
	}
	if err != nil {
		return api.Wrap("enter the user namespace", "", err)
	}
	go passOn(signals, pid)
	return statusFrom(pid)
}

// reachKeeper gives a pidfd of the keeper, which is who listens for us.
func reachKeeper() (*api.Conn, *os.File, error) {
	conn, err := request(api.VerbVersion, api.Format{Client: api.Version})
	if err != nil {
		return nil, nil, err
	}
	_, pid, err := conn.Peer()
	var f *os.File
	if err == nil {
		f, err = sys.Pidfd(pid)
	}
	if err == nil {
		// The supervisor has its socket, too, and the number may mean another process
		// by now. The kernel has the name of what was executed, cut at 15 bytes.
		var comm []byte
		if comm, err = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); err == nil && strings.TrimSpace(string(comm)) == keeper.Name {
			return conn, f, nil
		}
		f.Close()
	}
	conn.Close()
	return nil, nil, api.Errorf("enter the user namespace", "", "the process that keeps it has just ended").WithHint("try again")
}

// passOn sends signals to a child as a shell's child gets them: ^C and ^\ come from
// the terminal to both of us, and must not come twice.
func passOn(signals <-chan os.Signal, pid int) {
	for sig := range signals {
		num, ok := sig.(syscall.Signal)
		if !ok || (num == unix.SIGINT || num == unix.SIGQUIT) && foreground() {
			continue
		}
		// ESRCH: it has ended, and we are about to.
		_ = unix.Kill(pid, num)
	}
}

// foreground says that the terminal sends us what is typed.
func foreground() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// statusFrom gives the exit status of a child as a shell does.
func statusFrom(pid int) error {
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return api.Wrap("wait4", "", err)
		case status.Signaled():
			return exitStatus(128 + int(status.Signal()))
		case status.ExitStatus() != 0:
			return exitStatus(status.ExitStatus())
		default:
			return nil
		}
	}
}

// notRun has the exit statuses of a shell.
func notRun(name string, err error) error {
	code := api.ExitNotExecutable
	if errors.Is(err, unix.ENOENT) {
		code = api.ExitNotFound
	}
	return api.Wrap("execute", name, err).WithCode(code)
}
