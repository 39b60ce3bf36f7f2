package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reapTime is how long a child of ours may be dead before that means that nobody
// is going to notice.
const reapTime = time.Second

// stuck tells when a child has died and is not waited for. Rootlesskit's parent
// holds both ends of the pipe that it hears its child by, and waits for ever for
// the next word of one that has died during the start.
func stuck() <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	found := make(chan struct{})
	go func() {
		for range signals {
			// Helpers come and go; that two of them are dead and not yet reaped
			// just when we look is not to be expected.
			if !zombie() {
				continue
			}
			<-time.After(reapTime)
			if zombie() {
				close(found)
				return
			}
		}
	}()
	return found
}

// zombie says whether a child has ended that is not reaped. It stays that:
// WNOWAIT, waitid(2).
func zombie() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}
