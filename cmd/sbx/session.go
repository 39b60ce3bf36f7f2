package main

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// session is one run, start -a, attach or exec in the foreground: it moves
// bytes, keys and signals until the program has ended or the user detaches.
type session struct {
	s streams
	attachment
	plan    *plan
	term    *terminal // set while a program has the caller's terminal
	started func(id string) error
	signals chan os.Signal

	mu       sync.Mutex
	conn     *api.Conn
	waiting  []waiting // packets from before there was a connection
	begun    bool      // the program runs
	over     bool      // the program has ended, or we cannot know
	detached bool
	master   *os.File // of the pseudo-terminal of exec -t
}

type waiting struct {
	kind string
	body any
}

// checkTerminal refuses -it without a terminal, in Docker's words.
func checkTerminal(s streams, a attachment) error {
	if a.in && a.tty && !isTerminal(s.in) {
		return &api.Error{Op: "the input device is not a TTY", Hint: "leave out -t", Code: api.ExitFault}
	}
	return nil
}

// converse sends the request that body makes of the standard files, and sees the
// program through. The exit status is an exitStatus. Every error of it has an
// exit status too.
func (c *session) converse(verb string, p *plan, body any) (err error) {
	c.plan = p
	defer p.close()
	if c.in && c.tty {
		c.term = &terminal{fd: fdOf(c.s.in)}
	}
	defer c.term.restore()
	if c.tty || !c.proxy {
		c.arm()
	}
	defer c.disarm()
	conn, err := request(verb, body, p.files...)
	p.sent()
	if err != nil {
		return withCode(err)
	}
	defer conn.Close()
	c.connected(conn)
	done, err := c.follow()
	c.ended()
	c.drain()
	c.term.restore()
	switch {
	case c.left():
		return nil
	case err != nil:
		return withCode(err)
	}
	return c.status(done)
}

// follow reads packets until the program has ended.
func (c *session) follow() (api.Done, error) {
	var done api.Done
	show := progress{w: c.s.err, verb: api.VerbPull}
	defer show.finish()
	for {
		p, err := c.conn.Recv()
		if err != nil {
			return done, c.lost(err)
		}
		switch p.Kind {
		case api.KindStarted:
			show.finish()
			err = c.begin(p)
		case api.KindOut, api.KindErr:
			show.settle()
			err = printText(c.s, p)
		case api.KindProgress:
			err = show.report(p)
		case api.KindFault:
			err = faultOf(p)
		case api.KindExited, api.KindDone:
			if len(p.Body) > 0 {
				err = p.Decode(&done)
			}
			p.CloseFiles()
			return done, err
		default:
			err = api.Errorf("talk to the supervisor", "", "it answers with %q", p.Kind)
		}
		p.CloseFiles()
		if err != nil {
			return done, err
		}
	}
}

func (c *session) lost(err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case !c.running():
		return lost(err)
	}
	return api.Errorf("wait for the program", "", "its monitor died, so the exit status is not known").
		WithHint("'sbx ps -a' shows what is left")
}

// begin lets the bytes flow: the program runs. Not earlier, so that a run that
// fails has taken nothing from standard input.
func (c *session) begin(p *api.Packet) error {
	var started api.Started
	if err := p.Decode(&started); err != nil {
		return err
	}
	if len(p.Files) > 0 {
		if err := c.adopt(p); err != nil {
			return err
		}
	}
	if c.started != nil {
		if err := c.started(started.ID); err != nil {
			return err
		}
	}
	if err := c.term.raw(); err != nil {
		return err
	}
	c.mu.Lock()
	c.begun = true
	c.mu.Unlock()
	if !c.tty {
		time.AfterFunc(armAfter, c.arm)
	}
	for _, r := range c.plan.relays {
		r.gone = func() { c.hangup(r) }
		go func() {
			defer c.term.guard()
			r.run()
		}()
	}
	if c.plan.input != nil {
		go c.typed()
	}
	return nil
}

