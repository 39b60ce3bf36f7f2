package transfer

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"sbx/api"
)

// reportEvery is the least time between two reports on steps that go on.
const reportEvery = 100 * time.Millisecond

// board keeps what the steps of a transfer have come to, and tells listeners what
// has changed, not too often. Who joins late hears of everything so far.
type board struct {
	mu        sync.Mutex
	steps     []api.Step
	at        map[string]int
	changed   map[int]bool
	waiting   bool // a flush is due
	listeners map[int]func(api.Progress)
	next      int

	sending sync.Mutex // held around all calls of listeners, taken before mu
}

func newBoard() *board {
	return &board{at: map[string]int{}, changed: map[int]bool{}, listeners: map[int]func(api.Progress){}}
}

// join adds a listener, which may be nil, and returns how it leaves. After that it
// is not called any more.
func (b *board) join(listener func(api.Progress)) (leave func()) {
	if listener == nil {
		return func() {}
	}
	b.sending.Lock()
	defer b.sending.Unlock()
	b.mu.Lock()
	id := b.next
	b.next++
	b.listeners[id] = listener
	sofar := append([]api.Step(nil), b.steps...)
	b.mu.Unlock()
	if len(sofar) > 0 {
		listener(api.Progress{Steps: sofar})
	}
	return func() {
		b.sending.Lock()
		defer b.sending.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, id)
	}
}

// line says something that belongs to no step.
func (b *board) line(text string) {
	b.sending.Lock()
	defer b.sending.Unlock()
	for _, tell := range b.all() {
		tell(api.Progress{Line: text})
	}
}

func (b *board) all() []func(api.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]func(api.Progress), 0, len(b.listeners))
	for id := range b.next {
		if tell := b.listeners[id]; tell != nil {
			list = append(list, tell)
		}
	}
	return list
}

// set records a step.
func (b *board) set(id, state string, done, size int64) {
	b.mu.Lock()
	i, known := b.at[id]
	if !known {
		i = len(b.steps)
		b.at[id] = i
		b.steps = append(b.steps, api.Step{})
	}
	step := api.Step{ID: id, State: state, Done: done, Size: size}
	if known && b.steps[i] == step {
		b.mu.Unlock()
		return
	}
	b.steps[i] = step
	b.changed[i] = true
	start := !b.waiting && len(b.listeners) > 0
	b.waiting = b.waiting || start
	b.mu.Unlock()
	if start {
		time.AfterFunc(reportEvery, b.flush)
	}
}

// flush tells what has changed.
func (b *board) flush() {
	b.sending.Lock()
	defer b.sending.Unlock()
	b.mu.Lock()
	b.waiting = false
	var news []api.Step
	for i := range b.steps {
		if b.changed[i] {
			news = append(news, b.steps[i])
		}
	}
	clear(b.changed)
	b.mu.Unlock()
	if len(news) == 0 {
		return
	}
	for _, tell := range b.all() {
		tell(api.Progress{Steps: news})
	}
}

// stepID is the short form of a digest.
func stepID(d digest.Digest) string {
	if hex := d.Encoded(); len(hex) > 12 {
		return hex[:12]
	}
	return d.Encoded()
}
