package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/internal/undo"
	"sbx/sandbox/monitor"
	"sbx/sandbox/pid1"
	"sbx/userns"
)

// A slot is a sandbox without a program: its directories made, its namespaces,
// /proc and /dev prepared. Most sandboxes want the same, and get one that is
// ready; the price was paid while nobody waited.
//
// Monitors come back when their sandboxes have ended; while many are started,
// more of them are kept than in quiet times.
const (
	quietSlots = 2
	keptSlots  = 1 // of the kind with --userns keep-id that was last asked for
	busySlots  = 8
	quiet      = 30 * time.Millisecond // after the last start: time to make more
	long       = 2 * time.Second       // after the last start: time to let some go
)

// usual is what a slot is prepared for.
const usual = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// kind is what slots differ in: as whom the caller is in them. The zero value is its
// root, which most sandboxes want.
type kind struct {
	keep     bool // --userns keep-id
	uid, gid int  // that the caller has
}

type slots struct {
	mu     sync.Mutex
	free   []*link
	making map[kind]int
	kept   kind // of keep-id, the last one that was asked for; zero: none was
	closed bool
	timer  *time.Timer // runs out after quiet
	trimer *time.Timer // runs out after long
	makers sync.WaitGroup
	alive  map[*link]bool // all monitors, those of sandboxes too
}

// take gives a slot of a kind, or nil.
func (s *slots) take(k kind) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.keep {
		s.kept = k
	}
	for i, l := range s.free {
		if l.kind == k {
			s.free = slices.Delete(s.free, i, i+1)
			return l
		}
	}
	return nil
}

// count is how many slots of a kind there are, or soon will be. The caller holds the lock.
func (s *slots) count(k kind) int {
	n := s.making[k]
	for _, l := range s.free {
		if l.kind == k {
			n++
		}
	}
	return n
}

// keepIDs gives the kind with keep-id that was last asked for, if there was one.
func (s *slots) keepIDs() (k kind, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept, s.kept.keep
}

// forget drops a slot whose monitor has died.
func (s *slots) forget(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.free {
		if f == l {
			s.free = append(s.free[:i:i], s.free[i+1:]...)
			return
		}
	}
}

// close ends all slots: a monitor whose supervisor leaves before there was a
// program ends by itself.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, l := range s.free {
		l.conn.CloseWrite()
	}
	if s.timer != nil {
		s.timer.Stop()
		s.trimer.Stop()
	}
}

// refillSoon makes new slots when nothing has been started for a while: not at
// the very moment at which what has just been started needs the processors.
func (s *Supervisor) refillSoon() {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	if s.slots.closed {
		return
	}
	if s.slots.timer == nil {
		s.slots.timer = time.AfterFunc(quiet, s.refill)
		s.slots.trimer = time.AfterFunc(long, s.slots.trim)
		return
	}
	s.slots.timer.Reset(quiet)
	s.slots.trimer.Reset(long)
}

// refill makes slots until there are enough of them.
func (s *Supervisor) refill() {
	s.fillSlots(kind{}, quietSlots)
	if k, ok := s.slots.keepIDs(); ok {
		s.fillSlots(k, keptSlots)
		s.readySpare()
	}
}

// fillSlots makes slots of a kind until there are so many.
func (s *Supervisor) fillSlots(k kind, most int) {
	for s.slots.reserve(k, most) {
		l, err := s.makeSlot(k)
		s.slots.add(k, l, err)
		if err != nil {
			s.Log.Warn("prepare a slot", "error", err)
			return
		}
	}
}

// trim sends away what was only of use while many were started, or with another
// keep-id.
func (s *slots) trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := map[kind]int{{}: quietSlots}
	if s.kept.keep {
		left[s.kept] = keptSlots
	}
	s.free = slices.DeleteFunc(s.free, func(l *link) bool {
		if left[l.kind]--; left[l.kind] >= 0 {
			return false
		}
		l.conn.CloseWrite()
		return true
	})
}

// reserve asks for a place among at most so many of a kind. Whoever gets one must call
// add.
func (s *slots) reserve(k kind, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.count(k) >= most {
		return false
	}
	if s.making == nil {
		s.making = map[kind]int{}
	}
	s.making[k]++
	s.makers.Add(1)
	return true
}

func (s *slots) add(k kind, l *link, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.making[k]--
	defer s.makers.Done()
	if err != nil {
		return
	}
	s.free = append(s.free, l)
	if s.closed {
		l.conn.CloseWrite()
	}
}

func (s *Supervisor) makeSlot(k kind) (*link, error) {
	id := newID()
	if err := s.makeOwned(id, k); err != nil {
		return nil, err
	}
	l, err := s.startMonitor(s.prepareOf(k, id), "")
	if err != nil {
		s.clear(id)
		return nil, err
	}
	l.kind = k
	if err := s.awaitSlot(l); err != nil {
		l.conn.CloseWrite()
		return nil, err
	}
	return l, nil
}

// prepareSlot makes a slot with a monitor that has served before. Directories that
// were recycled are there already.
func (s *Supervisor) prepareSlot(l *link, id string, recycled bool) (err error) {
	s.mu.Lock()
	l.id = id
	s.mu.Unlock()
	if !recycled {
		if err := s.makeOwned(id, l.kind); err != nil {
			return err
		}
	}
	p := s.prepareOf(l.kind, id)
	groupless := s.makeGroup(p, "")
	s.mu.Lock()
	l.group, l.groupless = p.Cgroup, groupless
	s.mu.Unlock()
	defer func() {
		if err != nil {
			s.dropGroup(p.Cgroup) // bury may have looked before there was one
		}
	}()
	if err := os.Mkdir(filepath.Dir(p.Socket), 0o700); err != nil {
		return dirs.DiskError("mkdir", filepath.Dir(p.Socket), err)
	}
	if err := l.conn.Send(monitor.KindPrepare, p); err != nil {
		return err
	}
	return s.awaitSlot(l)
}

