package tests

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// lockedBuffer collects output while a test reads it.
type lockedBuffer struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed at the next write
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// wait waits until the words have been written after the first from bytes, and
// says where they end; -1 when they do not come.
func (b *lockedBuffer) wait(from int, words string, patience time.Duration) int {
	timeout := time.After(patience)
	for {
		b.mu.Lock()
		if at := strings.Index(b.buf.String()[from:], words); at >= 0 {
			b.mu.Unlock()
			return from + at + len(words)
		}
		if b.more == nil {
			b.more = make(chan struct{})
		}
		more := b.more
		b.mu.Unlock()
		select {
		case <-more:
		case <-timeout:
			return -1
		}
	}
}
