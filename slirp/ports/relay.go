package ports

import (
	"sync"

	"golang.org/x/sys/unix"
)

// relay copies both ways until both have ended, and closes both. An end of data is
// passed on, so one way may go on without the other; a broken connection ends the
// other one as abruptly.
func relay(a, b *socket) {
	var wg sync.WaitGroup
	pump := func(to, from *socket) {
		if err := copyAll(to, from); err != nil {
			a.reset()
			b.reset()
			return
		}
		to.closeWrite()
	}
	wg.Go(func() { pump(a, b) })
	pump(b, a)
	wg.Wait()
	a.file.Close()
	b.file.Close()
}

// copyAll copies to the end of the data. It holds a pipe or a buffer only while
// there is something to copy: ten thousand silent connections cost none.
func copyAll(to, from *socket) error {
	for {
		n, err := copySome(to, from)
		if n == 0 || err != nil {
			return err
		}
	}
}

// copySome waits for data and copies what is there. 0 is the end.
func copySome(to, from *socket) (int, error) {
	// What is not read yet slows down the sender, as it must, and costs nothing
	// here. So there is nothing to hold while a slow reader makes us wait.
	if err := to.writing(writable); err != nil {
		return 0, err
	}
	var p *pipe
	var n int
	err := from.reading(func(fd int) error {
		if p = pipes.get(); p == nil {
			return unix.EBUSY
		}
		got, err := unix.Splice(fd, nil, p.w, nil, pipeSize, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if n = int(got); n <= 0 {
			pipes.put(p)
		}
		return err
	})
	if err == unix.EBUSY {
		return copyBuffer(to, from)
	}
	if n <= 0 || err != nil {
		return 0, err
	}
	for left := n; left > 0; {
		if err := to.writing(func(fd int) error {
			m, err := unix.Splice(p.r, nil, fd, nil, left, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
			if err == nil {
				left -= int(m)
			}
			return err
		}); err != nil {
			p.close() // there is data in it
			pipes.forget()
			return 0, err
		}
	}
	pipes.put(p)
	return n, nil
}

// writable says EAGAIN unless a good part of the send buffer is free.
func writable(fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	if err == nil && n == 0 {
		err = unix.EAGAIN
	}
	return err
}

// bufferSize is less than what is free in a send buffer that poll(2) calls
// writable, in the usual case: a third of it.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// copyBuffer is copySome when all pipes are in use.
func copyBuffer(to, from *socket) (int, error) {
	var buf *[bufferSize]byte
	var n int
	err := from.reading(func(fd int) error {
		buf = buffers.Get().(*[bufferSize]byte)
		var err error
		if n, err = unix.Read(fd, buf[:]); n <= 0 {
			buffers.Put(buf)
		}
		return err
	})
	if n <= 0 || err != nil {
		return 0, err
	}
	defer buffers.Put(buf)
	for data := buf[:n]; len(data) > 0; {
		if err := to.writing(func(fd int) error {
			m, err := unix.Write(fd, data)
			if err == nil {
				data = data[m:]
			}
			return err
		}); err != nil {
			return 0, err
		}
	}
	return n, nil
}
