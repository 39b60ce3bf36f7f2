package slirp

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// A helper that dies is started again at once; one that keeps dying, ever later.
const (
	calm       = 10 * time.Second // a life that was no failure of the start
	firstPause = 50 * time.Millisecond
	lastPause  = time.Minute
	// settle is how long the host's routes must rest before another try: they
	// change one by one.
	settle = time.Second
)

// watch keeps the switch connected.
type watch struct {
	d      *Driver
	pid    int
	netns  string
	cancel context.CancelFunc
	done   chan struct{}
	said   string // last reason in the log
}

// watch starts the helper and its watching; record is that of the first start, nil
// where ended is that of a helper that runs already. The returned function ends
// both.
func (d *Driver) watch(pid int, netns string, r *record, ended <-chan struct{}) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{d: d, pid: pid, netns: netns, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		if r != nil {
			ended = w.start(ctx, r)
		}
		w.keep(ctx, ended)
	}()
	return func() error {
		cancel()
		<-w.done
		return d.helper().stop()
	}
}

// keep starts the helper again whenever it has ended, and when it could not be
// started, after a change of the host's network. A nil channel is no helper.
func (w *watch) keep(ctx context.Context, ended <-chan struct{}) {
	pause := firstPause
	for {
		if ended == nil {
			if !hostChanged(ctx) {
				return
			}
		} else {
			since := time.Now()
			select {
			case <-ctx.Done():
				return
			case <-ended:
			}
			if time.Since(since) > calm {
				pause = firstPause
			}
			fmt.Fprintf(w.d.log, "slirp: %s has ended; starting it again\n", w.d.Name())
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, lastPause)
		}
		r, err := openRecord(w.d.run, w.netns, w.d.at)
		if err != nil {
			fmt.Fprintln(w.d.log, "slirp:", err)
			return // the namespace has gone
		}
		ended = w.start(ctx, r)
	}
}

// start is one attempt; nil if it has failed.
func (w *watch) start(parent context.Context, r *record) <-chan struct{} {
	try := func() (<-chan struct{}, error) {
		ctx, cancel := context.WithTimeout(parent, startTimeout)
		defer cancel()
		return w.d.helper().start(ctx, w.pid, w.netns)
	}
	ended, err := try()
	if err != nil && parent.Err() == nil && w.d.lost(err) {
		ended, err = try()
	}
	stopped := parent.Err() != nil
	reason := w.d.finish(r, err)
	if reason != "" && reason != w.said && !stopped {
		fmt.Fprintln(w.d.log, "slirp: no way out:", reason)
	}
	w.said = reason
	if err != nil {
		return nil
	}
	return ended
}

// hostChanged waits until the routes of the host have changed; false is the end of
// the context.
func hostChanged(ctx context.Context) bool {
	news, done := make(chan netlink.RouteUpdate), make(chan struct{})
	if err := netlink.RouteSubscribe(news, done); err != nil {
		<-ctx.Done() // there will be no news
		return false
	}
	defer func() {
		close(done)
		go func() {
			for range news { // the sender may be in the middle of one
			}
		}()
	}()
	updates := news
	changed := false
	rest := time.NewTimer(settle)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case _, ok := <-updates:
			changed = true
			rest.Reset(settle)
			if !ok { // what came was more than the socket could hold
				updates = nil
				rest.Reset(lastPause)
			}
		case <-rest.C:
			if changed {
				return true
			}
		}
	}
}
