package sys

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The three calls that syscall.ForkExec makes around its own clone(2); the
// linker keeps them reachable for packages that must fork in a way of their own.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// Entry is a program to start in namespaces that exist already. A process with
// several threads cannot enter a user namespace, and every Go process has
// several; the child of a fork has one.
type Entry struct {
	Exe     *os.File // what to execute, or nil:
	Paths   []string // the first of these that can be executed
	Args    []string // argv
	Env     []string
	Files   []*os.File // its descriptors 0, 1, 2, ...
	Join    []Join     // entered in this order
	Unshare int        // CLONE_NEW* to leave after that
	// Ambient keeps all capabilities of the user namespace that was joined, which
	// execve takes from a process that is not its root.
	Ambient bool
	Script  *Script  // run last before the execve
	Cgroup  *os.File // directory of the cgroup that the child is born in, Linux 5.7; nil: ours
}

// Join is a namespace to enter, by the descriptor of a namespace or of a process
// (pidfd; Linux 5.8), setns(2).
type Join struct {
	File  *os.File
	Flags int // CLONE_NEW*; for a pidfd several at once
}

// ExecError is a program that could not be executed: everything before went well.
type ExecError struct {
	Path string
	Err  error
}

func (e *ExecError) Error() string { return "execve " + e.Path + ": " + e.Err.Error() }

// Unwrap gives the errno.
func (e *ExecError) Unwrap() error { return e.Err }

// Start forks, enters and executes, and returns when the program runs. A pid
// namespace among the joined ones must have been entered by the calling thread
// before: it holds for children only. The error names the step that failed in
// the child.
func (e *Entry) Start() (pid int, err error) {
	child, err := e.prepare()
	if err != nil {
		return 0, err
	}
	report, err := child.run()
	runtime.KeepAlive(e)
	runtime.KeepAlive(child)
	if err != nil {
		return 0, os.NewSyscallError("clone", err)
	}
	if report.errno == 0 {
		return report.pid, nil
	}
	var status syscall.WaitStatus
	// The child has told its errno and exits; there is no status to learn.
	_, _ = syscall.Wait4(report.pid, &status, 0, nil)
	switch report.step {
	case stepExec:
		return 0, &ExecError{e.path(report.at), report.errno}
	case stepScript:
		return 0, os.NewSyscallError(e.Script.name(report.at), report.errno)
	}
	return 0, os.NewSyscallError(steps[report.step], report.errno)
}

func (e *Entry) path(at int) string {
	if e.Exe != nil {
		return e.Exe.Name()
	}
	return e.Paths[min(at, len(e.Paths)-1)]
}

func (e *Entry) prepare() (*entering, error) {
	child := &entering{unshare: uintptr(e.Unshare), ambient: e.Ambient, script: e.Script}
	var err error
	if child.argv, err = syscall.SlicePtrFromStrings(e.Args); err != nil {
		return nil, err
	}
	if child.envp, err = syscall.SlicePtrFromStrings(e.Env); err != nil {
		return nil, err
	}
	if child.paths, err = syscall.SlicePtrFromStrings(e.Paths); err != nil {
		return nil, err
	}
	child.paths = child.paths[:len(e.Paths)]
	for _, j := range e.Join {
		child.join = append(child.join, [2]uintptr{j.File.Fd(), uintptr(j.Flags)})
	}
	for _, f := range e.Files {
		child.files = append(child.files, f.Fd())
	}
	child.spare = make([]uintptr, len(e.Files))
	if e.Exe != nil {
		child.exe = e.Exe.Fd()
		child.hasExe = true
	}
	if child.script == nil {
		child.script = &Script{}
	}
	child.clone.exitSignal = uint64(unix.SIGCHLD)
	if e.Cgroup != nil {
		child.clone.flags, child.clone.cgroup = unix.CLONE_INTO_CGROUP, uint64(e.Cgroup.Fd())
	}
	child.empty = new(byte)
	child.capHeader.Version = unix.LINUX_CAPABILITY_VERSION_3
	return child, nil
}

// entering is all that the child needs, prepared so that it allocates nothing
// and calls no function that could grow its stack.
type entering struct {
	argv, envp, paths []*byte
	join              [][2]uintptr
	files, spare      []uintptr
	unshare           uintptr
	exe               uintptr
	hasExe            bool
	empty             *byte
	ambient           bool
	capHeader         unix.CapUserHeader
	capData           [2]unix.CapUserData
	script            *Script
	clone             cloneArgs
}

// cloneArgs is struct clone_args of clone3(2), as of Linux 5.7.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

const (
	stepJoin = iota
	stepUnshare
	stepAmbient
	stepFiles
	stepScript
	stepExec
)

var steps = [...]string{stepJoin: "setns", stepUnshare: "unshare", stepAmbient: "capset", stepFiles: "dup"}

// AllCaps are all capabilities of this kernel, for SysProcAttr.AmbientCaps.
func AllCaps() ([]uintptr, error) {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, err
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	all := make([]uintptr, last+1)
	for i := range all {
		all[i] = uintptr(i)
	}
	return all, nil
}

