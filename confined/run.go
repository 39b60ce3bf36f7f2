package confined

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/landlock"
	"sbx/sandbox"
	"sbx/sandbox/pid1"
	"sbx/seccomp"
)

// Program is what to run, and what keeps it from more.
type Program struct {
	Run    *api.Run
	Cause  api.Finding // why there are no namespaces
	Hidden []string    // directories of the host that it must not see
	Place  string      // where directories for programs are made
}

// Start runs the program until it has ended and gives its exit status, 128+n for
// signal n. The calling goroutine must be the main one: the program lives as long as
// its thread.
func (p *Program) Start() (status int, err error) {
	runtime.LockOSThread()
	if err := check(p.Run); err != nil {
		return 0, err
	}
	version := landlock.Version()
	if version < landlock.Least {
		return 0, tooOld(p, version)
	}
	h, err := makeHome(p.Place)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, h.remove()) }()
	c, err := p.complete(h)
	if err != nil {
		return 0, err
	}
	walls, err := p.build(version, h, c)
	if err != nil {
		return 0, err
	}
	defer walls.close()
	// What the program leaves behind becomes a child of this process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	p.announce(version)
	return p.follow(c, walls)
}

// tooOld is the refusal to run without Landlock.
func tooOld(p *Program, version int) error {
	e := api.Wrap("run", api.HostImage, api.Errorf("run", api.HostImage, "%s; and without them this takes Landlock, which this kernel does not have", p.Cause.What))
	if version > 0 {
		e.Msg = p.Cause.What + "; and the Landlock of this kernel does not keep programs from truncating files, Linux 6.2 does"
	}
	return e.WithRemedy(p.Cause.Remedy)
}

// complete gives the program its environment, with a private home.
func (p *Program) complete(h *home) (*api.Config, error) {
	c := &api.Config{Spec: p.Run.Spec}
	var err error
	if c.Hostname, err = os.Hostname(); err != nil {
		return nil, err
	}
	c.Caller.Home = h.path
	c.Process.Env = append([]string{"TMPDIR=" + h.tmp()}, c.Process.Env...)
	if err := sandbox.CompleteHost(c); err != nil {
		return nil, err
	}
	if len(c.Process.Args()) == 0 || c.Process.Args()[0] == "" {
		return nil, api.Errorf("run", api.HostImage, "the command is empty").WithCode(api.ExitNotFound)
	}
	return c, nil
}

// walls are what is put around the program.
type walls struct {
	rules    *landlock.Ruleset
	own      []byte // filter of the profile
	shared   []byte // filter in the place of namespaces
	writable []grant
}

func (w *walls) close() { w.rules.Close() }

func (p *Program) build(version int, h *home, c *api.Config) (*walls, error) {
	network := c.Isolation.Network == "host"
	grants := append(view(p.Hidden), grant{h.path, landlock.Write})
	if c.Process.TTY {
		grants = append(grants, grant{"/dev/tty", landlock.Terminal})
	}
	if network {
		grants = append(grants, resolverFiles()...)
	}
	if err := checkDir(c, p.Hidden, h.path); err != nil {
		return nil, err
	}
	w := &walls{}
	var err error
	if w.own, err = seccomp.Compile([]byte(c.Isolation.Seccomp), nil); err != nil {
		return nil, api.Wrap("compile the seccomp profile", "", err)
	}
	if w.shared, err = seccomp.Shared(network); err != nil {
		return nil, api.Wrap("compile the seccomp filter", "", err)
	}
	w.rules, w.writable, err = ruleset(version, network, grants, c.Mounts)
	w.writable = append(w.writable, grant{h.path, landlock.Write})
	return w, err
}

// checkDir refuses a working directory that the program would not see.
func checkDir(c *api.Config, hidden []string, home string) error {
	dir := c.Process.WorkDir
	for _, m := range c.Mounts {
		if below(dir, m.Target) {
			return nil
		}
	}
	for _, h := range resolved(hidden) {
		if below(dir, h) && !below(dir, home) {
			return api.Errorf("chdir", dir, "the program does not see it").WithHint("give it to the program: -v %s:%s", dir, dir)
		}
	}
	return nil
}

