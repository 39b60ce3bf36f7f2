package sandbox

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/monitor"
	"sbx/sandbox/pid1"
)

// box is one sandbox. Supervisor.mu guards it.
type box struct {
	config  api.Config
	status  api.Status
	dir     string
	link    *link         // to its monitor; nil without one
	begun   chan struct{} // closed when the program runs, or never will
	fault   *api.Error    // why it never will
	ended   chan struct{} // closed when the program has ended; replaced by start
	gone    chan struct{} // closed when the monitor has, too, and what it leaves is cleared
	holds   holds         // copies of its files
	keep    bool          // a restart: --rm does not hold for this end
	removed bool          // no longer in the tables
	net     joined        // while it runs
	wiring  sync.Mutex    // held while it is connected or disconnected; taken before Supervisor.mu
	commits sync.Mutex    // held while an image is made of it; taken before all others
	control sync.Mutex    // held while it is paused, or its limits change; the same
	own     files         // what we have written into its own files; nil: an earlier supervisor has
	shared  bool          // another sandbox has its own files too
	paused  bool          // its cgroup is frozen
	told    bool          // the journal has its start
	// oomKills is how many processes have died for want of memory, as the journal has it.
	oomKills    uint64
	cleared     bool       // it is removed, and the journal has it
	revival     revival    // what its restart policy has done
	again       *again     // a restart that is to come
	saving      sync.Mutex // of restart.json; taken before Supervisor.mu
	health      *health    // what its checks have found
	withVolumes bool       // it is being removed, and its anonymous volumes with it
	traces      bool       // exec --privileged has put a program into it that may trace others
}

func newBox(c api.Config, dir string) *box {
	return &box{
		config: c, status: api.Status{State: api.Created}, dir: dir,
		begun: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{}),
	}
}

// link is the conversation with a monitor.
type link struct {
	id      string
	kind    kind // of the next slot that its monitor prepares
	conn    *api.Conn
	pid     int
	child   bool          // ours to wait for
	monitor *os.File      // its pidfd
	program *os.File      // pidfd of the sandbox's first process, when it is known
	netns   *os.File      // the network namespace, if it has one of its own
	group   string        // directory of its cgroup; empty: it has none
	ready   chan struct{} // closed when pid 1 waits for its specification, or never will
	isReady bool
	box     *box  // nil: a slot
	said    bool  // it has told how the program ended
	fault   error // why there is no program
	over    bool  // the monitor has gone
	// lacks is what the container around sbx forbids.
	lacks pid1.Lacks
	// groupless is why the sandbox has no cgroup, though there is a home for it.
	groupless error
	buried    chan struct{} // closed when nothing of the monitor is left
	turn      sync.RWMutex  // held for writing while the monitor changes from one sandbox to the next
}

// letGo closes what refers to a sandbox that has ended.
func (l *link) letGo() {
	for _, f := range []*os.File{l.program, l.netns} {
		if f != nil {
			f.Close()
		}
	}
	l.program, l.netns = nil, nil
}

func (l *link) setReady() {
	if !l.isReady {
		l.isReady = true
		close(l.ready)
	}
}

// setBegun is called with the lock held.
func (b *box) setBegun() {
	select {
	case <-b.begun:
	default:
		close(b.begun)
	}
}

func (b *box) view() api.Sandbox {
	status := b.status
	if b.paused && b.running() {
		status.State = api.Paused
	}
	if b.again != nil {
		status.State = api.Restarting
	}
	return api.Sandbox{
		Config: b.config, Status: status, Dir: b.dir, Networks: b.net.networks(), Published: b.net.Published,
		RestartCount: b.revival.Count, Health: b.health.view(),
	}
}

// programRuns is called with the lock held.
func (s *Supervisor) programRuns(b *box) {
	if b.status.State != api.Running {
		return
	}
	b.again = nil
	s.noteStart(b)
	s.watchHealth(b)
}

func (b *box) running() bool { return b.link != nil && b.status.State == api.Running }

// shortID is what Docker prints.
func shortID(id string) string { return id[:min(12, len(id))] }

