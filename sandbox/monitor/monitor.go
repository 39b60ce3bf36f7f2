package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/logfile"
	"sbx/sandbox/pid1"
)

// monitor is the state of the process. The lock guards what several of its
// conversations change.
type monitor struct {
	self  *os.File    // sealed memory file
	main  chan func() // run on the main thread, see Main
	ended chan int    // exit status of the monitor itself

	prepare Prepare
	listen  *os.File // monitor.sock
	child   *child   // pid 1
	group   *os.File // directory of the sandbox's cgroup; nil: it has none
	start   *Start   // nil: still a slot
	out     *output
	input   *os.File // write end of the program's standard input
	execs   sync.WaitGroup
	failed  *api.Error   // why there is no child
	limits  []api.Rlimit // of the program, for those that follow it
	bound   bool         // the main thread has entered namespaces of this sandbox

	mu         sync.Mutex
	checks     map[*child]bool // that run
	ending     bool            // the program has ended
	supervisor *api.Conn
	master     *os.File // of the program's terminal
	status     api.Status
}

// Main is the monitor's process.
//
// Everything that forks runs on the main thread: a child is killed when the
// thread that made it ends (PR_SET_PDEATHSIG), and this one ends last. It is also
// the one that enters the sandbox's pid namespace, for its children.
func Main() int {
	runtime.LockOSThread()
	if err := settle(); err != nil {
		fmt.Fprintln(os.Stderr, "sbx-monitor:", err)
		return api.ExitFault
	}
	control, err := api.ConnFd(Control, "supervisor")
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbx-monitor:", err)
		return api.ExitFault
	}
	m := &monitor{
		self: os.NewFile(Self, "sbx"), main: make(chan func()), ended: make(chan int, 1),
		out: &output{}, supervisor: control, status: newStatus(),
	}
	go m.serve(control)
	for {
		select {
		case f := <-m.main:
			f()
		case code := <-m.ended:
			return code
		}
	}
}

