package pid1

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// start turns the process into the program. It returns only errors. b is nil in
// a sandbox that runs already.
//
// The order matters: what needs privilege comes before it is given up, and what
// restricts comes last, so that it cannot be in the way of anything but execve.
func start(o *order, p *Program, b *box) error {
	id, err := lookUp(p.User)
	if err != nil {
		return err
	}
	if err := standardFiles(o, p, id, b); err != nil {
		return err
	}
	if err := setRlimits(p.Rlimits); err != nil {
		return err
	}
	if err := changeDir(p.WorkDir); err != nil {
		return err
	}
	env := withHome(p.Env, id.home)
	path, err := findProgram(p.Args[0], env)
	if err != nil {
		return err
	}
	if err := become(id, p); err != nil {
		return err
	}
	if p.Init {
		return execInit(path, p.Args, env)
	}
	if err := closeOnExec(); err != nil {
		return err
	}
	return execError(p.Args[0], unix.Exec(path, p.Args, env))
}

// closeOnExec marks everything but the standard files: a descriptor of the host
// that survived would be a door (CVE-2024-21626). Linux 5.11, close_range(2).
func closeOnExec() error {
	return os.NewSyscallError("close_range", unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC))
}

func withHome(env []string, home string) []string {
	for _, kv := range env {
		if strings.HasPrefix(kv, "HOME=") {
			return env
		}
	}
	return append(slices.Clone(env), "HOME="+home)
}

// standardFiles puts the program's standard files in place: a terminal of the
// sandbox's own, or what came with the spec, or /dev/null.
func standardFiles(o *order, p *Program, id identity, b *box) error {
	if _, err := unix.Setsid(); err != nil && err != unix.EPERM {
		return os.NewSyscallError("setsid", err)
	}
	if p.TTY {
		return terminal(o, id, b)
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/null", Err: err}
	}
	files := o.files
	for fd, have := range []bool{o.stdio.In, o.stdio.Out, o.stdio.Err} {
		from := null
		if have {
			if len(files) == 0 {
				return api.Errorf("start the sandbox", "", "a standard file is missing")
			}
			from, files = int(files[0].Fd()), files[1:]
			if err := own(from, id); err != nil {
				return err
			}
		}
		if err := unix.Dup2(from, fd); err != nil {
			return os.NewSyscallError("dup2", err)
		}
	}
	return nil
}

// own lets a program that is not root open /dev/stdout again: a pipe belongs to
// who made it.
func own(fd int, id identity) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if id.uid == 0 || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil
	}
	// Not permitted for a pipe that an unmapped user made: it stays as it is.
	if err := unix.Fchown(fd, id.uid, -1); err != nil && err != unix.EPERM && err != unix.EINVAL {
		return os.NewSyscallError("fchown", err)
	}
	return nil
}

// terminal gives the program a pty of the sandbox's devpts, and the monitor its
// master. The caller's own terminal is never handed in: its input queue could be
// filled with commands for the caller's shell (CVE-2017-5226).
func terminal(o *order, id identity, b *box) error {
	ptmx, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/pts/ptmx", Err: err}
	}
	tty, err := sys.OpenPty(ptmx)
	if err != nil {
		return err
	}
	if size := o.stdio.Size; size.Rows != 0 {
		if err := sys.SetWinsize(tty, size.Rows, size.Cols); err != nil {
			return err
		}
	}
	if err := unix.Fchown(tty, id.uid, -1); err != nil {
		return os.NewSyscallError("fchown", err)
	}
	if b != nil {
		if err := b.console(tty); err != nil {
			return err
		}
	}
	if err := unix.IoctlSetInt(tty, unix.TIOCSCTTY, 0); err != nil {
		return os.NewSyscallError("ioctl TIOCSCTTY", err)
	}
	for fd := range 3 {
		if err := unix.Dup2(tty, fd); err != nil {
			return os.NewSyscallError("dup2", err)
		}
	}
	master := os.NewFile(uintptr(ptmx), "ptmx")
	defer master.Close()
	return o.control.Send(KindPty, nil, master)
}