// writeJSON replaces a file by way of a temporary one. sync makes it survive a
// power cut.
func writeJSON(path string, v any, sync bool) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// monitorSays is called for every packet of a monitor, in the events goroutine.
func (s *Supervisor) monitorSays(l *link, p *api.Packet) {
	var status api.Status
	if p.Kind == monitor.KindStarted || p.Kind == monitor.KindExited || p.Kind == monitor.KindStatus {
		if err := p.Decode(&status); err != nil {
			s.Log.Warn("monitor", "id", l.id, "error", err)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := l.box
	switch p.Kind {
	case monitor.KindReady:
		if err := s.readLacks(l, p); err != nil {
			s.Log.Warn("monitor", "error", err)
		}
		if len(p.Files) == 1 && l.netns == nil {
			l.netns, p.Files = p.Files[0], nil
		}
		l.setReady()
	case monitor.KindStarted, monitor.KindStatus:
		if len(p.Files) == 1 && l.program == nil {
			l.program, p.Files = p.Files[0], nil
		}
		if b != nil {
			b.status = status
			b.setBegun()
			s.programRuns(b)
		}
	case monitor.KindExited:
		s.programEnded(b, l, status)
	case monitor.KindExecEnded:
		s.execEnded(b, p)
	case monitor.KindIdle:
		if b != nil {
			go s.reuse(l, b)
		}
	case monitor.KindFault:
		s.Log.Info("no program was started", "id", shortID(l.id), "error", p.Error)
		l.fault = p.Error
		l.setReady()
		if b == nil {
			s.slots.forget(l)
			l.conn.CloseWrite()
			break
		}
		b.fault = p.Error
		status = b.status
		status.FinishedAt = time.Now().UTC()
		status.ExitCode, status.Error = p.Error.ExitCode(), p.Error.Error()
		s.programEnded(b, l, status)
	}
}

// programEnded frees the name of a sandbox that is not to be kept, before
// anybody who has heard of its end can ask for it.
func (s *Supervisor) programEnded(b *box, l *link, status api.Status) {
	l.said = true
	if b == nil {
		return
	}
	select {
	case <-b.ended:
		return // a monitor that fails on its way out says so once more
	default:
	}
	b.status, b.paused = status, false
	b.setBegun()
	if !status.StartedAt.IsZero() && b.fault == nil {
		s.noteEnd(b)
		b.healthEnded()
		s.decide(b)
	}
	if b.config.Lifecycle.AutoRemove && !b.keep {
		s.unlist(b)
	}
	close(b.ended)
}

// unlist takes a sandbox out of the tables.
func (s *Supervisor) unlist(b *box) {
	if b.removed {
		return
	}
	b.removed = true
	delete(s.boxes, b.config.ID)
	if s.names[b.config.Name] == b {
		delete(s.names, b.config.Name)
	}
}

// monitorGone follows the end of a monitor's socket, in the events goroutine.
func (s *Supervisor) monitorGone(l *link) {
	s.mu.Lock()
	l.over = true
	l.setReady()
	b := l.box
	s.mu.Unlock()
	if b == nil {
		s.slots.forget(l)
	}
	go s.bury(l, b)
}

// reuse clears a sandbox of which nothing is kept and gives its monitor the next
// slot to prepare, or sends it away.
func (s *Supervisor) reuse(l *link, b *box) {
	id, next := l.id, newID()
	s.mu.Lock()
	removed, private, older := b.removed, b.private(), b.notOlder("reuse") != nil
	s.mu.Unlock()
	s.endCopies(b, errEnded)
	s.leaveNetworks(b)
	more := !older && s.slots.reserve(l.kind, busySlots)
	recycled := more && removed && private && s.recycle(id, next)
	if recycled {
		s.clearRun(id)
	} else {
		s.tidy(b, id)
	}
	l.turn.Lock()
	s.mu.Lock()
	if l.over {
		// It has died meanwhile: the rest is bury's.
		s.mu.Unlock()
		l.turn.Unlock()
		if more {
			s.clear(next)
			s.slots.add(l.kind, l, errOver)
		}
		return
	}
	l.letGo()
	group := l.group
	l.id, l.box, l.fault, l.group = "", nil, nil, ""
	l.said, l.isReady, l.ready = false, false, make(chan struct{})
	gone := s.unlink(b)
	s.mu.Unlock()
	l.turn.Unlock()
	s.dropGroup(group)
	s.vanish(b, id)
	close(gone)
	if !more {
		l.conn.CloseWrite()
		return
	}
	err := s.prepareSlot(l, next, recycled)
	s.slots.add(l.kind, l, err)
	if err != nil {
		s.Log.Warn("prepare a slot", "error", err)
		l.conn.CloseWrite()
	}
	s.refillSoon()
}

// bury waits for the monitor's very end, by which the kernel has taken down the
// sandbox's mounts, and clears what it left.
func (s *Supervisor) bury(l *link, b *box) {
	defer s.slots.died(l)
	s.waitMonitor(l)
	if !l.said {
		s.killProgram(l)
	}
	s.endCopies(b, errEnded)
	s.clearRun(l.id)
	s.mu.Lock()
	l.letGo()
	group := l.group
	s.mu.Unlock()
	s.dropGroup(group)
	if b == nil {
		s.clear(l.id)
		return
	}
	s.leaveNetworks(b)
	s.mu.Lock()
	if !l.said {
		s.unknown(b, l)
	}
	s.mu.Unlock()
	s.tidy(b, l.id)
	s.mu.Lock()
	gone := s.unlink(b)
	s.mu.Unlock()
	s.vanish(b, l.id)
	close(gone)
	s.arm(b)
	s.refillSoon()
}

// tidy puts what is left of an ended sandbox in order. One with --rm that is
// only restarted is left too.
func (s *Supervisor) tidy(b *box, id string) {
	s.mu.Lock()
	removed, status := b.removed, b.status
	s.mu.Unlock()
	if removed {
		s.dropVolumes(b)
		s.clear(id)
		return
	}
	s.clearRun(id)
	if err := os.RemoveAll(filepath.Join(b.dir, overlaysName)); err != nil {
		s.Log.Warn("remove what was written over binds", "id", shortID(id), "error", err)
	}
	if err := writeJSON(filepath.Join(b.dir, "state.json"), status, false); err != nil {
		s.Log.Warn("save state", "id", shortID(id), "error", err)
	}
}

// unlink lets others start the sandbox again, with a new b.gone, or remove it.
// The caller holds the lock, and closes the channel.
func (s *Supervisor) unlink(b *box) chan struct{} {
	b.link = nil
	s.last = time.Now()
	return b.gone
}

// vanish clears a sandbox that was removed after tidy had looked: whoever did
// that has left the directory to us.
func (s *Supervisor) vanish(b *box, id string) {
	s.mu.Lock()
	removed := b.removed
	s.mu.Unlock()
	if removed {
		s.dropVolumes(b)
		s.clear(id)
		s.noteGone(b)
	}
}

// unknown records the end of a sandbox whose monitor was killed: with it went
// the exit status.
func (s *Supervisor) unknown(b *box, l *link) {
	status := b.status
	status.State, status.Unknown = api.Exited, true
	status.FinishedAt = time.Now().UTC()
	status.ExitCode = 255
	status.Error = "the monitor was killed: the exit status is not known"
	s.programEnded(b, l, status)
}

func (s *Supervisor) waitMonitor(l *link) {
	fds := []unix.PollFd{{Fd: int32(l.monitor.Fd()), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			break
		}
	}
	l.monitor.Close()
	if !l.child {
		return
	}
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(l.pid, &status, 0, nil); err != unix.EINTR {
			return // ECHILD cannot be: nobody else waits for it
		}
	}
}

// killProgram ends what a killed monitor has left behind. The first process of a
// pid namespace takes all others with it.
func (s *Supervisor) killProgram(l *link) {
	if l.program == nil {
		return
	}
	if err := sys.Signal(l.program, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		s.Log.Warn("kill", "id", shortID(l.id), "error", err)
	}
	fds := []unix.PollFd{{Fd: int32(l.program.Fd()), Events: unix.POLLIN}}
	// A process in uninterruptible sleep ends when its device answers.
	if _, err := unix.Poll(fds, 10_000); err != nil && err != unix.EINTR {
		s.Log.Warn("poll", "error", err)
	}
}

// clear removes everything of a sandbox. The supervisor has, in its user
// namespace, the right to remove what any id in it owns.
func (s *Supervisor) clear(id string) {
	s.clearRun(id)
	s.removeAll(s.Dirs.Sandboxes(), id)
}

func (s *Supervisor) clearRun(id string) { s.removeAll(s.Dirs.Run, id) }

// removeAll removes a directory that an id names, and nothing else: an empty name
// would be all sandboxes, and one with ".." anything.
func (s *Supervisor) removeAll(below, id string) {
	if !isID(id) {
		return // a monitor between two sandboxes, or not ours
	}
	if err := os.RemoveAll(filepath.Join(below, id)); err != nil {
		s.Log.Warn("remove", "error", err)
	}
}
