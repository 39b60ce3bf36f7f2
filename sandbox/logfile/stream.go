package logfile

import (
	"bytes"
	"os"
	"time"
)

// Stream is one stream of a program.
type Stream struct {
	w    *Writer
	head [headLen]byte
}

// Write logs p and returns how much of it is in the file. What an error (a full
// disk, most often) leaves out is lost; how much that was is logged as a line
// of sbx on standard error as soon as writing works again.
func (s *Stream) Write(p []byte) (int, error) {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return 0, os.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	w.takeBuffer()
	n, err := s.write(p)
	if err != nil {
		if w.lost == 0 {
			w.cause = err
		}
		w.lost += int64(len(p) - n)
	}
	w.returnBuffer()
	return n, err
}

// write returns the bytes of p whose records are written, not only buffered.
func (s *Stream) write(p []byte) (n int, err error) {
	if err := s.w.reportLoss(); err != nil {
		return 0, err
	}
	*(*[stampLen]byte)(s.head[:]) = *s.w.clock.set(time.Now())
	rest := p
	for len(rest) > 0 {
		text, flag, skip := rest, byte(partial), 0
		if len(text) > maxText {
			text = text[:maxText]
		}
		// One more byte than the text: the newline of a line of full length.
		if i := bytes.IndexByte(rest[:min(len(rest), maxText+1)], '\n'); i >= 0 {
			text, flag, skip = rest[:i], full, 1
		}
		flushed, err := s.w.add(s, flag, text)
		if flushed {
			n = len(p) - len(rest)
		}
		if err != nil {
			return n, err
		}
		rest = rest[len(text)+skip:]
	}
	if err := s.w.flush(); err != nil {
		return n, err
	}
	return len(p), nil
}