// console binds the terminal on /dev/console, by descriptor.
func (b *box) console(tty int) error {
	file, err := unix.Openat(b.dev, "console", unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: "/dev/console", Err: err}
	}
	defer unix.Close(file)
	tree, err := sys.CloneTree(tty, "", false)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return sys.Attach(tree, file)
}

var rlimits = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

func setRlimits(limits []api.Rlimit) error {
	for _, l := range limits {
		resource, ok := rlimits[l.Name]
		if !ok {
			return api.Errorf("set limit", l.Name, "unknown limit")
		}
		// The raw call: syscall.Setrlimit and unix.Exec know of one another, and the
		// limit must reach the program as it was asked for.
		if err := unix.Prlimit(0, resource, &unix.Rlimit{Cur: l.Soft, Max: l.Hard}, nil); err != nil {
			e := api.Wrap("set limit", l.Name, err)
			if errors.Is(err, unix.EPERM) {
				e.WithHint("an ordinary user cannot raise the hard limit: see ulimit -H -a")
			}
			return e
		}
	}
	return nil
}

// changeDir enters the working directory, which is made if it is missing, as
// Docker does. Magic links are not followed and the result must be below the
// root: a leaked descriptor of the host must not be a way out (CVE-2024-21626).
func changeDir(dir string) error {
	if dir == "" {
		dir = "/"
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/", Err: err}
	}
	defer unix.Close(root)
	fd, err := sys.OpenInRoot(root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		if err = makeDirs(root, strings.Trim(dir, "/")); err == nil {
			fd, err = sys.OpenInRoot(root, dir, unix.O_PATH|unix.O_DIRECTORY)
		}
	}
	if err != nil {
		return api.Wrap("chdir", dir, errors.Unwrap(err)).WithHint("choose a working directory that exists in the sandbox (-w)")
	}
	defer unix.Close(fd)
	if err := unix.Fchdir(fd); err != nil {
		return api.Wrap("chdir", dir, err)
	}
	if now, err := os.Getwd(); err != nil || !strings.HasPrefix(now, "/") {
		return api.Errorf("chdir", dir, "the directory is not below the root of the sandbox")
	}
	return nil
}

// findProgram is execvp(3)'s search, with Docker's exit statuses.
func findProgram(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	search := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
		}
	}
	var denied error
	for _, dir := range strings.Split(search, ":") {
		if dir == "" {
			dir = "."
		}
		path := dir + "/" + name
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		if st.Mode&0o111 != 0 {
			return path, nil
		}
		denied = execError(path, unix.EACCES)
	}
	if denied != nil {
		return "", denied
	}
	return "", api.Errorf("exec", name, "not found in $PATH").WithCode(api.ExitNotFound)
}

func execError(name string, err error) error {
	e := api.Wrap("exec", name, err).WithCode(api.ExitNotExecutable)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR):
		e.Code = api.ExitNotFound
		var st unix.Stat_t
		if unix.Stat(name, &st) == nil {
			e.WithHint("the file is there, but not the interpreter or loader that it names")
		}
	case errors.Is(err, unix.ENOEXEC):
		e.WithHint("it is neither a program for this machine nor a script with a #! line")
	}
	return e
}

// execInit executes the pid 1 of --init from the sealed memory file, as the
// program's user and under its restrictions.
func execInit(path string, args, env []string) error {
	if err := closeOnExec(); err != nil {
		return err
	}
	argv, err := syscall.SlicePtrFromStrings(append([]string{RoleInit, path}, args...))
	if err != nil {
		return err
	}
	envp, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return err
	}
	empty := []byte{0}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, Self, uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])), unix.AT_EMPTY_PATH, 0)
	runtime.KeepAlive(argv)
	runtime.KeepAlive(envp)
	return os.NewSyscallError("execveat", errno)
}
