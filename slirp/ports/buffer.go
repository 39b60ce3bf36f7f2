package ports

import (
	"sync"
	"sync/atomic"
)

// Sizes of buffers. The usual one is less than what is free in a send buffer that
// poll(2) calls writable, in the usual case: a third of it. So nobody holds it while
// a slow reader makes us wait. Large ones are as good as pipes, and as few.
const (
	bufferSize = 32 << 10
	largeSize  = pipeSize
	maxLarge   = maxPipes
)

// buffers are those of the process.
var buffers = bufferPool{
	usual: sync.Pool{New: func() any { return new([bufferSize]byte) }},
	large: sync.Pool{New: func() any { return new([largeSize]byte) }},
}

type bufferPool struct {
	usual, large sync.Pool
	inUse        atomic.Int64 // large ones
}

func (p *bufferPool) get() []byte {
	if p.inUse.Add(1) <= maxLarge {
		return p.large.Get().(*[largeSize]byte)[:]
	}
	p.inUse.Add(-1)
	return p.usual.Get().(*[bufferSize]byte)[:]
}

// put takes back all of a buffer.
func (p *bufferPool) put(buf []byte) {
	if len(buf) == largeSize {
		p.large.Put((*[largeSize]byte)(buf))
		p.inUse.Add(-1)
		return
	}
	p.usual.Put((*[bufferSize]byte)(buf))
}
