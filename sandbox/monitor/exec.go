package monitor

import (
	"os"

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
		// The client may be gone already.
		_ = c.conn.Send(api.KindFault, api.Wrap("exec", "", err))
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
		run.wait()
		return
	}
	go run.forward(c)
	_ = c.conn.Send(api.KindExited, &api.Done{Code: run.wait()}) // as above
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
