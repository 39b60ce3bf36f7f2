package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// fileProgress draws one live line about a file that somebody else reads through the
// same open file: its offset is how far they are.
type fileProgress struct {
	w        *os.File
	f        *os.File
	size     int64
	mu       sync.Mutex
	drawn    bool
	over     bool
	quit     chan struct{}
	finished chan struct{}
}

const (
	progressDelay = 300 * time.Millisecond // what is done sooner needs no progress
	progressEvery = 200 * time.Millisecond
)

// startFileProgress draws on w if it is a terminal and f has an offset.
func startFileProgress(w, f *os.File) *fileProgress {
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || !isTerminal(w) {
		return nil
	}
	p := &fileProgress{w: w, f: f, size: st.Size(), quit: make(chan struct{}), finished: make(chan struct{})}
	go p.run()
	return p
}

func (p *fileProgress) run() {
	defer close(p.finished)
	start := time.Now()
	wait := time.NewTimer(progressDelay)
	defer wait.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-wait.C:
			p.draw(time.Since(start))
			wait.Reset(progressEvery)
		}
	}
}

func (p *fileProgress) draw(passed time.Duration) {
	at, err := unix.Seek(fdOf(p.f), 0, unix.SEEK_CUR)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.over {
		return
	}
	// A line that cannot be drawn is no reason to stop the import.
	fmt.Fprint(p.w, "\r\x1b[K"+progressLine(at, p.size, passed))
	p.drawn = true
}

func progressLine(at, size int64, passed time.Duration) string {
	const mb = 1e6
	rate := float64(at) / mb / passed.Seconds()
	return fmt.Sprintf("importing %.0f MB / %.0f MB  %.0f MB/s", float64(at)/mb, float64(size)/mb, rate)
}

// clear takes the line away for other text; no more is drawn.
func (p *fileProgress) clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn && !p.over {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.over = true
}

// stop ends the drawing.
func (p *fileProgress) stop() {
	if p == nil {
		return
	}
	p.clear()
	close(p.quit)
	<-p.finished
}
