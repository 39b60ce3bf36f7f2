package cp

import (
	"context"
	"io"
	"sync"
)

const (
	blockSize = 256 << 10
	blocks    = 4
)

// Reader reads from r ahead, and ends with ctx: a read of a pipe that nobody writes
// to would keep what else the copy has open. That one is left to its goroutine, which
// ends when r does.
func Reader(ctx context.Context, r io.Reader) io.Reader {
	p := &reader{ctx: ctx, ready: make(chan block, blocks)}
	go p.run(r)
	return p
}

type block struct {
	data []byte
	err  error
}

type reader struct {
	ctx   context.Context
	ready chan block
	cur   block
}

func (p *reader) run(r io.Reader) {
	for {
		buf := make([]byte, blockSize)
		n, err := r.Read(buf)
		select {
		case p.ready <- block{buf[:n], err}:
		case <-p.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (p *reader) Read(b []byte) (int, error) {
	for len(p.cur.data) == 0 {
		if p.cur.err != nil {
			return 0, p.cur.err
		}
		select {
		case p.cur = <-p.ready:
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		}
	}
	n := copy(b, p.cur.data)
	p.cur.data = p.cur.data[n:]
	return n, nil
}

// Writer is the same for writing. Flush must be called at the end.
type Writer struct {
	ctx  context.Context
	work chan []byte
	free chan []byte
	cur  []byte
	done chan struct{}
	mu   sync.Mutex
	err  error
}

// NewWriter starts to write to w.
func NewWriter(ctx context.Context, w io.Writer) *Writer {
	p := &Writer{ctx: ctx, work: make(chan []byte, blocks), free: make(chan []byte, blocks), done: make(chan struct{})}
	for range blocks {
		p.free <- make([]byte, 0, blockSize)
	}
	go p.run(w)
	return p
}

func (p *Writer) run(w io.Writer) {
	defer close(p.done)
	for b := range p.work {
		if p.failed() == nil {
			_, err := w.Write(b)
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
		}
		p.free <- b[:0]
	}
}

func (p *Writer) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Write implements io.Writer. An error may be that of an earlier write.
func (p *Writer) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		if p.cur == nil {
			select {
			case p.cur = <-p.free:
			case <-p.ctx.Done():
				return 0, context.Cause(p.ctx)
			}
			if err := p.failed(); err != nil {
				return 0, err
			}
		}
		n := min(len(rest), blockSize-len(p.cur))
		p.cur, rest = append(p.cur, rest[:n]...), rest[n:]
		if len(p.cur) == blockSize {
			p.send()
		}
	}
	return len(b), nil
}

// send has room for all blocks there are.
func (p *Writer) send() {
	p.work <- p.cur
	p.cur = nil
}

// Flush ends the writing, and gives its error. After ctx has ended it does not wait
// for a write that waits.
func (p *Writer) Flush() error {
	if len(p.cur) > 0 {
		p.send()
	}
	close(p.work)
	select {
	case <-p.done:
		return p.failed()
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}
