package ports

import (
	"sync"

	"golang.org/x/sys/unix"
)

// relay copies both ways until both have ended, and closes both. An end of data is
// passed on, so one way may go on without the other; a broken connection ends the
// other one as abruptly.
func relay(a, b *socket) {
	// What the client has said already goes first, before there is a second goroutine.
	early := copyEarly(b, a)
	var wg sync.WaitGroup
	pump := func(to, from *socket, err error) {
		if err == nil {
			err = copyAll(to, from)
		}
		if err != nil {
			a.reset()
			b.reset()
			return
		}
		to.closeWrite()
	}
	wg.Go(func() { pump(a, b, nil) })
	pump(b, a, early)
	wg.Wait()
	a.file.Close()
	b.file.Close()
}

// copyEarly copies what is there, if anything, to a socket that nothing was written
// to yet: it does not wait.
func copyEarly(to, from *socket) error {
	if from.control(readable) != nil {
		return nil // whatever it is, it will be seen again
	}
	_, err := copySome(to, from)
	return err
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
func writable(fd int) error { return poll(fd, unix.POLLOUT) }

// readable says EAGAIN unless there is something to read, be it an end or an error.
func readable(fd int) error { return poll(fd, unix.POLLIN) }

func poll(fd int, events int16) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	n, err := unix.Poll(fds, 0)
	if err == nil && n == 0 {
		err = unix.EAGAIN
	}
	return err
}

// copyBuffer is copySome when all pipes are in use, or there can be none.
func copyBuffer(to, from *socket) (int, error) {
	var buf []byte
	var n int
	err := from.reading(func(fd int) error {
		buf = buffers.get()
		var err error
		if n, err = unix.Read(fd, buf); n <= 0 {
			buffers.put(buf)
		}
		return err
	})
	if n <= 0 || err != nil {
		return 0, err
	}
	defer buffers.put(buf)
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
