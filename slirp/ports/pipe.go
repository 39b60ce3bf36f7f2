package ports

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel lets all pipes of a user have 16384 pages (pipe-user-pages-soft,
// pipe(7)), and gives a user's further ones two pages each: a quarter of that is
// ours. Others may have taken it: pasta and podman have large ones, and programs in
// sandboxes are of the same user. Pipes of two pages are slower than copying.
const (
	pipeSize  = 256 << 10
	maxPipes  = 64
	keptPipes = 4           // are made at once: later there may be no pages left
	pipePause = time.Second // before we ask again for what was refused
)

// pipe takes data from one socket to the other without copying it, splice(2).
type pipe struct{ r, w int }

func (p *pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

// pipes are those of the process.
var pipes pipePool

type pipePool struct {
	mu      sync.Mutex
	free    []*pipe
	made    int
	refused time.Time // when there was no pipe of a useful size
}

// get is nil if there are enough pipes already, or no pages or descriptors for more.
func (l *pipePool) get() *pipe {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		p := l.free[n-1]
		l.free = l.free[:n-1]
		return p
	}
	if l.made == maxPipes || time.Since(l.refused) < pipePause {
		return nil
	}
	p, err := newPipe()
	if err != nil {
		l.refused = time.Now()
		return nil
	}
	l.made++
	return p
}

// keep makes the first pipes.
func (l *pipePool) keep() {
	var first []*pipe
	for range keptPipes {
		if p := l.get(); p != nil {
			first = append(first, p)
		}
	}
	for _, p := range first {
		l.put(p)
	}
}

func newPipe() (*pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	p := &pipe{fds[0], fds[1]}
	if _, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// put takes back an empty pipe.
func (l *pipePool) put(p *pipe) {
	l.mu.Lock()
	l.free = append(l.free, p)
	l.mu.Unlock()
}

// forget is for a pipe that was closed.
func (l *pipePool) forget() {
	l.mu.Lock()
	l.made--
	l.mu.Unlock()
}
