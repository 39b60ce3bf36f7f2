package logfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bufferSize bounds the bytes of one write(2).
const bufferSize = 128 << 10

// Writer appends to a log. Its streams may be used at the same time.
type Writer struct {
	mu      sync.Mutex
	dir     string
	opts    Options
	file    *os.File // nil once closed
	size    int64    // of file, in bytes
	streams [streams]Stream
	clock   clock

	// buf holds records that are not written yet. Between calls it is in the
	// pool, which the garbage collector empties when the program is quiet.
	buf  []byte
	box  *[]byte // what the pool keeps buf in
	pool sync.Pool

	lost  int64 // bytes of output that could not be written since the last record
	cause error // of the first of them

	// midErr tells whether standard error is in the middle of a line: after
	// what is in the file, and after what is in buf.
	midErr, midErrBuf bool
}

// Create opens the log in dir, an existing directory, for appending. A record
// that a crash has cut short is closed first, so that none is glued to it.
func Create(dir string, opts Options) (*Writer, error) {
	w := &Writer{dir: dir, opts: opts}
	path := filepath.Join(dir, name(0))
	if err := repair(path); err != nil {
		return nil, err
	}
	f, err := openAppend(path, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	w.file, w.size = f, st.Size()
	for i, head := range [streams]string{" stdout F ", " stderr F "} {
		w.streams[i].w = w
		copy(w.streams[i].head[stampLen:], head)
	}
	return w, nil
}

// openAppend opens a file that only its owner can read: programs print secrets.
func openAppend(path string, flags int) (*os.File, error) {
	return os.OpenFile(path, flags|os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
}

// Stream is the writer of "stdout" or "stderr"; any other name means "stdout".
func (w *Writer) Stream(name string) *Stream {
	if name == "stderr" {
		return &w.streams[stderr]
	}
	return &w.streams[stdout]
}

// Close makes the log durable and closes it. Writes after it give os.ErrClosed.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	w.takeBuffer()
	err := w.reportLoss()
	if err == nil {
		err = w.flush()
	}
	err = errors.Join(err, w.file.Sync(), w.file.Close())
	w.file, w.buf, w.box = nil, nil, nil
	return err
}

func (w *Writer) takeBuffer() {
	box, ok := w.pool.Get().(*[]byte)
	if !ok {
		box = new([]byte)
	}
	w.box, w.buf = box, (*box)[:0]
}

func (w *Writer) returnBuffer() {
	*w.box = w.buf
	w.pool.Put(w.box)
	w.box, w.buf = nil, nil
}

// add puts one record in the buffer. When the buffer or the file is full for it,
// the records before it are written; flushed tells that this was done.
func (w *Writer) add(s *Stream, flag byte, text []byte) (flushed bool, err error) {
	need := headLen + len(text) + 1
	size := w.size + int64(len(w.buf))
	rotate := w.opts.MaxSize > 0 && size > 0 && size+int64(need) > w.opts.MaxSize
	if rotate || len(w.buf)+need > bufferSize {
		if err := w.flush(); err != nil {
			return false, err
		}
		flushed = true
	}
	if rotate {
		if err := w.rotate(); err != nil {
			return flushed, err
		}
	}
	s.head[flagAt] = flag
	w.buf = append(w.buf, s.head[:]...)
	w.buf = append(w.buf, text...)
	w.buf = append(w.buf, '\n')
	if s == &w.streams[stderr] {
		w.midErrBuf = flag == partial
	}
	return flushed, nil
}

// flush writes the buffer: all of it, or nothing stays in the file.
func (w *Writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	n, err := w.file.Write(w.buf)
	w.buf = w.buf[:0]
	if err == nil {
		w.size += int64(n)
		w.lost, w.midErr = 0, w.midErrBuf
		return nil
	}
	w.midErrBuf = w.midErr
	if n > 0 {
		// The next record would be glued to the half of one.
		err = errors.Join(err, w.file.Truncate(w.size))
	}
	return err
}

// reportLoss buffers the line about output that was not logged. A successful
// flush forgets the loss.
func (w *Writer) reportLoss() error {
	if w.lost == 0 {
		return nil
	}
	cause := w.cause.Error()
	var errno syscall.Errno
	if errors.As(w.cause, &errno) {
		cause = errno.Error() // without the path, which means nothing to the program's user
	}
	s := &w.streams[stderr]
	*(*[stampLen]byte)(s.head[:]) = *w.clock.set(time.Now())
	text := fmt.Appendf(nil, "sbx: %d bytes of output were not logged: %s", w.lost, cause)
	lost := w.lost
	var err error
	if w.midErr {
		_, err = w.add(s, full, nil)
	}
	if err == nil {
		_, err = w.add(s, full, text)
	}
	w.lost = lost // a rotation between the two has flushed the first
	return err
}
