package pid1

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// Further is a program that the monitor starts in a running sandbox. All that
// has to be looked up is looked up from outside, by way of the root directory of
// the sandbox's first process, so that the child of the monitor's fork has only
// system calls left to make.
type Further struct {
	Program *Program
	PID     int   // first process of the sandbox, in the caller's pid namespace
	Stdio   Stdio // which of Files there are
	Files   []*os.File
	Limits  []api.Rlimit // of the first process, where the program has none of its own

	Master *os.File // of the terminal, after Entry

	closing []*os.File
}

// Close closes what Entry has opened, but for Master.
func (f *Further) Close() {
	for _, c := range f.closing {
		c.Close()
	}
	f.closing = nil
}

func (f *Further) open(fd int, name string) *os.File {
	file := os.NewFile(uintptr(fd), name)
	f.closing = append(f.closing, file)
	return file
}

// Entry looks everything up. Its namespaces are the caller's to add.
func (f *Further) Entry() (*sys.Entry, error) {
	pid := strconv.Itoa(f.PID)
	fd, err := unix.Open("/proc/"+pid+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, api.Wrap("open the root of the sandbox", "", err).WithHint("the sandbox has just ended")
	}
	root := int(f.open(fd, "/").Fd())
	p := f.Program
	id, err := lookUp(root, p.User, p.Groups)
	if err != nil {
		return nil, err
	}
	script := &sys.Script{}
	script.Call("setsid", unix.SYS_SETSID)
	files, err := f.files(root, id, script)
	if err != nil {
		return nil, err
	}
	dir, err := f.workDir(root)
	if err != nil {
		return nil, err
	}
	script.Call("fchdir", unix.SYS_FCHDIR, dir.Fd())
	have, err := lastCaps()
	if err != nil {
		return nil, err
	}
	setgroups, err := hasSetgroups(pid)
	if err != nil {
		return nil, err
	}
	if err := rlimitCalls(script, f.Limits); err != nil {
		return nil, err
	}
	if err := p.become(script, id, have, setgroups); err != nil {
		return nil, err
	}
	env := withHome(p.Env, id.home)
	paths := SearchPath(p.Args[0], env)
	if len(paths) == 0 {
		return nil, notFound(p.Args[0])
	}
	return &sys.Entry{Paths: paths, Args: p.Args, Env: env, Files: files, Script: script}, nil
}

// Explain says what the failure of the entry means to a user.
func (f *Further) Explain(err error) error {
	var exec *sys.ExecError
	if !errors.As(err, &exec) {
		return explain(err)
	}
	name := f.Program.Args[0]
	if errors.Is(err, unix.ENOENT) && SearchPath(name, nil) == nil {
		return notFound(name)
	}
	return execError(name, exec.Err)
}

func (f *Further) workDir(root int) (*os.File, error) {
	dir := f.Program.WorkDir
	if dir == "" {
		dir = "/"
	}
	fd, err := sys.OpenInRoot(root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, api.Wrap("chdir", dir, errors.Unwrap(err)).WithHint("choose a working directory that exists in the sandbox (-w)")
	}
	return f.open(fd, dir), nil
}

// files gives the standard files, and appends what is to be done to them in the
// child, whose ids they get.
func (f *Further) files(root int, id identity, script *sys.Script) ([]*os.File, error) {
	if f.Program.TTY {
		return f.terminal(root, id, script)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	f.closing = append(f.closing, null)
	files := []*os.File{null, null, null}
	rest := f.Files
	for i, have := range []bool{f.Stdio.In, f.Stdio.Out, f.Stdio.Err} {
		if !have {
			continue
		}
		if len(rest) == 0 {
			return nil, api.Errorf("exec", f.Program.Args[0], "a standard file is missing")
		}
		files[i], rest = rest[0], rest[1:]
		var st unix.Stat_t
		if err := unix.Fstat(int(files[i].Fd()), &st); err != nil {
			return nil, os.NewSyscallError("fstat", err)
		}
		if id.uid != 0 && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			// Not permitted for a pipe that an unmapped user made: it stays as it is.
			script.CallIgnoring([2]syscall.Errno{unix.EPERM, unix.EINVAL}, "fchown", unix.SYS_FCHOWN, uintptr(i), uintptr(id.uid), ^uintptr(0))
		}
	}
	return files, nil
}

// terminal opens a pty of the sandbox's own devpts.
func (f *Further) terminal(root int, id identity, script *sys.Script) ([]*os.File, error) {
	fd, err := sys.OpenInRoot(root, "dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	tty, err := sys.OpenPty(fd)
	if err != nil {
		master.Close()
		return nil, err
	}
	f.Master = master
	terminal := f.open(tty, "tty")
	if size := f.Stdio.Size; size.Rows != 0 {
		if err := sys.SetWinsize(tty, size.Rows, size.Cols); err != nil {
			return nil, err
		}
	}
	script.Call("fchown", unix.SYS_FCHOWN, 0, uintptr(id.uid), ^uintptr(0))
	script.Call("ioctl TIOCSCTTY", unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	return []*os.File{terminal, terminal, terminal}, nil
}