func settle() error {
	unix.CloseOnExec(Control)
	unix.CloseOnExec(Self)
	if err := unix.SetNonblock(Control, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	// What a child inherits before its execve must not be readable from inside.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_DUMPABLE", err)
	}
	// Without a pid namespace of its own a program's orphans come here.
	return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// onMain runs f on the main thread and waits for it.
func (m *monitor) onMain(f func() error) error {
	done := make(chan error, 1)
	m.main <- func() { done <- f() }
	return <-done
}

// serve reads what a supervisor asks for, until that one goes away. A slot that
// nobody has started is of no use to the next one.
func (m *monitor) serve(control *api.Conn) {
	for {
		p, err := control.Recv()
		if err != nil {
			m.orphaned(control, err)
			return
		}
		if err := m.handle(p); err != nil {
			p.CloseFiles()
			m.fail(api.Wrap("start the sandbox", "", err))
		}
	}
}

func (m *monitor) orphaned(control *api.Conn, err error) {
	m.mu.Lock()
	started := m.start != nil
	if m.supervisor == control {
		m.supervisor = nil
	}
	m.mu.Unlock()
	control.Close()
	if err != io.EOF {
		fmt.Fprintln(os.Stderr, "sbx-monitor: supervisor:", err)
	}
	if !started {
		m.quit(0)
	}
}

func (m *monitor) quit(code int) {
	select {
	case m.ended <- code:
	default: // somebody else has said so
	}
}

func (m *monitor) handle(p *api.Packet) error {
	switch p.Kind {
	case KindPrepare:
		if err := p.Decode(&m.prepare); err != nil {
			return err
		}
		// The command line that must hear of it comes with start.
		if err := m.spawn(p.Files); err != nil {
			e := api.Wrap("start the sandbox", "", err)
			m.mu.Lock()
			m.failed = e
			m.mu.Unlock()
			m.tell(KindFault, e)
		}
		return nil
	case KindStart:
		var s Start
		if err := p.Decode(&s); err != nil {
			return err
		}
		return m.run(&s, p.Files)
	case KindAttach:
		var a Attach
		if err := p.Decode(&a); err != nil {
			return err
		}
		return m.attach(&a, p.Files)
	case KindExec:
		var e Exec
		if err := p.Decode(&e); err != nil {
			return err
		}
		m.execs.Add(1) // before anybody can wait for it
		go m.exec(&e, p.Files)
		return nil
	case KindSignal:
		var s api.Signal
		if err := p.Decode(&s); err != nil {
			return err
		}
		return m.signal(s.Num)
	}
	return api.Errorf("monitor", "", "unknown packet %q", p.Kind)
}

// signal reaches the program. That it has just ended is no error.
func (m *monitor) signal(num int) error {
	if m.child == nil {
		return nil
	}
	if err := m.child.signal(unix.Signal(num)); err != nil {
		fmt.Fprintln(os.Stderr, "sbx-monitor:", err)
	}
	return nil
}

// abandon ends the program: its command line was killed before it could forward
// the signal. start is the program's: the monitor may serve another one by now.
func (m *monitor) abandon(start *Start) {
	m.mu.Lock()
	mine := m.start == start && m.status.State != api.Exited
	m.mu.Unlock()
	if mine {
		_ = m.signal(int(unix.SIGKILL)) // logged there
	}
}

// tell sends to the supervisor, if there is one. What it misses it learns from
// state.json.
func (m *monitor) tell(kind string, body any, files ...*os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.supervisor == nil {
		return
	}
	if err := m.supervisor.Send(kind, body, files...); err != nil {
		fmt.Fprintf(os.Stderr, "sbx-monitor: tell the supervisor %s: %v\n", kind, err)
	}
}

// run gives pid 1 its specification, and follows it to its end.
func (m *monitor) run(s *Start, files []*os.File) error {
	var client *client
	var root []*os.File
	if last := len(files) - 1; s.Root && last >= 0 {
		files, root = files[:last], files[last:]
		defer root[0].Close()
	}
	if s.Client {
		var err error
		if client, files, err = newClient(m, s.Stdio, files); err != nil {
			return err
		}
		if !s.Detach {
			client.starts = s
		}
		m.out.add(client)
	}
	m.mu.Lock()
	m.start = s
	failed := m.failed
	m.mu.Unlock()
	if failed != nil {
		return failed
	}
	if m.child == nil {
		return api.Errorf("start the sandbox", "", "pid 1 was not prepared")
	}
	pipes, err := m.openStdio(s, client, files)
	if err != nil {
		return err
	}
	stdio := pid1.Stdio{Size: s.Stdio.Size}
	var send []*os.File
	for i, have := range []*bool{&stdio.In, &stdio.Out, &stdio.Err} {
		if pipes[i] != nil {
			*have = true
			send = append(send, pipes[i])
		}
	}
	order := pid1.Order{What: s.Spec, Stdio: stdio, Root: len(root) > 0}
	err = m.child.control.Send(pid1.KindSpec, &order, append(send, root...)...)
	for _, f := range send {
		f.Close()
	}
	// A pid 1 that has given up has said why, and follow finds that.
	if err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	if client != nil {
		go client.serve()
	}
	return nil
}

// openStdio gives the program's standard files: the client's own, or pipes that
// the monitor copies and logs.
func (m *monitor) openStdio(s *Start, client *client, files []*os.File) (pipes [3]*os.File, err error) {
	if s.Stdio.Direct {
		for i, have := range []bool{s.Stdio.In, s.Stdio.Out, s.Stdio.Err} {
			if have && len(files) > 0 {
				pipes[i], files = files[0], files[1:]
			}
		}
		return pipes, nil
	}
	options, err := logfile.ParseOptions(s.Log)
	if err != nil {
		return pipes, err
	}
	if m.out.log, err = logfile.Create(m.prepare.Dir, options); err != nil {
		return pipes, err
	}
	if s.TTY {
		return pipes, nil
	}
	if s.Stdin {
		r, w, err := os.Pipe()
		if err != nil {
			return pipes, err
		}
		if pipes[0], err = blocking(r); err != nil {
			return pipes, err
		}
		m.input = w
	}
	for i, name := range []string{"stdout", "stderr"} {
		r, w, err := os.Pipe()
		if err != nil {
			return pipes, err
		}
		if pipes[i+1], err = blocking(w); err != nil {
			return pipes, err
		}
		m.out.copy(name, r)
	}
	return pipes, nil
}

// blocking gives the program's end of a pipe the mode that programs expect; Go
// makes pipes non-blocking for itself.
func blocking(f *os.File) (*os.File, error) {
	f.Fd()
	return f, nil
}

// follow listens to pid 1 until it has become the program, and waits for the
// program's end.
func (m *monitor) follow() {
	for {
		p, err := m.child.control.Recv()
		switch {
		case err == io.EOF && m.ordered():
			m.started()
			m.exited(m.child.wait())
			return
		case err == io.EOF:
			m.broken(api.Errorf("start the sandbox", "", "its first process was killed before it was told what to become").
				WithHint("no memory, or the limit of processes is reached: see ulimit -u, and sbxd.log"))
			return
		case err != nil:
			m.broken(api.Wrap("start the sandbox", "", err))
			return
		case p.Kind == pid1.KindReady:
			m.tell(KindReady, lacks(p), m.child.netns()...)
		case p.Kind == pid1.KindPty && len(p.Files) == 1:
			if err := m.terminal(p.Files[0]); err != nil {
				m.broken(api.Wrap("start the sandbox", "", err))
				return
			}
		case p.Kind == pid1.KindFault:
			m.broken(p.Error)
			return
		}
	}
}

// lacks is what pid 1 says about that; nil: nothing.
func lacks(p *api.Packet) any {
	if len(p.Body) == 0 {
		return nil
	}
	return json.RawMessage(p.Body)
}

// ordered says whether pid 1 is to be more than a slot.
func (m *monitor) ordered() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.start != nil
}