// adopt takes the pseudo-terminal of exec -t: its keys and its output are ours
// to relay.
func (c *session) adopt(p *api.Packet) error {
	// The monitor holds the same open file; only a non-blocking one takes
	// deadlines, and the monitor does not read it.
	fd, err := unix.FcntlInt(uintptr(fdOf(p.Files[0])), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return api.Wrap("take over the terminal", "", err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	c.mu.Lock()
	c.master = master
	c.mu.Unlock()
	c.plan.relays = append(c.plan.relays, newRelay(master, c.s.out))
	if c.in {
		c.plan.input = master
	}
	c.resize()
	return nil
}

// typed copies standard input to the program. It may still wait for a key when
// the program has ended; nobody waits for it.
func (c *session) typed() {
	defer c.term.guard()
	fd := fdOf(c.s.in)
	keys := &detacher{keys: c.keys}
	buf := make([]byte, 64<<10)
	for {
		n, err := readSome(fd, buf)
		if n == 0 || err != nil {
			break
		}
		data, detach := buf[:n], false
		if c.tty {
			data, detach = keys.feed(data)
		}
		if _, err := c.plan.input.Write(data); err != nil {
			break // the program reads no more
		}
		if detach {
			c.detach()
			return
		}
	}
	if c.master == nil {
		c.plan.input.Close()
	}
}

// detach leaves the program alone.
func (c *session) detach() {
	c.mu.Lock()
	c.detached = true
	c.mu.Unlock()
	c.conn.Close()
}

func (c *session) left() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.detached
}

func (c *session) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun
}

// ended lets signals end us again: whoever reads our output may have stopped.
func (c *session) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

func (c *session) mortal() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// connected sends what came up before there was a connection.
func (c *session) connected(conn *api.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	for _, w := range c.waiting {
		c.pass(w)
	}
	c.waiting = nil
}

// send passes a packet to the monitor, now or once we are connected.
func (c *session) send(kind string, body any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		c.waiting = append(c.waiting, waiting{kind, body})
		return
	}
	c.pass(waiting{kind, body})
}

func (c *session) pass(w waiting) {
	// A monitor that is gone has no use for it; follow sees that it is.
	_ = c.conn.Send(w.kind, w.body)
}

// hangup passes on that the reader of a stream has gone. The monitor, which keeps
// a log, would not tell the program otherwise.
func (c *session) hangup(r *relay) {
	stream := "stdout"
	if r.to == c.s.err {
		stream = "stderr"
	}
	c.send(api.KindHangup, api.Hangup{Stream: stream})
}

// resize tells the program's terminal the size of ours.
func (c *session) resize() {
	if !c.tty {
		return
	}
	size := windowSize(c.s)
	c.mu.Lock()
	master := c.master
	c.mu.Unlock()
	if master == nil {
		c.send(api.KindResize, size)
		return
	}
	// A terminal whose program has just ended takes no size.
	_ = unix.IoctlSetWinsize(fdOf(master), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
}

// drain waits until everything that the program wrote is out.
func (c *session) drain() {
	if !c.running() || c.left() {
		return
	}
	for _, r := range c.plan.relays {
		r.finish()
	}
}

// status is the program's, unless its output could not be written.
func (c *session) status(done api.Done) error {
	if err := printDone(c.s, done); err != nil {
		return withCode(err)
	}
	if done.Code != 0 {
		return exitStatus(done.Code)
	}
	for _, r := range c.plan.relays {
		if err := r.failed(); err != nil {
			return api.Wrap("write the program's output", "", err).WithCode(api.ExitFault)
		}
	}
	return nil
}

// withCodeOrNil is withCode for an error that may be none.
func withCodeOrNil(err error) error {
	if err == nil {
		return nil
	}
	return withCode(err)
}

// withCode gives an error the status that errors of run and its kin have.
func withCode(err error) error {
	var e *api.Error
	if errors.As(err, &e) && e.Code != 0 {
		return err
	}
	return &faultError{err, api.ExitFault}
}
