package transfer

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"

	"sbx/image"
)

// desk knows what is being fetched into a store, so that nothing is fetched twice
// at the same time.
type desk struct {
	mu      sync.Mutex
	flights map[string]*flight
	layers  map[digest.Digest]*claim // by chain id
}

// desks has one for each open store. A process has one store; tests have more.
var desks sync.Map // *image.Store -> *desk

func deskOf(s *image.Store) *desk {
	d, _ := desks.LoadOrStore(s, &desk{flights: map[string]*flight{}, layers: map[digest.Digest]*claim{}})
	return d.(*desk)
}

// flight is a pull that several callers may wait for. It ends early when the last
// of them has gone.
type flight struct {
	board   *board
	cancel  context.CancelFunc
	waiting int
	done    chan struct{}
	result  Pulled // valid after done
	err     error
}

// join returns the result of the flight of this key, and starts it if there is
// none. Its progress goes to s.Report while the caller waits.
func (d *desk) join(ctx context.Context, key string, s *session, fly func(context.Context) (Pulled, error)) (Pulled, error) {
	d.mu.Lock()
	f := d.flights[key]
	if f == nil {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{board: s.board, cancel: cancel, done: make(chan struct{})}
		d.flights[key] = f
		go func() {
			f.result, f.err = fly(own)
			d.land(key, f)
			f.board.flush()
			cancel()
			close(f.done)
		}()
	}
	f.waiting++
	d.mu.Unlock()
	leave := f.board.join(s.Report)
	defer leave()
	select {
	case <-f.done:
		return f.result, f.err
	case <-ctx.Done():
	}
	d.mu.Lock()
	if f.waiting--; f.waiting == 0 {
		// The next caller does not join what is being torn down.
		if d.flights[key] == f {
			delete(d.flights, key)
		}
		f.cancel()
		d.mu.Unlock()
		<-f.done // so that nothing is left of it when the caller says so
		return Pulled{}, ctx.Err()
	}
	d.mu.Unlock()
	return Pulled{}, ctx.Err()
}

func (d *desk) land(key string, f *flight) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flights[key] == f {
		delete(d.flights, key)
	}
}

// claim is a layer that somebody is fetching.
type claim struct{ done chan struct{} }

// claimAll claims the layers that nobody is fetching, all at once. others has the
// claim of somebody else for each one that is, nil otherwise. Waiting for others
// cannot end in a circle: who waits has come later.
func (d *desk) claimAll(chain []digest.Digest) (others []*claim, release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	others = make([]*claim, len(chain))
	own := &claim{make(chan struct{})}
	for i, id := range chain {
		if others[i] = d.layers[id]; others[i] == nil {
			d.layers[id] = own
		}
	}
	return others, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, id := range chain {
			if d.layers[id] == own {
				delete(d.layers, id)
			}
		}
		close(own.done)
	}
}
