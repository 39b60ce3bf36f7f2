package network

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// thread is an operating system thread that lives in a network namespace of its
// own. It never goes back to where it came from: that takes a capability there,
// which the supervisor does not have. Sockets stay in the namespace they were
// made in, so they can be used from everywhere.
type thread struct {
	work chan func()
	home *os.File
}

// newThread starts a thread in the network namespace home.
func newThread(home *os.File) (*thread, error) {
	t := &thread{make(chan func()), home}
	started := make(chan error)
	go t.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return t, nil
}

// run never unlocks its thread, so that the thread ends with it.
func (t *thread) run(started chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// /proc/PID/ns/net and /proc/PID/net are those of the main thread. While
		// it is held here, the other goroutine gets another one.
		again := make(chan error)
		go t.run(again)
		err := <-again
		runtime.UnlockOSThread()
		started <- err
		return
	}
	err := setns(t.home)
	started <- err
	if err != nil {
		return
	}
	for f := range t.work {
		f()
	}
}

// close ends the thread.
func (t *thread) close() { close(t.work) }

// at runs f in the network namespace ns; nil is the thread's own. F must not
// start goroutines that matter.
func (t *thread) at(ns *os.File, f func() error) error {
	done := make(chan error)
	t.work <- func() {
		if ns == nil {
			done <- f()
			return
		}
		err := setns(ns)
		if err == nil {
			err = f()
			// A thread that stayed would keep the namespace of a sandbox alive.
			if back := setns(t.home); err == nil {
				err = back
			}
		}
		done <- err
	}
	return <-done
}

func setns(ns *os.File) error {
	err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
	if err != nil {
		return &os.PathError{Op: "setns", Path: ns.Name(), Err: err}
	}
	return nil
}
