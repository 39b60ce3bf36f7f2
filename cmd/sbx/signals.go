package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// catch asks for the signals that end us or tell of the terminal. The others
// follow when the program runs (catchLater): each costs two switches of thread in
// the Go runtime, which a short program would wait for.
func catch(proxy, tty bool) chan os.Signal {
	ch := make(chan os.Signal, 128)
	var list []syscall.Signal
	if proxy || tty {
		list = append(list, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	}
	if tty {
		list = append(list, unix.SIGCONT, unix.SIGWINCH)
	}
	notify(ch, list)
	return ch
}

// catchLater asks for all other signals that are passed on, once the program has
// run for a moment. Not among them: those
// that mean something to us (CHLD, PIPE, URG: the Go runtime preempts with it),
// job control of the shell that started us (TSTP, TTIN, TTOU: ^Z stops us, not
// the program), and those that say we are broken (SEGV, BUS, ...).
func catchLater(ch chan os.Signal) {
	list := []syscall.Signal{unix.SIGCONT, unix.SIGALRM, unix.SIGABRT, unix.SIGVTALRM,
		unix.SIGPROF, unix.SIGIO, unix.SIGPWR, unix.SIGXCPU, unix.SIGSTKFLT}
	for n := sigRTMin; n <= sigRTMax; n++ {
		list = append(list, syscall.Signal(n))
	}
	time.AfterFunc(20*time.Millisecond, func() { notify(ch, list) })
}

func notify(ch chan os.Signal, list []syscall.Signal) {
	for _, sig := range list {
		// nohup: a signal that is ignored stays so.
		if !signal.Ignored(sig) {
			signal.Notify(ch, sig)
		}
	}
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
