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

// start turns the process into the program. It returns only errors.
func start(o *order, p *Program, b *box) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/", Err: err}
	}
	id, err := lookUp(root, p.User, p.Groups)
	if err != nil {
		return err
	}
	if err := standardFiles(o, p, id, b); err != nil {
		return err
	}
	if err := changeDir(root, p.WorkDir); err != nil {
		return err
	}
	env := withHome(p.Env, id.home)
	path, err := findProgram(p.Args[0], env)
	if err != nil {
		return err
	}
	have, err := permitted()
	if err != nil {
		return err
	}
	setgroups, err := hasSetgroups("self")
	if err != nil {
		return err
	}
	var script sys.Script
	if err := p.become(&script, id, have, setgroups); err != nil {
		return err
	}
	// Go has raised the soft limit of open files for itself. Only a limit that was
	// asked for is to reach the program instead of the one there was.
	keepNofile(p.Rlimits)
	if err := script.Run(); err != nil {
		return explain(err)
	}
	if p.Init {
		return execInit(path, p.Args, env)
	}
	return execError(p.Args[0], unix.Exec(path, p.Args, env))
}

// keepNofile tells Go, whose Exec puts the limit back that it found, that this
// one is wanted: x/sys and syscall know of one another.
func keepNofile(limits []api.Rlimit) {
	for _, l := range limits {
		if l.Name == "nofile" {
			// An error shows in the script, which does the same.
			_ = unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: l.Soft, Max: l.Hard}, nil)
		}
	}
}

// permitted are the capabilities of the calling thread.
func permitted() (uint64, error) {
	var have [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&hdr, &have[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return uint64(have[1].Permitted)<<32 | uint64(have[0].Permitted), nil
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
	if err := b.console(tty); err != nil {
		return err
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

// changeDir enters the working directory, which is made if it is missing, as
// Docker does. Magic links are not followed and the result must be below the
// root: a leaked descriptor of the host must not be a way out (CVE-2024-21626).
func changeDir(root int, dir string) error {
	if dir == "" {
		dir = "/"
	}
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

// SearchPath are the places where a program may be, as execvp(3) tries them.
func SearchPath(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var paths []string
	for _, kv := range env {
		list, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(list, ":") {
			if dir == "" {
				dir = "."
			}
			paths = append(paths, dir+"/"+name)
		}
	}
	return paths
}

// findProgram is the search in $PATH, with Docker's exit statuses.
func findProgram(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var denied error
	for _, path := range SearchPath(name, env) {
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
	return "", notFound(name)
}

func notFound(name string) error {
	return api.Errorf("exec", name, "not found in $PATH").WithCode(api.ExitNotFound)
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
	// The socket to the monitor goes along: the sandbox has started when its init
	// handles signals and the program runs.
	if _, err := unix.FcntlInt(Control, unix.F_SETFD, 0); err != nil {
		return os.NewSyscallError("fcntl F_SETFD", err)
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
