package monitor

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/sandbox/pid1"
)

// exec runs a further program in the sandbox and stays with its client to the
// end. The client's files go to the program itself; the monitor copies nothing.
func (m *monitor) exec(e *Exec, files []*os.File) {
	defer m.execs.Done()
	c, rest, err := newClient(m, api.Stdio{Direct: true}, files)
	if err != nil {
		return // without a connection there is nobody to tell
	}
	defer c.close()
	run, master, err := m.startExec(e, rest)
	for _, f := range rest {
		f.Close()
	}
	if err != nil {
		fault := api.Wrap("exec", "", err)
		// The client may be gone already.
		_ = c.conn.Send(api.KindFault, fault)
		m.execEnded(fault.ExitCode(), e)
		return
	}
	defer run.pidfd.Close()
	var send []*os.File
	if master != nil {
		send = append(send, master)
	}
	// As above. Whoever has the terminal's master reads what the program writes.
	_ = c.conn.Send(api.KindStarted, &api.Started{ID: m.prepare.ID}, send...)
	if master != nil {
		master.Close()
	}
	if e.Detach {
		m.execEnded(run.wait(), e)
		return
	}
	go func() {
		run.forward(c)
		if e.Check {
			run.killGroup()
		}
	}()
	if e.Check {
		m.check(run)
	}
	code := run.wait()
	_ = c.conn.Send(api.KindExited, &api.Done{Code: code}) // as above
	m.execEnded(code, e)
}

// execEnded tells the supervisor.
func (m *monitor) execEnded(code int, e *Exec) {
	if e.ID != "" {
		m.tell(KindExecEnded, &ExecEnded{ID: e.ID, Code: code})
	}
}

// check waits for the end of a check, which is that of the program at the latest:
// without a pid namespace of its own the program does not take it along.
func (m *monitor) check(c *child) {
	m.mu.Lock()
	if m.checks == nil {
		m.checks = map[*child]bool{}
	}
	m.checks[c] = true
	late := m.ending
	m.mu.Unlock()
	if late {
		c.killGroup()
	}
	c.linger()
	m.mu.Lock()
	delete(m.checks, c)
	m.mu.Unlock()
}

func (m *monitor) endChecks() {
	m.mu.Lock()
	m.ending = true
	running := slices.Collect(maps.Keys(m.checks))
	m.mu.Unlock()
	for _, c := range running {
		c.killGroup()
	}
}

// linger waits until the process has ended, but leaves it its pid until killGroup
// cannot take it for another's.
func (c *child) linger() {
	for unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	c.group.Lock()
	c.ended = true
	c.group.Unlock()
}

// killGroup kills a further program, which leads a session, and what it has started
// there.
func (c *child) killGroup() {
	c.group.Lock()
	defer c.group.Unlock()
	if c.ended {
		return
	}
	if err := unix.Kill(-c.pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
		fmt.Fprintln(os.Stderr, "sbx-monitor: kill a check:", err)
	}
}

func (m *monitor) startExec(e *Exec, files []*os.File) (*child, *os.File, error) {
	m.mu.Lock()
	running := m.status.State == api.Running
	m.mu.Unlock()
	if !running {
		return nil, nil, api.Errorf("exec", "", "the sandbox is not running")
	}
	further := pid1.Further{
		Program: &e.Program, PID: m.child.pid, Files: files, Limits: m.limits,
		Stdio: pid1.Stdio{In: e.Stdio.In, Out: e.Stdio.Out, Err: e.Stdio.Err, Size: e.Stdio.Size},
	}
	defer further.Close()
	entry, err := further.Entry()
	var run *child
	if err == nil {
		err = m.onMain(func() (err error) {
			run, err = m.enter(entry)
			return err
		})
		if err != nil {
			err = further.Explain(err)
		}
	}
	if err != nil && further.Master != nil {
		further.Master.Close()
		further.Master = nil
	}
	return run, further.Master, err
}

// forward passes the client's signals on, until it goes away.
func (c *child) forward(from *client) {
	for {
		p, err := from.conn.Recv()
		if err != nil {
			return
		}
		var s api.Signal
		if p.Kind == api.KindSignal && p.Decode(&s) == nil {
			_ = c.signal(unix.Signal(s.Num)) // a signal that does not exist: the command line's mistake
		}
		p.CloseFiles()
	}
}
