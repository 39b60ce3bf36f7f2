package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sbx/view"
)

// A journal keeps what happens, as lines of Docker's JSON, and tells those who
// follow. Nobody waits for it: lines are written some time later, in one go, and
// whoever does not read misses something.
const (
	journalName  = "events.json" // and events.json.1, in the data directory
	journalSize  = 4 << 20       // bytes of a file; there are two
	journalDelay = 25 * time.Millisecond
	longEvent    = 1 << 20 // bytes of a line
	mostPending  = 1 << 16 // events that wait for a disk that hangs
	feedRoom     = 1024    // events that wait for one who follows
)

// happening is an event before anybody wants to see it.
type happening struct {
	at         time.Time
	kind       string
	action     string
	id         string
	image      string
	name       string
	labels     map[string]string // never changed
	attributes []string          // names and values in turn
}

// event is Docker's form of it.
func (h *happening) event() *view.Event {
	e := &view.Event{
		Type: h.kind, Action: h.action, Scope: "local", Time: h.at.Unix(), TimeNano: h.at.UnixNano(),
		Actor: view.Actor{ID: h.id, Attributes: map[string]string{}},
	}
	a := e.Actor.Attributes
	for k, v := range h.labels {
		a[k] = v
	}
	if h.name != "" {
		a["name"] = h.name
	}
	switch h.kind {
	case view.ContainerEvent:
		a["image"] = h.image
		e.Status, e.ID, e.From = h.action, h.id, h.image
	case view.ImageEvent:
		e.Status, e.ID = h.action, h.id
	}
	for i := 0; i+1 < len(h.attributes); i += 2 {
		a[h.attributes[i]] = h.attributes[i+1]
	}
	return e
}

type journal struct {
	path string
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	pending []happening // not written yet
	dropped int         // more of them than there is room for
	ended   bool        // nothing is recorded any more
	feeds   map[*feed]bool

	writing sync.Mutex // of the rest; taken before mu
	file    *os.File   // nil: not opened yet
	size    int64
}

// feed is what one who follows gets.
type feed struct {
	j    *journal
	want func(*view.Event) bool
	next chan *view.Event
	lost atomic.Int64 // there was no room for them
}

func newJournal(path string, log *slog.Logger) *journal {
	return &journal{path: path, log: log, wake: make(chan struct{}, 1), feeds: map[*feed]bool{}}
}

// add takes note of something. It may be called with any lock held.
func (j *journal) add(h happening) {
	h.at = time.Now()
	j.mu.Lock()
	switch {
	case j.ended:
	case len(j.pending) < mostPending:
		j.pending = append(j.pending, h)
	default:
		j.dropped++
	}
	if len(j.feeds) > 0 {
		e := h.event()
		for f := range j.feeds {
			f.offer(e)
		}
	}
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default: // it has been told
	}
}

func (f *feed) offer(e *view.Event) {
	if !f.want(e) {
		return
	}
	select {
	case f.next <- e:
	default:
		f.lost.Add(1)
	}
}

// follow gives the events from now on that are wanted.
func (j *journal) follow(want func(*view.Event) bool) *feed {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.feed(want)
}

// feed is follow for a caller that holds j.mu.
func (j *journal) feed(want func(*view.Event) bool) *feed {
	f := &feed{j: j, want: want, next: make(chan *view.Event, feedRoom)}
	j.feeds[f] = true
	return f
}

func (f *feed) close() {
	f.j.mu.Lock()
	delete(f.j.feeds, f)
	f.j.mu.Unlock()
}

// keep writes until done.
func (j *journal) keep(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-j.wake:
		}
		// What has happened needs the processors first.
		select {
		case <-done:
			return
		case <-time.After(journalDelay):
		}
		j.flush()
	}
}

// flush writes what is pending.
func (j *journal) flush() {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	list := j.take()
	j.mu.Unlock()
	j.store(list)
}

// take gives what is pending. The caller holds j.mu.
func (j *journal) take() []happening {
	if j.dropped > 0 {
		j.log.Warn("events were not recorded: the disk is too slow", "events", j.dropped)
	}
	list := j.pending
	j.pending, j.dropped = nil, 0
	return list
}

// store writes events. Those that cannot be written are lost.
func (j *journal) store(list []happening) {
	if len(list) == 0 {
		return
	}
	var lines bytes.Buffer
	encode := json.NewEncoder(&lines)
	encode.SetEscapeHTML(false)
	for i := range list {
		before := lines.Len()
		// Strings and numbers only: there is nothing that cannot be encoded.
		_ = encode.Encode(list[i].event())
		if lines.Len()-before > longEvent {
			lines.Truncate(before)
			j.log.Warn("an event was not recorded: its labels are too long", "id", shortID(list[i].id), "action", list[i].action)
		}
	}
	if err := j.write(lines.Bytes()); err != nil {
		j.log.Warn("events were not recorded", "events", len(list), "error", err)
	}
}

func (j *journal) write(lines []byte) error {
	if j.file != nil && j.size+int64(len(lines)) > journalSize {
		j.shut()
		if err := os.Rename(j.path, j.path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if j.file == nil {
		if err := j.open(); err != nil {
			return err
		}
	}
	n, err := j.file.Write(lines)
	j.size += int64(n)
	if err != nil {
		j.shut() // a part of a line may be there: see open
	}
	return err
}

// end closes the journal for good, without what is pending.
func (j *journal) end() {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	j.ended, j.pending = true, nil
	j.mu.Unlock()
	j.shut()
}

func (j *journal) shut() {
	if j.file != nil {
		j.file.Close() // nothing is buffered
		j.file = nil
	}
}

// open opens the file for appending. What a crash has left of a line is made a
// line of its own, which readers skip.
func (j *journal) open() error {
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	j.file, j.size = f, st.Size()
	last := []byte{'\n'}
	if j.size > 0 {
		if _, err := f.ReadAt(last, j.size-1); err != nil {
			return err
		}
	}
	if last[0] != '\n' {
		_, err = f.Write([]byte{'\n'})
		j.size++
	}
	return err
}

// section is what was in a file at some time.
type section struct {
	file *os.File
	size int64
}

// past gives what is recorded, oldest first, and follows what comes after it:
// nothing is in both, or in neither. The files are the caller's to close.
func (j *journal) past(want func(*view.Event) bool) ([]section, *feed, error) {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	list := j.take()
	f := j.feed(want)
	j.mu.Unlock()
	j.store(list)
	var all []section
	for _, path := range []string{j.path + ".1", j.path} {
		file, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return all, f, err
		}
		all = append(all, section{file: file})
		st, err := file.Stat()
		if err != nil {
			return all, f, err
		}
		all[len(all)-1].size = st.Size()
	}
	return all, f, nil
}

// read gives the events one by one.
func (s *section) read(each func(*view.Event) error) error {
	lines := bufio.NewScanner(io.NewSectionReader(s.file, 0, s.size))
	lines.Buffer(nil, longEvent+1)
	for lines.Scan() {
		var e view.Event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Type == "" {
			continue // what a crash has left of it
		}
		if err := each(&e); err != nil {
			return err
		}
	}
	return lines.Err()
}
