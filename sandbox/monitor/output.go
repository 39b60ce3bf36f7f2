package monitor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sbx/sandbox/logfile"
)

// output is what the program writes, on its way to the log and to the clients.
// A client that does not read holds the program up, as a pipe would: no line is
// lost and nothing is kept in memory.
type output struct {
	log    *logfile.Writer
	copies sync.WaitGroup
	files  map[string]*os.File // by stream
	over   atomic.Bool         // the program has ended

	mu      sync.Mutex
	clients []*client
}

func (o *output) add(c *client) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clients = append(o.clients, c)
}

func (o *output) remove(c *client) {
	o.mu.Lock()
	o.clients = slices.DeleteFunc(slices.Clone(o.clients), func(x *client) bool { return x == c })
	o.mu.Unlock()
	c.close()
}

func (o *output) all() []*client {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.clients
}

// tell sends a packet to every client; last also ends the conversations.
func (o *output) tell(kind string, body any, last bool) {
	for _, c := range o.all() {
		// A client that is gone needs no telling.
		if err := c.conn.Send(kind, body); err != nil || last {
			o.remove(c)
		}
	}
}

// copy reads one stream to its end.
func (o *output) copy(stream string, from *os.File) {
	o.mu.Lock()
	if o.files == nil {
		o.files = map[string]*os.File{}
	}
	o.files[stream] = from
	o.mu.Unlock()
	o.copies.Add(1)
	go func() {
		defer o.copies.Done()
		defer from.Close()
		o.pump(stream, from)
	}()
}

func (o *output) pump(stream string, from *os.File) {
	log := o.log.Stream(stream)
	buf := make([]byte, 32<<10)
	var broken error
	for {
		o.grace(from)
		n, err := from.Read(buf)
		if n > 0 {
			if _, e := log.Write(buf[:n]); e != nil && !errors.Is(e, broken) {
				broken = errors.Unwrap(e)
				fmt.Fprintln(os.Stderr, "sbx-monitor:", e)
			}
			o.spread(stream, buf[:n])
		}
		if err != nil {
			// EIO is how a terminal says that nobody has it open. Any error is the
			// end of the stream.
			return
		}
	}
}

// hangup closes a stream whose one reader has gone: the program gets SIGPIPE or
// EPIPE when it writes on. A terminal has no such thing.
func (o *output) hangup(stream string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.files[stream]; f != nil && f.Name() != terminalName {
		f.Close()
	}
}

// leftover is how long an ended program's output is waited for when somebody
// else, who was handed the pipe, still holds it open.
const leftover = time.Second

func (o *output) grace(from *os.File) {
	if o.over.Load() {
		// A file without deadlines ends by itself.
		_ = from.SetReadDeadline(time.Now().Add(leftover))
	}
}

func (o *output) spread(stream string, data []byte) {
	for _, c := range o.all() {
		to := c.out
		if stream == "stderr" {
			to = c.err
		}
		if to == nil {
			continue
		}
		if _, err := to.Write(data); err != nil {
			// The command line has closed its end: it wants no more of this stream.
			to.Close()
			c.drop(to)
		}
	}
}

// finish waits for the rest of the output and closes the log.
func (o *output) finish() {
	o.over.Store(true)
	o.mu.Lock()
	for _, f := range o.files {
		o.grace(f)
	}
	o.mu.Unlock()
	o.copies.Wait()
	if o.log == nil {
		return
	}
	if err := o.log.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "sbx-monitor: log:", err)
	}
}

const terminalName = "ptmx"

// terminal takes over the master of the program's pty.
func (m *monitor) terminal(f *os.File) error {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	f.Close()
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	master := os.NewFile(uintptr(fd), terminalName)
	m.mu.Lock()
	m.master = master
	m.input = master
	m.mu.Unlock()
	m.out.copy("stdout", master)
	for _, c := range m.out.all() {
		c.startInput()
	}
	return nil
}
