package ports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Options of a Table.
type Options struct {
	Run    string // runtime directory
	Switch string // path of the network namespace that the bridges are in
	Log    *slog.Logger
}

// Table is the published ports of one user: the supervisor's side of Serve's
// process, which it starts with the first port, and again when it has died.
// Its methods may be called from several goroutines.
type Table struct {
	o     Options
	netns uint64

	mu       sync.Mutex
	process  *process // nil: none is known to run
	forwards map[int]Forward
	next     int
	avoid    []netip.Prefix // of LeadOut; nil: it leads nothing out
	closed   bool
}

// Open finds the ports that an earlier supervisor has published. A process that
// serves another network namespace is ended: the sandboxes behind it are gone.
func Open(o Options) (*Table, error) {
	var st unix.Stat_t
	if err := unix.Stat(o.Switch, &st); err != nil {
		return nil, api.Wrap("open the network", o.Switch, err)
	}
	t := &Table{o: o, netns: st.Ino, forwards: map[int]Forward{}, next: 1}
	p, has, err := t.find()
	if err != nil || p == nil {
		return t, err
	}
	for id, f := range has {
		t.forwards[id] = f
		t.next = max(t.next, id+1)
	}
	t.use(p)
	return t, nil
}

// Close leaves the ports as they are.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	var err error
	if len(t.forwards) == 0 && t.process == nil { // else the process does it when it ends
		if err = os.Remove(socketPath(t.o.Run)); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if t.process != nil {
		t.process.close()
		t.process = nil
	}
	return err
}

// Add publishes a port. It returns a number for Remove, which stays the same for
// all supervisors, and the port of the host.
func (t *Table) Add(ctx context.Context, f Forward) (id int, port uint16, err error) {
	if err := f.check(); err != nil {
		return 0, 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id = t.next
	if err := t.ask(ctx, kindAdd, numbered{id, f}, &f); err != nil {
		return 0, 0, err
	}
	t.next++
	t.forwards[id] = f
	return id, f.Port, nil
}

// Remove stops listening, and ends the connections through the port. A number that
// is not known is no error: the port is not published.
func (t *Table) Remove(ctx context.Context, id int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.forwards[id]; !ok {
		return nil
	}
	if t.process != nil {
		if err := t.process.call(ctx, kindRemove, id, nil); err != nil && !lost(err) {
			return err
		}
	}
	delete(t.forwards, id)
	return nil
}

// List is what is published, with the ports that were chosen.
func (t *Table) List() map[int]Forward {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.forwards)
}

// Plain says why sandboxes do not see the addresses of clients; nil if they do, or
// no port was published yet.
func (t *Table) Plain() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.process == nil || t.process.plain == "" {
		return nil
	}
	return api.Errorf("show clients' addresses to sandboxes", "", "%s", t.process.plain)
}

// ask calls the process, a new one if there is none or it has just died. With the
// lock.
func (t *Table) ask(ctx context.Context, kind string, request, answer any) error {
	if t.process != nil {
		err := t.process.call(ctx, kind, request, answer)
		if !lost(err) {
			return err
		}
	}
	if err := t.restart(ctx); err != nil {
		return err
	}
	return t.process.call(ctx, kind, request, answer)
}

// restart takes up the connection to the process again, or starts a new one, and
// gives it the ports that it does not have.
func (t *Table) restart(ctx context.Context) error {
	if t.closed {
		return os.ErrClosed
	}
	if t.process != nil {
		t.process.close()
		t.process = nil
	}
	p, has, err := t.find()
	if err != nil || p == nil {
		if p, err = start(t.o); err != nil {
			return err
		}
		if _, err := p.hello(); err != nil {
			p.close()
			return api.Wrap("start the forwarder of ports", "", err).WithHint("see the log, sbxd.log in the data directory")
		}
	}
	t.leadAgain(p)
	for id, f := range t.forwards {
		if _, ok := has[id]; ok {
			continue
		}
		if err := p.call(ctx, kindAdd, numbered{id, f}, nil); err != nil {
			t.o.Log.Error("publish a port again", "port", f.String(), "sandbox", f.Owner, "error", err)
		}
	}
	t.use(p)
	return nil
}

// find connects to a process that serves this namespace, and asks what it has; nil
// if there is none. One that serves another namespace is ended.
func (t *Table) find() (*process, map[int]Forward, error) {
	p, err := connect(t.o.Run)
	if err != nil || p == nil {
		return nil, nil, err
	}
	h, err := p.hello()
	if err == nil && (h.Version != version || h.Netns != t.netns) {
		err = p.call(context.Background(), kindQuit, nil, nil)
		t.o.Log.Warn("ended a forwarder of ports that belongs to sandboxes of the past", "error", err)
		p.close()
		return nil, nil, nil
	}
	var has map[int]Forward
	if err == nil {
		err = p.call(context.Background(), kindList, nil, &has)
	}
	if err != nil {
		p.close()
		if lost(err) {
			err = nil // it was about to end
		}
		return nil, nil, err
	}
	return p, has, nil
}

// use makes p the process, and notices when it dies.
func (t *Table) use(p *process) {
	t.process = p
	go func() {
		p.wait()
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.process != p || t.closed {
			return
		}
		t.process = nil
		p.close()
		if len(t.forwards) == 0 && t.avoid == nil {
			return
		}
		err := t.restart(context.Background())
		t.o.Log.Warn("the forwarder of ports has died; open connections are lost, it was started again",
			"ports", len(t.forwards), "error", err)
	}()
}

// lost says whether an error is that of the connection to the process, and not an
// answer of it.
func lost(err error) bool {
	var refusal *api.Error
	return err != nil && !errors.As(err, &refusal) && !errors.Is(err, os.ErrDeadlineExceeded)
}

// Published says whether a process may still be there that an earlier supervisor has
// started.
func Published(run string) bool {
	_, err := os.Lstat(socketPath(run))
	return err == nil
}

func socketPath(run string) string { return filepath.Join(run, "ports.sock") }

// errAnswer says that the process does not keep to the protocol.
func errAnswer(got, want string) error { return fmt.Errorf("answer %q to %q", got, want) }
