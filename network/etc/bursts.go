package etc

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// bursts turns events that come many at a time into one call for all.
type bursts struct {
	events chan struct{}
	ctx    context.Context // until end
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newBursts() bursts {
	ctx, cancel := context.WithCancel(context.Background())
	return bursts{events: make(chan struct{}, 1), ctx: ctx, cancel: cancel}
}

// wake says that there was an event.
func (b *bursts) wake() {
	select {
	case b.events <- struct{}{}:
	default: // one is waiting
	}
}

// run calls look when things have calmed down, and at each tick.
func (b *bursts) run(ticks <-chan time.Time, look func()) {
	quiet := time.NewTimer(settle)
	quiet.Stop()
	var since time.Time // the start of a burst; zero: none
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.events:
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) < burst {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			since = time.Time{}
			look()
		case <-ticks:
			look()
		}
	}
}

// listen takes what the kernel reports on a descriptor for events, whatever it is,
// until that is closed.
func (b *bursts) listen(f *os.File) {
	buf := make([]byte, 16<<10) // inotify gives no half reports, rtnetlink cuts them off
	for {
		// The queue has overflowed: that is an event, too.
		if _, err := f.Read(buf); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		b.wake()
	}
}

// end closes what is listened to and waits for the last call to return. It may be
// called again.
func (b *bursts) end(files ...*os.File) error {
	if b.ctx.Err() != nil {
		return nil
	}
	b.cancel()
	var errs []error
	for _, f := range files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	b.wg.Wait()
	return errors.Join(errs...)
}
