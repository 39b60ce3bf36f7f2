package ports

import (
	"sync"

	"golang.org/x/sys/unix"
)

// The kernel lets all pipes of a user have 16384 pages (pipe-user-pages-soft,
// pipe(7)), and gives a user's further ones two pages each: a quarter of that is
// ours.
const (
	pipeSize = 256 << 10
	maxPipes = 64
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
	mu   sync.Mutex
	free []*pipe
	made int
}

// get is nil if there are enough pipes already, or no descriptors.
func (l *pipePool) get() *pipe {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		p := l.free[n-1]
		l.free = l.free[:n-1]
		return p
	}
	if l.made == maxPipes {
		return nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	// A smaller one does as well.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	l.made++
	return &pipe{fds[0], fds[1]}
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
