package monitor

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/sandbox/pid1"
)

// exec runs a further program in the sandbox and stays with its client to the
// end. The client's files go to the program itself; the monitor copies nothing.
func (m *monitor) exec(e *Exec, files []*os.File) {
	m.execs.Add(1)
	defer m.execs.Done()
	c, rest, err := newClient(m, api.Stdio{Direct: true}, files)
	if err != nil {
		return // without a connection there is nobody to tell
	}
	defer c.close()
	run, err := m.startExec(e, rest)
	for _, f := range rest {
		f.Close()
	}
	if err != nil {
		// The client may be gone already.
		_ = c.conn.Send(api.KindFault, api.Wrap("exec", "", err))
		return
	}
	if !run.confirm(c) {
		return
	}
	if e.Detach {
		run.wait()
		return
	}
	go run.forward(c)
	_ = c.conn.Send(api.KindExited, api.Done{Code: run.wait()}) // as above
}

func (m *monitor) startExec(e *Exec, files []*os.File) (*child, error) {
	m.mu.Lock()
	running := m.status.State == api.Running
	m.mu.Unlock()
	if !running {
		return nil, api.Errorf("exec", "", "the sandbox is not running")
	}
	ours, theirs, err := api.Pair("exec")
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	var pid int
	if err = m.onMain(func() (err error) {
		pid, err = m.enter(theirs)
		return err
	}); err != nil {
		ours.Close()
		return nil, err
	}
	run, err := newChild(pid, ours)
	if err != nil {
		return nil, err
	}
	order := pid1.Order{What: e.Program, Stdio: pid1.Stdio{In: e.Stdio.In, Out: e.Stdio.Out, Err: e.Stdio.Err, Size: e.Stdio.Size}}
	if err := ours.Send(pid1.KindSpec, &order, files...); err != nil {
		run.kill()
		return nil, err
	}
	return run, nil
}

// confirm tells the client that the program runs, with the master of its
// terminal, or why it does not.
func (c *child) confirm(to *client) bool {
	defer c.control.Close()
	told := false
	for {
		p, err := c.control.Recv()
		switch {
		case err == io.EOF:
			if !told {
				_ = to.conn.Send(api.KindStarted, api.Started{}) // it may be gone
			}
			return true
		case err != nil:
			c.kill()
			_ = to.conn.Send(api.KindFault, api.Wrap("exec", "", err))
			return false
		case p.Kind == pid1.KindPty && len(p.Files) == 1:
			told = true
			_ = to.conn.Send(api.KindStarted, api.Started{}, p.Files[0])
			p.CloseFiles()
		case p.Kind == pid1.KindFault:
			c.wait()
			_ = to.conn.Send(api.KindFault, p.Error)
			return false
		}
	}
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