// broken ends a sandbox whose pid 1 did not become the program. The command line
// of a slot that nobody has taken comes later, if at all.
func (m *monitor) broken(e *api.Error) {
	m.mu.Lock()
	slot := m.start == nil
	if slot {
		m.failed = e
	}
	m.mu.Unlock()
	if !slot {
		m.fail(e)
		return
	}
	m.child.kill()
	m.tell(KindFault, e)
}

// started is reached too when pid 1 was killed before its execve: it did not say
// why, and its exit status is all there is.
func (m *monitor) started() {
	m.limits = m.child.limits()
	m.mu.Lock()
	m.status.State = api.Running
	m.status.StartedAt = time.Now().UTC()
	m.status.PID, m.status.PIDStart = m.child.pid, m.child.start
	m.status.Direct = m.start.Stdio.Direct
	m.status.Cgroup = m.prepare.Cgroup
	status := m.status
	m.mu.Unlock()
	// Whoever hears of the start from the command line may ask the supervisor next.
	// A program in the foreground has often ended by now, and then its end is the
	// news.
	brief := m.start.Brief && !m.start.Detach
	if !brief {
		m.tell(KindStarted, status, m.child.pidfd)
	}
	m.out.tell(api.KindStarted, &api.Started{ID: m.prepare.ID}, m.start.Detach)
	if brief {
		if sys.Ended(m.child.pidfd) {
			return
		}
		m.tell(KindStarted, status, m.child.pidfd)
	}
	m.save(&status)
}

func (m *monitor) exited(code int) {
	m.endChecks()
	m.execs.Wait()
	m.out.finish()
	m.mu.Lock()
	m.status.State = api.Exited
	m.status.FinishedAt = time.Now().UTC()
	m.status.ExitCode = code
	m.status.OOMKilled = m.outOfMemory()
	status := m.status
	m.mu.Unlock()
	// The supervisor first: who hears of the end from the command line may ask it
	// for the name again.
	m.tell(KindExited, status)
	m.out.tell(api.KindExited, &api.Done{Code: code}, true)
	if m.start.Brief && m.again() {
		return
	}
	m.save(&status)
	m.quit(0)
}

// again makes the monitor of a sandbox of which nothing is kept one that can
// serve the next: most of what a sandbox costs is the start of processes. What
// belonged to the last one is let go first, so that the kernel takes its mounts
// down while nobody waits.
func (m *monitor) again() bool {
	if m.bound {
		return false
	}
	m.child.release()
	m.listen.Close()
	m.closeGroup()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.supervisor == nil {
		return false
	}
	m.child, m.start, m.input, m.master, m.limits, m.failed = nil, nil, nil, nil, nil, nil
	m.prepare, m.out, m.ending = Prepare{}, &output{}, false
	m.status = newStatus()
	if err := m.supervisor.Send(KindIdle, nil); err != nil {
		m.quit(0)
	}
	return true
}

// fail ends a sandbox that did not start.
func (m *monitor) fail(e *api.Error) {
	m.mu.Lock()
	m.status.State = api.Exited
	if m.status.StartedAt.IsZero() {
		m.status.State = api.Created
	}
	m.status.FinishedAt = time.Now().UTC()
	m.status.ExitCode, m.status.Error = e.ExitCode(), e.Error()
	status := m.status
	m.mu.Unlock()
	if m.child != nil {
		m.child.kill()
	}
	m.tell(KindFault, e)
	m.out.tell(api.KindFault, e, true)
	m.save(&status)
	m.quit(0)
}
