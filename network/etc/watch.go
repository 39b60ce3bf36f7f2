package etc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// The times of a Watcher.
const (
	settle = 100 * time.Millisecond // a file that still changes is not read yet,
	burst  = time.Second            // unless its directory never comes to rest
	poll   = 5 * time.Second        // where inotify(7) cannot be had
	links  = 40                     // as many symbolic links as the kernel follows
)

// Watcher follows a file.
type Watcher struct {
	path    string
	changed func([]byte)
	inotify *os.File // nil: polling
	last    []byte
	bursts
}

// Watch calls changed with the content of a file whenever that is another one; a
// missing file has none. The file may be a symbolic link, and the link, what it
// links to, and the directory of either may be replaced: who manages a resolv.conf
// does that. Calls come one at a time, 0.1 s after the last of a burst of changes
// but no later than a second after its first. First is the content at the start.
func Watch(path string, changed func([]byte)) (w *Watcher, first []byte, err error) {
	w = &Watcher{path: path, changed: changed, bursts: newBursts()}
	fd, errno := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if errno == nil { // else the user has no inotify instances left
		w.inotify = os.NewFile(uintptr(fd), "inotify")
		w.arm()
	}
	// Read after watching: no change can fall between.
	if w.last, err = Read(path); err != nil {
		if w.inotify != nil {
			err = errors.Join(err, w.inotify.Close())
		}
		return nil, nil, err
	}
	var ticks <-chan time.Time
	if w.inotify != nil {
		w.wg.Go(func() { w.listen(w.inotify) })
	} else {
		t := time.NewTicker(poll)
		context.AfterFunc(w.ctx, t.Stop)
		ticks = t.C
	}
	w.wg.Go(func() { w.run(ticks, w.look) })
	return w, w.last, nil
}

// Read reads a resolv.conf or a hosts file of the host, no more than 64 KiB of
// it. A missing one is empty.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, api.Wrap("read", path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largest))
	if err != nil {
		return nil, api.Wrap("read", path, err)
	}
	return data, nil
}

// Close ends the watching; changed is not called after it. It must not be called
// by changed.
func (w *Watcher) Close() error { return w.end(w.inotify) }

func (w *Watcher) look() {
	if w.inotify != nil {
		w.arm()
	}
	data, err := Read(w.path)
	// What cannot be read now is as good as unchanged: the next event, which makes
	// it readable, comes here again.
	if err != nil || bytes.Equal(data, w.last) {
		return
	}
	w.last = data
	w.changed(data)
}

// interesting is what may give a name another content.
const interesting = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CLOSE_WRITE |
	unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// arm watches every directory in which a name of the way to the file is, and the
// file itself, which may be mounted there and be written through another name.
// What is watched already stays so; what is no longer on the way does no harm
// but a look in vain, and goes with its directory.
func (w *Watcher) arm() {
	conn, err := w.inotify.SyscallConn()
	if err != nil {
		return // closed
	}
	for _, place := range way(w.path) {
		// The nearest directory that there is sees the missing one come.
		for dir := place; ; dir = filepath.Dir(dir) {
			var there error
			err := conn.Control(func(fd uintptr) { _, there = unix.InotifyAddWatch(int(fd), dir, interesting) })
			if err != nil || there == nil || dir == filepath.Dir(dir) {
				break
			}
		}
	}
}

// way lists the directories of a path and of all that it links to, and the file.
func way(path string) []string {
	var list []string
	for range links {
		list = append(list, filepath.Dir(path))
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return append(list, path)
}
