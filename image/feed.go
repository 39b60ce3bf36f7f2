package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

const (
	chunkSize = 256 << 10 // decompressed data is handed on in pieces of this size
	chunks    = 5         // how many of them are in use at a time, per layer
	blockSize = 64 << 10  // compressed data is read ahead in pieces of this size
	blocks    = 4
)

// chunk is decompressed data that two goroutines read.
type chunk struct {
	data   []byte
	packed int64 // bytes of compressed data that were read up to its end
	users  atomic.Int32
}

// feed reads a layer: decompression, digest and the unpacking, which is the
// caller, are goroutines of their own, so that one large layer keeps two CPUs busy.
type feed struct {
	ctx    context.Context
	stop   context.CancelCauseFunc
	free   chan *chunk
	ready  chan *chunk // to the caller; closed at the end
	sum    hash.Hash   // complete when the hashing goroutine has ended
	err    error       // why it ended, nil at the end of the data; set before ready is closed
	format string      // of the compression
	wg     sync.WaitGroup
}

// newFeed starts to read r.
func newFeed(ctx context.Context, r io.Reader, window uint64) *feed {
	f := &feed{free: make(chan *chunk, chunks), ready: make(chan *chunk, chunks), sum: sha256.New()}
	f.ctx, f.stop = context.WithCancelCause(ctx)
	for range chunks {
		f.free <- &chunk{data: make([]byte, chunkSize)}
	}
	hashed := make(chan *chunk, chunks)
	f.wg.Go(func() {
		for c := range hashed {
			f.sum.Write(c.data)
			f.release(c)
		}
	})
	f.wg.Go(func() {
		defer close(hashed)
		defer close(f.ready)
		f.err = f.run(r, window, hashed)
	})
	return f
}

// Close ends the reading, and waits for a read of r that has not returned.
func (f *feed) Close() {
	f.stop(errors.New("closed"))
	f.wg.Wait()
}

// digest is that of the decompressed data, to be called after its end.
func (f *feed) digest() digest.Digest {
	f.wg.Wait()
	return digest.NewDigest(digest.SHA256, f.sum)
}

func (f *feed) release(c *chunk) {
	if c.users.Add(-1) == 0 {
		f.free <- c
	}
}

func (f *feed) run(r io.Reader, window uint64, hashed chan<- *chunk) error {
	ahead := newAhead(f.ctx, r)
	defer ahead.Close()
	z, err := decompress(ahead, window)
	if err != nil {
		return err
	}
	defer z.Close()
	for {
		var c *chunk
		select {
		case c = <-f.free:
		case <-f.ctx.Done():
			return context.Cause(f.ctx)
		}
		c.data = c.data[:chunkSize]
		n, err := io.ReadFull(z, c.data)
		c.data, c.packed = c.data[:n], ahead.n
		if n > 0 {
			c.users.Store(2)
			hashed <- c // has room for all there are
			f.ready <- c
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF: // of ReadFull; one of the data comes as corrupt
			return z.drain()
		default:
			return err
		}
	}
}

// ahead reads from r in a goroutine, so that the source (which may compute a digest
// of what it hands out) and the decompression work side by side.
type ahead struct {
	ctx   context.Context
	stop  context.CancelFunc
	free  chan []byte
	ready chan piece
	cur   piece
	rest  []byte
	n     int64 // bytes handed out
	wg    sync.WaitGroup
}

type piece struct {
	data []byte
	err  error
}

func newAhead(ctx context.Context, r io.Reader) *ahead {
	a := &ahead{free: make(chan []byte, blocks), ready: make(chan piece, blocks)}
	a.ctx, a.stop = context.WithCancel(ctx)
	for range blocks {
		a.free <- make([]byte, blockSize)
	}
	a.wg.Go(func() {
		defer close(a.ready)
		for {
			select {
			case <-a.ctx.Done():
				return
			case buf := <-a.free:
				n, err := r.Read(buf[:blockSize])
				if err != nil && err != io.EOF {
					err = &readError{err}
				}
				a.ready <- piece{buf[:n], err}
				if err != nil {
					return
				}
			}
		}
	})
	return a
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		if a.cur.data != nil {
			a.free <- a.cur.data
			a.cur = piece{}
		}
		select {
		case b, ok := <-a.ready:
			if !ok {
				return 0, context.Cause(a.ctx)
			}
			a.cur, a.rest = b, b.data
		case <-a.ctx.Done():
			return 0, context.Cause(a.ctx)
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	a.n += int64(n)
	return n, nil
}

// Close waits for a read that has not returned.
func (a *ahead) Close() {
	a.stop()
	a.wg.Wait()
}

// readError tells an error of where the layer comes from from one of its data.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }
