package monitor

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// client is an attached command line.
type client struct {
	m      *monitor
	conn   *api.Conn
	starts *Start // what this command line has started and stays with, if anything
	armed  bool   // it forwards signals

	mu           sync.Mutex
	in, out, err *os.File
	feeding      bool
}

// newClient takes the connection and, unless they go to the program itself, the
// standard files of a command line. It gives back the files that it left.
func newClient(m *monitor, stdio api.Stdio, files []*os.File) (*client, []*os.File, error) {
	if len(files) == 0 {
		return nil, files, api.Errorf("attach", "", "the client's connection is missing")
	}
	conn, err := nonblocking(files[0])
	if err != nil {
		return nil, files, err
	}
	c := &client{m: m}
	if c.conn, err = api.NewConn(conn); err != nil {
		return nil, files, err
	}
	files = files[1:]
	if stdio.Direct {
		return c, files, nil
	}
	for _, s := range []struct {
		have bool
		to   **os.File
	}{{stdio.In, &c.in}, {stdio.Out, &c.out}, {stdio.Err, &c.err}} {
		if !s.have || len(files) == 0 {
			continue
		}
		if *s.to, err = nonblocking(files[0]); err != nil {
			return nil, files, err
		}
		files = files[1:]
	}
	return c, files, nil
}

// nonblocking gives a received file to Go's poller. The command line made it for
// us: nobody else shares its flags.
func nonblocking(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	f.Close()
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "client"), nil
}

// attach adds a client to a running program.
func (m *monitor) attach(a *Attach, files []*os.File) error {
	c, _, err := newClient(m, a.Stdio, files)
	if err != nil {
		return err
	}
	m.mu.Lock()
	running := m.status.State == api.Running
	direct := m.start != nil && m.start.Stdio.Direct
	m.mu.Unlock()
	if direct || !running {
		e := api.Errorf("attach", "", "the sandbox is not running")
		if running {
			e = api.Errorf("attach", "", "its output goes straight to the command line that started it")
		}
		// The client may be gone already.
		_ = c.conn.Send(api.KindFault, e)
		c.close()
		return nil
	}
	m.out.add(c)
	c.resize(a.Stdio.Size)
	if err := c.conn.Send(api.KindStarted, &api.Started{ID: m.prepare.ID}); err != nil {
		m.out.remove(c)
		return nil
	}
	go c.serve()
	return nil
}

// serve reads what the command line forwards, until it goes away. The program
// goes on without it.
func (c *client) serve() {
	c.startInput()
	for {
		p, err := c.conn.Recv()
		if err != nil {
			c.m.out.remove(c)
			if c.starts != nil && !c.armed && err == io.EOF {
				c.m.abandon(c.starts)
			}
			return
		}
		switch p.Kind {
		case api.KindArmed:
			c.armed = true
		case api.KindHangup:
			var h api.Hangup
			if p.Decode(&h) == nil && c.starts != nil {
				c.m.out.hangup(h.Stream)
			}
		case api.KindSignal:
			var s api.Signal
			if p.Decode(&s) == nil {
				_ = c.m.signal(s.Num) // logged there
			}
		case api.KindResize:
			var s api.Size
			if p.Decode(&s) == nil {
				c.resize(s)
			}
		}
		p.CloseFiles()
	}
}

func (c *client) resize(s api.Size) {
	c.m.mu.Lock()
	master := c.m.master
	c.m.mu.Unlock()
	if master == nil || s.Rows == 0 {
		return
	}
	rc, err := master.SyscallConn()
	if err != nil {
		return // closed: the program has ended
	}
	_ = rc.Control(func(fd uintptr) {
		_ = sys.SetWinsize(int(fd), s.Rows, s.Cols) // the size is the terminal's last known one
	})
}

// startInput begins to feed the program, once there is both a client's input and
// a program to take it.
func (c *client) startInput() {
	c.m.mu.Lock()
	to := c.m.input
	// Not to be asked later: the monitor may serve another sandbox then.
	once := c.m.start != nil && c.m.start.Once && !c.m.start.TTY
	c.m.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if to == nil || c.in == nil || c.feeding {
		return
	}
	c.feeding = true
	in := c.in
	go func() {
		// Either end may go away at any time; the program sees the end of its input.
		_, _ = io.Copy(to, in)
		in.Close()
		if once {
			to.Close()
		}
	}()
}

func (c *client) drop(f *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == f {
		c.out = nil
	}
	if c.err == f {
		c.err = nil
	}
}

func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.Close()
	for _, f := range []*os.File{c.in, c.out, c.err} {
		if f != nil {
			f.Close()
		}
	}
}
