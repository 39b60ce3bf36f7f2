package names

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// thread runs functions on an operating system thread of its own, which is in
// another network namespace. A socket stays in the namespace that it was made in,
// and then works from any thread.
type thread struct {
	work chan func()
	quit chan struct{}
}

// enter starts a thread in a network namespace. The caller needs CAP_SYS_ADMIN in
// the user namespace that owns it.
func enter(netns *os.File) (*thread, error) {
	t := &thread{work: make(chan func()), quit: make(chan struct{})}
	entered := make(chan error)
	go t.run(netns, entered)
	if err := <-entered; err != nil {
		return nil, api.Wrap("setns", netns.Name(), err)
	}
	return t, nil
}

// run never unlocks its thread: the way back may be forbidden, since the host's
// namespace is not ours. The thread ends with it.
func (t *thread) run(netns *os.File, entered chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The first thread stands for the whole process in /proc, and cannot end
		// before it. While it is held here, the next one is another.
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			t.serve(netns, entered)
		}()
		<-locked
		runtime.UnlockOSThread()
		return
	}
	t.serve(netns, entered)
}

func (t *thread) serve(netns *os.File, entered chan<- error) {
	err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET)
	runtime.KeepAlive(netns)
	entered <- os.NewSyscallError("setns", err)
	if err != nil {
		return
	}
	for {
		select {
		case f := <-t.work:
			f()
		case <-t.quit:
			return
		}
	}
}

// do runs f and waits for it. It says false, and has not run it, after close.
func (t *thread) do(f func()) bool {
	done := make(chan struct{})
	select {
	case t.work <- func() { defer close(done); f() }:
		<-done
		return true
	case <-t.quit:
		return false
	}
}

// close ends the thread. It must be called once only.
func (t *thread) close() { close(t.quit) }