func (s *Supervisor) awaitSlot(l *link) error {
	<-l.ready
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.fault == nil && l.over {
		return api.Errorf("start the sandbox", "", "its monitor died").WithHint("see %s", s.Dirs.Log())
	}
	return l.fault
}

// prepareOf is what a sandbox of a kind gets that asks for nothing special.
func (s *Supervisor) prepareOf(k kind, id string) *monitor.Prepare {
	p := &monitor.Prepare{
		ID: id, Dir: filepath.Join(s.Dirs.Sandboxes(), id), Socket: s.Dirs.Monitor(id), Points: s.points,
		Namespaces: pid1.Namespaces{New: usual},
		UIDMap:     userns.SysProcIDMap(s.uids), GIDMap: userns.SysProcIDMap(s.gids), Setgroups: s.setgroups,
	}
	if k.keep {
		p.KeepID = true
		uids, gids := s.ownersOf(k)
		p.Namespaces.Kept = uids != nil || gids != nil
		p.UIDMap = userns.SysProcIDMap(userns.KeepID(s.uids, k.uid))
		p.GIDMap = userns.SysProcIDMap(userns.KeepID(s.gids, k.gid))
	}
	return p
}

const idLength = 64 // hex digits

// newID is 256 random bits, as Docker has them. Its short form is the host name,
// which to some resolvers is none without a letter.
func newID() string {
	for {
		var b [idLength / 2]byte
		rand.Read(b[:])
		if id := hex.EncodeToString(b[:]); strings.Trim(shortID(id), "0123456789") != "" {
			return id
		}
	}
}

// isID says whether a name is one that newID gives.
func isID(name string) bool {
	return len(name) == idLength && strings.Trim(name, "0123456789abcdef") == ""
}

// makeOwned makes the directories of a sandbox for its kind.
func (s *Supervisor) makeOwned(id string, k kind) error {
	dir, err := s.makeDirs(id)
	if err != nil {
		return err
	}
	if err := s.giveRoot(id, k); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

func (s *Supervisor) makeDirs(id string) (dir string, err error) {
	var undo undo.Stack
	defer undo.Unwind(&err)
	dir = filepath.Join(s.Dirs.Sandboxes(), id)
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{dir, 0o700}, {dir + "/upper", 0o755}, {dir + "/work", 0o700}} {
		if err := os.Mkdir(d.path, d.mode); err != nil {
			return "", dirs.DiskError("mkdir", d.path, err)
		}
		undo.Add("rmdir "+d.path, func() error { return os.Remove(d.path) })
	}
	// Empty: they are written when it is known where the sandbox is.
	for _, name := range ownFiles {
		path := s.ownFile(id, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return "", dirs.DiskError("create", path, err)
		}
		undo.Add("remove "+path, func() error { return os.Remove(path) })
	}
	return dir, nil
}

// startMonitor starts the monitor of a sandbox and tells it to start pid 1. It
// does not wait for that. Parent is the --cgroup-parent.
func (s *Supervisor) startMonitor(prepare *monitor.Prepare, parent string, join ...*os.File) (_ *link, err error) {
	var undo undo.Stack
	defer undo.Unwind(&err)
	run := filepath.Dir(prepare.Socket)
	if err := os.Mkdir(run, 0o700); err != nil {
		return nil, dirs.DiskError("mkdir", run, err)
	}
	undo.Add("rmdir "+run, func() error { return os.RemoveAll(run) })
	groupless := s.makeGroup(prepare, parent)
	undo.Add("remove the cgroup", func() error {
		s.dropGroup(prepare.Cgroup)
		return nil
	})
	ours, theirs, err := api.Pair("monitor")
	if err != nil {
		return nil, limitError("socketpair", err)
	}
	defer theirs.Close()
	undo.Add("close", ours.Close)
	pid, err := s.forkMonitor(prepare.ID, theirs)
	if err != nil {
		return nil, err
	}
	l := &link{
		id: prepare.ID, conn: ours, pid: pid, child: true, ready: make(chan struct{}), buried: make(chan struct{}),
		group: prepare.Cgroup, groupless: groupless,
	}
	// The process is our child and not waited for: the pid is its own.
	if l.monitor, err = sys.Pidfd(pid); err != nil {
		return nil, limitError("pidfd_open", err)
	}
	if err := ours.Send(monitor.KindPrepare, prepare, join...); err != nil {
		return nil, err
	}
	if err := s.events.add(l); err != nil {
		return nil, err
	}
	s.slots.born(l)
	undo.Release()
	return l, nil
}

func (s *Supervisor) forkMonitor(id string, control *api.Conn) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, limitError("open", err)
	}
	defer null.Close()
	// A monitor has little to do at any time: one processor and a tight collector
	// keep it small.
	env := []string{"GOMAXPROCS=1", "GOGC=50", "GODEBUG=madvdontneed=1"}
	pid, err := syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", s.Binary.Fd()), []string{monitor.Role, id}, &syscall.ProcAttr{
		Dir: "/", Env: env,
		Files: []uintptr{null.Fd(), null.Fd(), 2, control.File().Fd(), s.Binary.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, limitError("start a monitor", err)
	}
	return pid, nil
}
