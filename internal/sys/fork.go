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
	Exe     *os.File // what to execute
	Args    []string // argv
	Env     []string
	Files   []*os.File // its descriptors 0, 1, 2, ...
	Join    []Join     // entered in this order
	Unshare int        // CLONE_NEW* to leave after that
	// Ambient keeps all capabilities of the user namespace that was joined, which
	// execve takes from a process that is not its root.
	Ambient bool
}

// Join is a namespace to enter, by the descriptor of a namespace or of a process
// (pidfd; Linux 5.8), setns(2).
type Join struct {
	File  *os.File
	Flags int // CLONE_NEW*; for a pidfd several at once
}

// Start forks, enters and executes. A pid namespace among the joined ones must
// have been entered by the calling thread before (it holds for children only).
// The error names the step that failed in the child.
func (e *Entry) Start() (pid int, err error) {
	child := entering{unshare: uintptr(e.Unshare)}
	if child.argv, err = syscall.SlicePtrFromStrings(e.Args); err != nil {
		return 0, err
	}
	if child.envp, err = syscall.SlicePtrFromStrings(e.Env); err != nil {
		return 0, err
	}
	for _, j := range e.Join {
		child.join = append(child.join, [2]uintptr{j.File.Fd(), uintptr(j.Flags)})
	}
	for _, f := range e.Files {
		child.files = append(child.files, f.Fd())
	}
	child.spare = make([]uintptr, len(e.Files))
	child.exe = e.Exe.Fd()
	child.empty = &[]byte{0}[0]
	child.ambient = e.Ambient
	child.capHeader.Version = unix.LINUX_CAPABILITY_VERSION_3
	report, err := child.run()
	runtime.KeepAlive(e)
	if err != nil {
		return 0, os.NewSyscallError("clone", err)
	}
	if report.errno != 0 {
		var status syscall.WaitStatus
		// The child has told its errno and exits; there is no status to learn.
		_, _ = syscall.Wait4(report.pid, &status, 0, nil)
		return 0, os.NewSyscallError(steps[report.step], report.errno)
	}
	return report.pid, nil
}

// entering is all that the child needs, prepared so that it allocates nothing
// and calls no function that could grow its stack.
type entering struct {
	argv, envp []*byte
	join       [][2]uintptr
	files      []uintptr
	spare      []uintptr
	unshare    uintptr
	exe        uintptr
	empty      *byte
	ambient    bool
	capHeader  unix.CapUserHeader
	capData    [2]unix.CapUserData
}

var steps = [...]string{"setns", "unshare", "dup", "execveat", "capset"}

// AllCaps are all capabilities there can be, for SysProcAttr.AmbientCaps; the
// kernel tells which it has.
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
	pid, step int
	errno     syscall.Errno
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
	var word [2]uint32
	buf := (*[8]byte)(unsafe.Pointer(&word))[:]
	for {
		n, err := unix.Read(pipe[0], buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < len(buf) {
			return outcome{pid: int(pid)}, err
		}
		return outcome{int(pid), int(word[0]), syscall.Errno(word[1])}, nil
	}
}

// fork runs the child to its execve. Between clone and execve only raw system
// calls are allowed: the child has one thread and no Go scheduler.
//
//go:norace
//go:noinline
func (c *entering) fork(report uintptr) (pid uintptr, errno syscall.Errno) {
	var word [2]uint32
	var i int
	var high uintptr
	beforeFork()
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	afterForkInChild()
	for i = range c.join {
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETNS, c.join[i][0], c.join[i][1], 0); errno != 0 {
			goto fail
		}
	}
	word[0] = 1
	if c.unshare != 0 {
		if _, _, errno = syscall.RawSyscall(unix.SYS_UNSHARE, c.unshare, 0, 0); errno != 0 {
			goto fail
		}
	}
	word[0] = 4
	if c.ambient {
		if _, _, errno = syscall.RawSyscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&c.capHeader)), uintptr(unsafe.Pointer(&c.capData[0])), 0); errno != 0 {
			goto fail
		}
		c.capData[0].Inheritable, c.capData[1].Inheritable = c.capData[0].Permitted, c.capData[1].Permitted
		if _, _, errno = syscall.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&c.capHeader)), uintptr(unsafe.Pointer(&c.capData[0])), 0); errno != 0 {
			goto fail
		}
		for i = 0; i < 64; i++ {
			// EINVAL: above the last capability of this kernel.
			syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(i), 0, 0, 0)
		}
	}
	// Move all files above the range first, or a dup could overwrite one that is
	// still to come; report and the executable too.
	word[0] = 2
	high = uintptr(len(c.files))
	if report, _, errno = syscall.RawSyscall(unix.SYS_FCNTL, report, unix.F_DUPFD_CLOEXEC, high); errno != 0 {
		goto fail
	}
	if c.exe, _, errno = syscall.RawSyscall(unix.SYS_FCNTL, c.exe, unix.F_DUPFD_CLOEXEC, high); errno != 0 {
		goto fail
	}
	for i = range c.files {
		if c.spare[i], _, errno = syscall.RawSyscall(unix.SYS_FCNTL, c.files[i], unix.F_DUPFD_CLOEXEC, high); errno != 0 {
			goto fail
		}
	}
	for i = range c.spare {
		if _, _, errno = syscall.RawSyscall(unix.SYS_DUP3, c.spare[i], uintptr(i), 0); errno != 0 {
			goto fail
		}
	}
	word[0] = 3
	_, _, errno = syscall.RawSyscall6(unix.SYS_EXECVEAT, c.exe, uintptr(unsafe.Pointer(c.empty)),
		uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.envp[0])), unix.AT_EMPTY_PATH, 0)
fail:
	word[1] = uint32(errno)
	syscall.RawSyscall(unix.SYS_WRITE, report, uintptr(unsafe.Pointer(&word)), unsafe.Sizeof(word))
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
	}
}