// follow starts the program and stays with it.
func (p *Program) follow(c *api.Config, w *walls) (status int, err error) {
	files, err := newStreams(p.Run.Stdio, c.Process.TTY)
	if err != nil {
		return 0, err
	}
	// Before the program is there, so that none ends it unseen.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT)
	defer signal.Stop(signals)
	e, watch, err := enter(c, w)
	if err != nil {
		return 0, err
	}
	e.Files = files.program
	pid, err := e.Start()
	files.started()
	if err != nil {
		watch.close()
		return 0, notRun(c.Process.Args()[0], err)
	}
	go watch.serve(w.writable)
	self, err := sys.Pidfd(pid)
	if err != nil {
		return 0, errors.Join(err, endChildren())
	}
	defer self.Close()
	go func() {
		for sig := range signals {
			// ESRCH: it has ended, and we are about to.
			_ = sys.Signal(self, sig.(syscall.Signal))
		}
	}()
	defer files.tty.restore()
	if err := files.relay(); err != nil {
		return 0, errors.Join(err, sys.Signal(self, unix.SIGKILL), endChildren())
	}
	status, err = await(pid)
	if err := errors.Join(err, endChildren()); err != nil {
		return 0, err
	}
	return status, files.drain()
}

// enter says how a child becomes the program. What restricts comes last, and the
// filters after the rules, since no profile need know of Landlock.
func enter(c *api.Config, w *walls) (*sys.Entry, *watcher, error) {
	args, env := c.Process.Args(), c.Process.Env
	paths := pid1.SearchPath(args[0], env)
	if len(paths) == 0 {
		return nil, nil, notRun(args[0], unix.ENOENT)
	}
	watch, err := newWatcher()
	if err != nil {
		return nil, nil, err
	}
	dir, err := unix.BytePtrFromString(c.Process.WorkDir)
	if err != nil {
		watch.close()
		return nil, nil, api.Wrap("chdir", c.Process.WorkDir, err)
	}
	s := &sys.Script{}
	// A session without the caller's terminal: it cannot open that as /dev/tty.
	s.Call("setsid", unix.SYS_SETSID)
	if c.Process.TTY {
		s.Call("ioctl TIOCSCTTY", unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	s.Call("prctl PR_SET_PDEATHSIG", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	s.Call("chdir "+c.Process.WorkDir, unix.SYS_CHDIR, sys.Pointer(s, dir))
	// Root of a namespace that somebody else has made has some.
	s.Call("prctl PR_CAP_AMBIENT_CLEAR_ALL", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	s.Call("capset", unix.SYS_CAPSET, sys.Pointer(s, &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}), sys.Pointer(s, new([2]unix.CapUserData)))
	s.Call("prctl PR_SET_NO_NEW_PRIVS", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	w.rules.Restrict(s)
	s.Call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, filter(s, w.shared))
	watch.pass(s)
	s.Call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, filter(s, w.own))
	s.Call("close_range", unix.SYS_CLOSE_RANGE, 3, uintptr(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
	return &sys.Entry{Paths: paths, Args: args, Env: env, Script: s}, watch, nil
}

// filter is struct sock_fprog for a call of a script.
func filter(s *sys.Script, program []byte) uintptr {
	return sys.Pointer(s, &unix.SockFprog{
		Len:    uint16(len(program) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0])),
	})
}

// notRun has the exit statuses of a shell.
func notRun(name string, err error) error {
	var exec *sys.ExecError
	if !errors.As(err, &exec) {
		if errors.Is(err, unix.ENOENT) {
			return api.Wrap("exec", name, err).WithCode(api.ExitNotFound)
		}
		return api.Wrap("start the program", "", err)
	}
	e := api.Wrap("exec", name, exec.Err).WithCode(api.ExitNotExecutable)
	switch {
	case errors.Is(err, unix.ENOENT):
		e.Code = api.ExitNotFound
	case errors.Is(err, unix.EACCES):
		e.WithHint("it may not be executed, or is among the files that the program must not see: give it with -v FILE:FILE:ro")
	}
	return e
}

// await reaps until the program has ended.
func await(pid int) (int, error) {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR || err == nil && got != pid:
		case err != nil:
			return 0, api.Wrap("wait4", "", err)
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}

// announce says on one line what this is not.
func (p *Program) announce(version int) {
	text := "sbx: NOTICE: " + p.Cause.What + ", so this is no sandbox: Landlock and seccomp alone confine the program, it shares users, processes and host name with you"
	if version < landlock.Scoped {
		text += ", can send signals to what else you run"
	}
	switch p.Run.Spec.Isolation.Network {
	case "":
		text += ", and has no network (--network host gives it yours)"
	case "host":
		text += ", and has your network"
	}
	if p.Cause.Text != "" {
		text += ": " + p.Cause.Text
	}
	// Nothing is left to tell a standard error that cannot be written to.
	_, _ = io.WriteString(os.Stderr, text+"\n")
}
