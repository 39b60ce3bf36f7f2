package monitor

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
	"sbx/sandbox/pid1"
)

// roleEnv is what pid 1 runs with until it becomes the program: with a single
// processor the Go runtime does not look for more.
var roleEnv = []string{"GOMAXPROCS=1"}

// child is a process in the sandbox.
type child struct {
	pid     int
	start   uint64 // its start time
	pidfd   *os.File
	control *api.Conn
	held    map[string]*os.File // namespaces

	group sync.Mutex // of ended
	ended bool       // a check's pid may be another process's any time
}

// spawn starts pid 1 and begins to listen for later supervisors.
func (m *monitor) spawn(files []*os.File) error {
	if err := m.openSocket(); err != nil {
		return err
	}
	if err := m.openGroup(); err != nil {
		return err
	}
	ours, theirs, err := api.Pair("pid1")
	if err != nil {
		return err
	}
	defer theirs.Close()
	var pid int
	err = m.onMain(func() (err error) {
		var more []*os.File // for pid 1
		if m.prepare.JoinNet {
			if files, more, err = m.joinNet(files); err != nil {
				return err
			}
		}
		for _, f := range more {
			defer f.Close()
		}
		args := []string{pid1.RoleMain, m.prepare.Namespaces.String(), m.prepare.Points}
		if m.prepare.Join {
			pid, err = m.forkJoining(args, theirs, files, more)
			return err
		}
		if m.prepare.Stage != nil {
			m.bound = true
			if err := stage(m.prepare.Points, m.prepare.Stage); err != nil {
				return err
			}
		}
		pid, err = m.fork(args, theirs, more)
		return err
	})
	if err != nil {
		ours.Close()
		return err
	}
	c, err := newChild(pid, ours)
	if err != nil {
		return err
	}
	m.child = c
	c.hold(m.prepare.Namespaces.New)
	go m.follow()
	return nil
}

// joinNet moves the main thread, and what it forks, to another sandbox's network,
// whose namespace is the last of files. More is a file system with the interfaces
// there, for /sys: only who has rights over the user namespace of that sandbox can
// make one, and pid 1 has not.
func (m *monitor) joinNet(files []*os.File) (rest, more []*os.File, err error) {
	if len(files) == 0 {
		return nil, nil, api.Errorf("join a network", "", "its namespace is missing")
	}
	netns := files[len(files)-1]
	defer netns.Close()
	m.bound = true
	if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, nil, api.Wrap("setns net", "", err).WithHint("the other sandbox has just ended")
	}
	sysfs, err := sys.NewMount("sysfs", sys.NOSUID|sys.NODEV|sys.NOEXEC)
	switch {
	case err == nil:
		m.prepare.Namespaces.Sysfs = true
		more = append(more, os.NewFile(uintptr(sysfs), "sysfs"))
	case !errors.Is(err, unix.EPERM): // a mount hides part of the host's /sys, as in a container
		return nil, nil, err
	}
	return files[:len(files)-1], more, nil
}

// fork clones pid 1 into new namespaces.
func (m *monitor) fork(args []string, control *api.Conn, more []*os.File) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	var ambient []uintptr
	if m.prepare.KeepID {
		if ambient, err = sys.AllCaps(); err != nil {
			return 0, err
		}
	}
	// Standard error is the supervisor's log: what the Go runtime has to say if it
	// dies.
	inherited := []uintptr{null.Fd(), null.Fd(), 2, fd(control), m.self.Fd()}
	for _, f := range more {
		inherited = append(inherited, f.Fd())
	}
	pid, err := syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", m.self.Fd()), args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   roleEnv,
		Files: inherited,
		Sys: &syscall.SysProcAttr{
			Cloneflags:  uintptr(m.prepare.Namespaces.New&^pid1.OwnStep | unix.CLONE_NEWUSER),
			UidMappings: m.prepare.UIDMap, GidMappings: m.prepare.GIDMap,
			GidMappingsEnableSetgroups: m.prepare.Setgroups,
			AmbientCaps:                ambient,
			UseCgroupFD:                m.group != nil, CgroupFD: m.groupFD(),
		},
	})
	if err != nil {
		return 0, cloneError(err)
	}
	return pid, nil
}

// fd gives the descriptor of a connection that a child is to inherit. Fd makes
// it blocking, which is what the child wants.
func fd(c *api.Conn) uintptr { return c.File().Fd() }

func cloneError(err error) error {
	e := api.Wrap("clone", "", err)
	switch {
	case errors.Is(err, unix.ENOSPC):
		e.WithHint("a limit of namespaces is reached (/proc/sys/user/max_*_namespaces): %s", remedy.MaxUserNamespaces().Text)
	case errors.Is(err, unix.EAGAIN):
		e.WithHint("the limit of processes is reached: see ulimit -u")
	case errors.Is(err, unix.EPERM):
		e.WithRemedy(remedy.Forbidden())
	case errors.Is(err, unix.ENOMEM):
		e.WithHint("no memory, or the limit of processes in the pid namespace is reached")
	}
	return e
}

