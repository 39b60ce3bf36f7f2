package view

import (
	"strings"
	"sync"
	"time"
)

// buildOutput collects the text of a build's progress, so that many short steps make
// few packets, and writes it without anybody having to wait for the reader: one that
// has been stopped by ^Z must not stop the steps of other builds too.
type buildOutput struct {
	write   func(string) error
	lock    sync.Locker // held by the callers of all methods
	wrote   *sync.Cond  // of lock: some text is out
	text    strings.Builder
	armed   bool // it will be written soon
	hurried bool // and at once
	writing bool
}

const (
	flushEvery = 25 * time.Millisecond
	enough     = 32 << 10 // bytes that are written at once
	tooMuch    = 4 << 20  // bytes that a program has to wait for
)

func (o *buildOutput) print(text string) {
	o.text.WriteString(text)
	if !o.armed && !o.writing && o.text.Len() > 0 {
		o.armed = true
		time.AfterFunc(flushEvery, o.later)
	}
}

// relieve writes soon if there is enough.
func (o *buildOutput) relieve() {
	if !o.hurried && !o.writing && o.text.Len() > enough {
		o.hurried = true
		go o.later()
	}
}

func (o *buildOutput) later() {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.armed, o.hurried = false, false
	o.drain()
}

// drain writes what there is, with the lock released meanwhile, unless somebody is at
// it.
func (o *buildOutput) drain() {
	if o.writing {
		return
	}
	o.writing = true
	for o.text.Len() > 0 {
		text := o.text.String()
		o.text.Reset()
		o.lock.Unlock()
		// A command line that is gone ends the build by another way.
		_ = o.write(text)
		o.lock.Lock()
		o.wrote.Broadcast()
	}
	o.writing = false
	o.wrote.Broadcast()
}

// flush returns when all is out.
func (o *buildOutput) flush() {
	for o.writing {
		o.wrote.Wait()
	}
	o.drain()
}

// await waits while the reader is far behind.
func (o *buildOutput) await() {
	for (o.writing || o.armed) && o.text.Len() > tooMuch {
		o.wrote.Wait()
	}
}

// behind says that the reader has not taken what came before.
func (o *buildOutput) behind() bool { return o.writing && o.text.Len() > 0 }
