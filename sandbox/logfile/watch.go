package logfile

import (
	"context"
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// pollInterval is how often a directory is looked at that cannot be watched.
const pollInterval = 200 * time.Millisecond

// watch waits for changes of a directory. inotify(7).
type watch struct {
	f    *os.File // nil: there is no inotify instance to be had
	ctx  context.Context
	stop chan struct{}

	// Without f:
	dir   string
	until time.Time
	done  <-chan struct{}
}

// newWatch watches dir. Waiting ends for good at the time until, if it is not
// zero, and when done is closed or ctx ends.
func newWatch(ctx context.Context, dir string, until time.Time, done <-chan struct{}) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if errors.Is(err, unix.EMFILE) {
		// fs.inotify.max_user_instances is one limit for all that the user runs: a
		// sandbox that takes them all must not hide its log.
		return &watch{ctx: ctx, stop: make(chan struct{}), dir: dir, until: until, done: done}, nil
	}
	if err != nil {
		return nil, api.Wrap("inotify_init", "", err)
	}
	w := &watch{f: os.NewFile(uintptr(fd), "inotify"), ctx: ctx, stop: make(chan struct{})}
	const events = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO |
		unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, dir, events); err != nil {
		w.f.Close()
		e := api.Wrap("inotify_add_watch", dir, err)
		if errors.Is(err, unix.ENOSPC) {
			e = e.WithHint("follow fewer logs, or %s", remedy.Inotify("max_user_watches", "524288").Text)
		}
		return nil, e
	}
	if err := w.f.SetReadDeadline(until); err != nil {
		w.f.Close()
		return nil, err
	}
	go func() {
		select {
		case <-ctx.Done():
		case <-done:
		case <-w.stop:
			return
		}
		// An error means that the file is closed, so nobody waits.
		_ = w.f.SetReadDeadline(time.Unix(1, 0))
	}()
	return w, nil
}

// wait returns after a change; ended tells that there will be no other.
func (w *watch) wait() (ended bool, err error) {
	if w.f == nil {
		return w.poll()
	}
	var buf [4 << 10]byte
	n, err := w.f.Read(buf[:])
	if ctxErr := w.ctx.Err(); ctxErr != nil {
		return true, ctxErr
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true, nil
	}
	if err != nil {
		return true, err
	}
	for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
		// IN_IGNORED comes last, when the directory is gone.
		ended = ended || e.Mask&unix.IN_IGNORED != 0
		b = b[min(len(b), unix.SizeofInotifyEvent+int(e.Len)):]
	}
	return ended, nil
}

// poll is wait for a directory that may have changed.
func (w *watch) poll() (ended bool, err error) {
	pause := pollInterval
	if !w.until.IsZero() {
		pause = min(pause, time.Until(w.until))
	}
	select {
	case <-w.ctx.Done():
		return true, w.ctx.Err()
	case <-w.done:
		return true, nil
	case <-time.After(pause):
	}
	if _, err := os.Stat(w.dir); errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	return !w.until.IsZero() && !time.Now().Before(w.until), nil
}

func (w *watch) close() {
	close(w.stop)
	if w.f != nil {
		w.f.Close() // nothing was written
	}
}
