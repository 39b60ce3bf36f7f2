package cgroup

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Watch tells of what happens in groups: one inotify(7) descriptor for all.
type Watch struct {
	f      *os.File
	mu     sync.Mutex
	groups map[int32]*watched // by watch descriptor; a group has one or two
	ready  []Event
}

type watched struct {
	group Group
	last  Event
}

// Event is the state of a group after a change.
type Event struct {
	Group     Group
	OOMKills  uint64 // see Group.OOMKills
	Populated bool
	Frozen    bool
}

// NewWatch makes one that watches nothing yet.
func NewWatch() (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &Watch{f: os.NewFile(uintptr(fd), "inotify"), groups: map[int32]*watched{}}, nil
}

// Close ends Next.
func (w *Watch) Close() error { return w.f.Close() }

// Add watches a group until it is removed.
func (w *Watch) Add(g Group) error {
	this := &watched{group: g}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, file := range []string{"cgroup.events", "memory.events"} {
		wd, err := w.add(g.Path + "/" + file)
		if errors.Is(err, unix.ENOENT) && file == "memory.events" && g.there() {
			continue // no memory controller
		}
		if err != nil {
			return g.explain("watch", file, err)
		}
		w.groups[wd] = this
	}
	// After the watches are there: nothing is missed in between.
	this.last = this.state()
	return nil
}

func (w *Watch) add(path string) (wd int32, err error) {
	conn, err := w.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var failed error
	err = conn.Control(func(fd uintptr) { n, failed = unix.InotifyAddWatch(int(fd), path, unix.IN_MODIFY) })
	return int32(n), errors.Join(err, failed)
}

// Next waits for a change. os.ErrClosed is the end.
func (w *Watch) Next() (Event, error) {
	buf := make([]byte, 4096)
	for len(w.ready) == 0 {
		n, err := w.f.Read(buf)
		if err != nil {
			return Event{}, err
		}
		w.take(buf[:n])
	}
	e := w.ready[0]
	w.ready = w.ready[1:]
	return e, nil
}

// take reads struct inotify_event; those of files have no name.
func (w *Watch) take(buf []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buf))
		mask := binary.NativeEndian.Uint32(buf[4:])
		length := binary.NativeEndian.Uint32(buf[12:])
		buf = buf[unix.SizeofInotifyEvent+int(length):]
		switch this := w.groups[wd]; {
		case mask&unix.IN_Q_OVERFLOW != 0:
			for _, any := range w.groups {
				w.look(any)
			}
		case this == nil:
		case mask&unix.IN_IGNORED != 0: // the group has been removed
			delete(w.groups, wd)
		default:
			w.look(this)
		}
	}
}

func (w *Watch) look(this *watched) {
	if now := this.state(); now != this.last {
		this.last = now
		w.ready = append(w.ready, now)
	}
}

// state is that of a group; one that is gone has no processes.
func (t *watched) state() Event {
	now := Event{Group: t.group, OOMKills: t.last.OOMKills}
	if n, err := value(t.group.Path, "memory.events", "oom_kill"); err == nil {
		now.OOMKills = n
	}
	text, err := read(t.group.Path, "cgroup.events")
	if err != nil {
		return now
	}
	eachNumber(text, func(key string, n uint64) {
		now.Populated = now.Populated || key == "populated" && n == 1
		now.Frozen = now.Frozen || key == "frozen" && n == 1
	})
	return now
}
