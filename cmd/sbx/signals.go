package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// catch asks for the signals that a session handles. Not among them: those that
// mean something to us (CHLD, PIPE, URG: the Go runtime preempts with it), job
// control of the shell that started us (TSTP, TTIN, TTOU: ^Z stops us, not the
// program), and those that say we are broken (SEGV, BUS, ...).
func catch(proxy, tty bool) chan os.Signal {
	ch := make(chan os.Signal, 128)
	var list []os.Signal
	add := func(sigs ...syscall.Signal) {
		for _, sig := range sigs {
			// nohup: a signal that is ignored stays so.
			if !signal.Ignored(sig) {
				list = append(list, sig)
			}
		}
	}
	if proxy || tty {
		add(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
	}
	if proxy {
		add(unix.SIGABRT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGVTALRM, unix.SIGPROF,
			unix.SIGIO, unix.SIGPWR, unix.SIGXCPU, unix.SIGSTKFLT)
		for n := sigRTMin; n <= sigRTMax; n++ {
			add(syscall.Signal(n))
		}
	}
	if proxy || tty {
		add(unix.SIGCONT)
	}
	if tty {
		add(unix.SIGWINCH)
	}
	if len(list) > 0 {
		signal.Notify(ch, list...)
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
	signal.Reset(sig)
	// A signal to ourselves cannot fail.
	_ = unix.Kill(unix.Getpid(), sig)
	select {}
}
