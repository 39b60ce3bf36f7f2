package ports

import (
	"math"

	"golang.org/x/sys/unix"
)

// slots bounds the connections of a port, and those of all.
type slots struct{ own, all chan struct{} }

// newSlots for a port. One port cannot take all: there is an eighth for others.
func newSlots(all chan struct{}) slots {
	return slots{make(chan struct{}, cap(all)-cap(all)/8), all}
}

// acquire waits for a free slot of both kinds; false is the end of the port.
func (s slots) acquire(closed <-chan struct{}) bool {
	select {
	case s.own <- struct{}{}:
	case <-closed:
		return false
	}
	select {
	case s.all <- struct{}{}:
		return true
	case <-closed:
		<-s.own
		return false
	}
}

// try is acquire without waiting.
func (s slots) try() bool {
	select {
	case s.own <- struct{}{}:
	default:
		return false
	}
	select {
	case s.all <- struct{}{}:
		return true
	default:
		<-s.own
		return false
	}
}

func (s slots) release() {
	<-s.all
	<-s.own
}

// maxConnections is what the limit of open files allows, which the runtime has
// raised as far as it may: two sockets each, and some for pipes and ports. Above
// that clients wait in the queue of the listener.
func maxConnections() int {
	const most, reserved = 1 << 16, 512
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return most
	}
	return max(16, min(most, (int(limit.Cur)-reserved)/2))
}