type outcome struct {
	pid, step, at int
	errno         syscall.Errno
}

func (c *entering) run() (outcome, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return outcome{}, err
	}
	syscall.ForkLock.Lock()
	pid, errno := c.fork(uintptr(pipe[1]))
	syscall.ForkLock.Unlock()
	unix.Close(pipe[1])
	defer unix.Close(pipe[0])
	if errno != 0 {
		return outcome{}, errno
	}
	// Nothing arrives when the execve has closed the pipe.
	var word [3]uint32
	buf := (*[12]byte)(unsafe.Pointer(&word))[:]
	for {
		n, err := unix.Read(pipe[0], buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < len(buf) {
			return outcome{pid: int(pid)}, err
		}
		return outcome{int(pid), int(word[0]), int(word[1]), syscall.Errno(word[2])}, nil
	}
}

// fork runs the child to its execve. Between clone and execve only raw system
// calls are allowed: the child has one thread and no Go scheduler.
//
//go:norace
//go:noinline
func (c *entering) fork(report uintptr) (pid uintptr, errno syscall.Errno) {
	var word [3]uint32
	var step, at int
	beforeFork()
	if c.clone.flags == 0 {
		// A filter of system calls may know clone3(2) not at all: it cannot look into its
		// argument.
		pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	} else {
		pid, _, errno = syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&c.clone)), unsafe.Sizeof(c.clone), 0)
	}
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	afterForkInChild()
	if step, errno = c.enter(); errno == 0 {
		step = stepFiles
		if report, errno = c.arrange(report); errno == 0 {
			step = stepScript
			if at, errno = c.script.run(); errno == 0 {
				step = stepExec
				at, errno = c.exec()
			}
		}
	}
	word = [3]uint32{uint32(step), uint32(at), uint32(errno)}
	syscall.RawSyscall(unix.SYS_WRITE, report, uintptr(unsafe.Pointer(&word)), unsafe.Sizeof(word))
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
	}
}

//go:nosplit
//go:norace
func (c *entering) enter() (step int, errno syscall.Errno) {
	for i := range c.join {
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETNS, c.join[i][0], c.join[i][1], 0); errno != 0 {
			return stepJoin, errno
		}
	}
	if c.unshare != 0 {
		if _, _, errno = syscall.RawSyscall(unix.SYS_UNSHARE, c.unshare, 0, 0); errno != 0 {
			return stepUnshare, errno
		}
	}
	if !c.ambient {
		return 0, 0
	}
	if _, _, errno = syscall.RawSyscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&c.capHeader)), uintptr(unsafe.Pointer(&c.capData[0])), 0); errno != 0 {
		return stepAmbient, errno
	}
	c.capData[0].Inheritable, c.capData[1].Inheritable = c.capData[0].Permitted, c.capData[1].Permitted
	if _, _, errno = syscall.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&c.capHeader)), uintptr(unsafe.Pointer(&c.capData[0])), 0); errno != 0 {
		return stepAmbient, errno
	}
	for i := range uintptr(64) {
		// EINVAL: above the last capability of this kernel.
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, i, 0, 0, 0)
	}
	return 0, 0
}

// arrange puts the files in their places. All are moved above the range first, or
// a dup could overwrite one that is still to come.
//
//go:nosplit
//go:norace
func (c *entering) arrange(report uintptr) (moved uintptr, errno syscall.Errno) {
	high := uintptr(len(c.files))
	if moved, _, errno = syscall.RawSyscall(unix.SYS_FCNTL, report, unix.F_DUPFD_CLOEXEC, high); errno != 0 {
		return report, errno
	}
	if c.hasExe {
		if c.exe, _, errno = syscall.RawSyscall(unix.SYS_FCNTL, c.exe, unix.F_DUPFD_CLOEXEC, high); errno != 0 {
			return moved, errno
		}
	}
	for i := range c.files {
		if c.spare[i], _, errno = syscall.RawSyscall(unix.SYS_FCNTL, c.files[i], unix.F_DUPFD_CLOEXEC, high); errno != 0 {
			return moved, errno
		}
	}
	for i := range c.spare {
		if _, _, errno = syscall.RawSyscall(unix.SYS_DUP3, c.spare[i], uintptr(i), 0); errno != 0 {
			return moved, errno
		}
	}
	return moved, 0
}

// exec tries the paths as execvp(3) does: EACCES counts more than ENOENT.
//
//go:nosplit
//go:norace
func (c *entering) exec() (at int, errno syscall.Errno) {
	argv, envp := uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.envp[0]))
	if c.hasExe {
		_, _, errno = syscall.RawSyscall6(unix.SYS_EXECVEAT, c.exe, uintptr(unsafe.Pointer(c.empty)), argv, envp, unix.AT_EMPTY_PATH, 0)
		return 0, errno
	}
	errno = unix.ENOENT
	for i := range c.paths {
		_, _, e := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.paths[i])), argv, envp)
		switch e {
		case unix.ENOENT, unix.ENOTDIR:
		case unix.EACCES:
			at, errno = i, e
		default:
			return i, e
		}
	}
	return at, errno
}