// forkJoining starts pid 1 in the user and pid namespace of another sandbox,
// whose first process files[0] refers to.
func (m *monitor) forkJoining(args []string, control *api.Conn, files, more []*os.File) (int, error) {
	if len(files) != 1 {
		return 0, api.Errorf("join a sandbox", "", "its pidfd is missing")
	}
	other := files[0]
	defer other.Close()
	m.bound = true
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWPID); err != nil {
		return 0, api.Wrap("setns pid", "", err).WithHint("the other sandbox has just ended")
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	entry := sys.Entry{
		Exe: m.self, Args: args, Env: roleEnv,
		Files:   append([]*os.File{null, null, os.Stderr, control.File(), m.self}, more...),
		Join:    []sys.Join{{File: other, Flags: unix.CLONE_NEWUSER}},
		Ambient: m.prepare.KeepID,
		Unshare: int(m.prepare.Namespaces.New &^ pid1.OwnStep),
		Cgroup:  m.group,
	}
	return entry.Start()
}

// enter starts a further program in the sandbox. On the main thread.
func (m *monitor) enter(entry *sys.Entry) (*child, error) {
	ns := m.prepare.Namespaces
	if (ns.New|ns.Joined)&unix.CLONE_NEWPID != 0 {
		// There is no way back: whatever this thread forks from now on is in there.
		m.bound = true
		if err := unix.Setns(int(m.child.pidfd.Fd()), unix.CLONE_NEWPID); err != nil {
			return nil, api.Wrap("setns pid", "", err).WithHint("the sandbox has just ended")
		}
	}
	flags := int(ns.New|ns.Joined)&^unix.CLONE_NEWPID | unix.CLONE_NEWUSER
	entry.Join = []sys.Join{{File: m.child.pidfd, Flags: flags}}
	entry.Cgroup = m.group
	pid, err := entry.Start()
	if err != nil {
		return nil, err
	}
	return newChild(pid, nil)
}

func newChild(pid int, control *api.Conn) (*child, error) {
	// The process is our child and not yet waited for: the pid is its own.
	pidfd, err := sys.Pidfd(pid)
	if err != nil {
		return nil, err
	}
	start, err := sys.StartTime(pid)
	if err != nil {
		return nil, err
	}
	return &child{pid: pid, start: start, pidfd: pidfd, control: control}, nil
}

// hold keeps namespaces alive beyond the process, so that it is the monitor's
// end and not the program's that waits for the kernel to take them down.
func (c *child) hold(flags uint64) {
	c.held = map[string]*os.File{}
	for flag, name := range map[uint64]string{unix.CLONE_NEWNS: "mnt", unix.CLONE_NEWNET: "net", unix.CLONE_NEWIPC: "ipc"} {
		if flags&flag == 0 {
			continue
		}
		// For all but the network it is only a matter of speed; a missing one shows there.
		if f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", c.pid, name)); err == nil {
			c.held[name] = f
		}
	}
}

// netns is the network namespace, if the sandbox has one of its own.
func (c *child) netns() []*os.File {
	if f := c.held["net"]; f != nil {
		return []*os.File{f}
	}
	return nil
}

func (c *child) signal(sig unix.Signal) error {
	err := sys.Signal(c.pidfd, sig)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// kill ends the process and all others of its pid namespace.
func (c *child) kill() {
	if err := c.signal(unix.SIGKILL); err != nil {
		fmt.Fprintln(os.Stderr, "sbx-monitor:", err)
	}
	c.wait()
}

// wait gives the exit status as Docker has it.
func (c *child) wait() int {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(c.pid, &status, 0, nil)
		if err == nil {
			return pid1.ExitCode(status)
		}
		if err != unix.EINTR {
			fmt.Fprintln(os.Stderr, "sbx-monitor: wait4:", err)
			return api.ExitFault
		}
	}
}

// limits is the program's limit of open files. The monitor's own is no measure:
// Go raises it for itself.
func (c *child) limits() []api.Rlimit {
	var now unix.Rlimit
	if err := unix.Prlimit(c.pid, unix.RLIMIT_NOFILE, nil, &now); err != nil {
		return nil // it has ended already
	}
	return []api.Rlimit{{Name: "nofile", Soft: now.Cur, Hard: now.Max}}
}

// release closes everything that refers to the process, which has ended.
func (c *child) release() {
	for _, f := range c.held {
		f.Close()
	}
	c.pidfd.Close()
	c.control.Close()
}
