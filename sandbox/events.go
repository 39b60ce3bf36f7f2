package sandbox

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// events reads what the monitors report, all of them in one goroutine, so that
// their reports have an order: drain gives the point before which everything
// that was sent has been seen.
type events struct {
	s     *Supervisor
	epoll int
	wake  int // eventfd

	mu     sync.Mutex
	links  map[int32]*link // by descriptor
	waiter []chan struct{}
}

func newEvents(s *Supervisor) (*events, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	e := &events{s: s, epoll: epoll, wake: wake, links: map[int32]*link{}}
	if err := e.watch(wake); err != nil {
		return nil, err
	}
	go e.loop()
	return e, nil
}

func (e *events) watch(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// add begins to read from a monitor.
func (e *events) add(l *link) error {
	fd, err := rawFd(l.conn)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.links[int32(fd)] = l
	e.mu.Unlock()
	return e.watch(fd)
}

func rawFd(c *api.Conn) (fd int, err error) {
	rc, err := c.File().SyscallConn()
	if err != nil {
		return -1, err
	}
	err = rc.Control(func(raw uintptr) { fd = int(raw) })
	return fd, err
}

// drain waits until everything that monitors have sent so far is seen.
func (e *events) drain() {
	seen := make(chan struct{})
	e.mu.Lock()
	e.waiter = append(e.waiter, seen)
	e.mu.Unlock()
	one := [8]byte{1}
	// EAGAIN: the counter is full, so the loop is awake anyway.
	if _, err := unix.Write(e.wake, one[:]); err != nil && err != unix.EAGAIN {
		e.s.Log.Error("eventfd", "error", err)
	}
	<-seen
}

func (e *events) loop() {
	ready := make([]unix.EpollEvent, 64)
	timeout := -1
	for {
		n, err := unix.EpollWait(e.epoll, ready, timeout)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			e.s.Log.Error("epoll_wait", "error", err)
			return
		}
		busy := false
		for _, event := range ready[:n] {
			if event.Fd == int32(e.wake) {
				var count [8]byte
				unix.Read(e.wake, count[:])
				continue
			}
			busy = true
			e.mu.Lock()
			l := e.links[event.Fd]
			e.mu.Unlock()
			if l != nil {
				e.read(l, event.Fd)
			}
		}
		timeout = e.release(busy)
	}
}

// release lets the waiters go when a pass has found nothing to read. While there
// are waiters the next pass does not sleep.
func (e *events) release(busy bool) (timeout int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if busy && len(e.waiter) > 0 {
		return 0
	}
	for _, seen := range e.waiter {
		close(seen)
	}
	e.waiter = nil
	return -1
}

func (e *events) read(l *link, fd int32) {
	for {
		p, err := l.conn.TryRecv()
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			if err != io.EOF {
				e.s.Log.Warn("monitor", "id", l.id, "error", err)
			}
			e.mu.Lock()
			delete(e.links, fd)
			e.mu.Unlock()
			// Closing the descriptor takes it out of the epoll set.
			l.conn.Close()
			e.s.monitorGone(l)
			return
		}
		e.s.monitorSays(l, p)
		p.CloseFiles()
	}
}
