package main

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a stream may stay silent after the program has ended,
// before we stop waiting for its end: a child of the program may hold it open.
const grace = time.Second

// relay copies what the program writes to one of the caller's files. It blocks
// when the caller does, so the program does too.
type relay struct {
	from     *os.File
	to       *os.File
	last     atomic.Bool   // the program has ended
	done     chan struct{} // closed when run returns
	gone     func()        // called when the caller's file takes no more; may be nil
	writeErr error         // why the caller's file took no more; valid after done
}

func newRelay(from, to *os.File) *relay {
	return &relay{from: from, to: to, done: make(chan struct{})}
}

// run copies until the end of the stream. If the caller's file takes no more, the
// pipe is closed, so that the program sees what it would see without us:
// SIGPIPE or EPIPE.
func (r *relay) run() {
	defer close(r.done)
	defer r.from.Close()
	buf := make([]byte, 64<<10) // the size of a pipe
	for {
		if r.last.Load() {
			r.extend()
		}
		n, err := r.from.Read(buf)
		if n > 0 {
			if r.writeErr = writeAll(fdOf(r.to), buf[:n]); r.writeErr != nil {
				if r.gone != nil {
					r.gone()
				}
				return
			}
		}
		if err != nil {
			// io.EOF; EIO is the end of a terminal; a deadline, that of grace.
			return
		}
	}
}

// finish waits for the rest after the program has ended.
func (r *relay) finish() {
	r.last.Store(true)
	r.extend()
	<-r.done
}

func (r *relay) extend() {
	// A file that takes no deadline is already closed, and run over.
	_ = r.from.SetReadDeadline(time.Now().Add(grace))
}

// failed is why the caller's file took no more, unless its reader just left.
func (r *relay) failed() error {
	switch {
	case errors.Is(r.writeErr, unix.EPIPE):
		return nil
	case errors.Is(r.writeErr, unix.EIO) && isCharDevice(r.to):
		return nil // a terminal that was closed
	}
	return r.writeErr
}

// writeAll writes to a file that may be non-blocking, as a terminal is that
// another program left so. A raw write gives EPIPE where os.File would raise
// SIGPIPE and end us before the program.
func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if n > 0 {
			data = data[n:]
		}
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			if err := await(fd, unix.POLLOUT); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// readSome reads from a file that may be non-blocking. No bytes: the end.
func readSome(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			if err := await(fd, unix.POLLIN); err != nil {
				return 0, err
			}
		default:
			return 0, err
		}
	}
}

func await(fd int, events int16) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, -1)
		if err != unix.EINTR {
			return err
		}
	}
}

func isCharDevice(f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(fdOf(f), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR
}
