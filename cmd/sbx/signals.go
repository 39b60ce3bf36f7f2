package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// armAfter is how long a program without a terminal runs before its command line
// handles signals. Each signal costs two switches of thread in the Go runtime,
// all of them a millisecond, which most short programs need not wait for. Until
// then a signal ends us as it ends any program, and the monitor ends the sandbox
// with us (api.KindArmed).
const armAfter = 2 * time.Millisecond

// arm begins to handle signals, and says so.
func (c *session) arm() {
	c.mu.Lock()
	if c.signals != nil || c.over {
		c.mu.Unlock()
		return
	}
	c.signals = catch(c.proxy, c.tty)
	c.mu.Unlock()
	go c.handle(c.signals)
	c.send(api.KindArmed, nil)
}

// disarm leaves signals to the system again.
func (c *session) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signals != nil {
		signal.Stop(c.signals)
	}
}

// catch asks for the signals that a session handles. Not among them: those that
// mean something to us (CHLD, PIPE, URG: the Go runtime preempts with it), job
// control of the shell that started us (TSTP, TTIN, TTOU: ^Z stops us, not the
// program), and those that say we are broken (SEGV, BUS, ...).
func catch(proxy, tty bool) chan os.Signal {
	ch := make(chan os.Signal, 128)
	var list []syscall.Signal
	if proxy || tty {
		list = append(list, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGCONT)
	}
	if tty {
		list = append(list, unix.SIGWINCH)
	}
	if proxy {
		list = append(list, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGABRT, unix.SIGVTALRM,
			unix.SIGPROF, unix.SIGIO, unix.SIGPWR, unix.SIGXCPU, unix.SIGSTKFLT)
		for n := sigRTMin; n <= sigRTMax; n++ {
			list = append(list, syscall.Signal(n))
		}
	}
	for _, sig := range list {
		// nohup: a signal that is ignored stays so.
		if !signal.Ignored(sig) {
			signal.Notify(ch, sig)
		}
	}
	return ch
}

// deadly signals end us unless the program gets them.
func deadly(sig syscall.Signal) bool {
	switch sig {
	case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
		return true
	}
	return false
}

// handle acts on signals until ch is closed.
func (c *session) handle(ch <-chan os.Signal) {
	defer c.term.guard()
	impatient := false
	for s := range ch {
		sig, ok := s.(syscall.Signal)
		switch {
		case !ok:
		case sig == unix.SIGWINCH:
			c.resize()
		case deadly(sig) && (!c.proxy || c.mortal() || impatient && !c.running()):
			c.die(sig)
		default:
			impatient = impatient || deadly(sig)
			if sig == unix.SIGCONT {
				c.term.again()
				c.resize()
			}
			if c.proxy {
				c.send(api.KindSignal, api.Signal{Num: int(sig)})
			}
		}
	}
}

// die ends us as the signal would have, with the terminal as it was.
func (c *session) die(sig syscall.Signal) {
	c.term.restore()
	dieOf(sig)
}

func dieOf(sig syscall.Signal) {
	signal.Reset(sig)
	// A signal to ourselves cannot fail.
	_ = unix.Kill(unix.Getpid(), sig)
	select {}
}

// beforeDeath undoes something if a signal ends us before stop is called.
func beforeDeath(undo func()) (stop func()) {
	ch := make(chan os.Signal, 1)
	for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		// nohup: a signal that is ignored stays so.
		if !signal.Ignored(sig) {
			signal.Notify(ch, sig)
		}
	}
	go func() {
		for s := range ch {
			undo()
			if sig, ok := s.(syscall.Signal); ok {
				dieOf(sig)
			}
		}
	}()
	return func() {
		signal.Stop(ch)
		close(ch)
	}
}
