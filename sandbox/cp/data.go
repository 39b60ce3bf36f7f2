package cp

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// chunk is how much is copied at once: between two chunks it can be stopped.
const chunk = 8 << 20

// methods are the ways to copy that have failed between two file systems.
type methods struct {
	from, to         uint64 // the file systems
	noClone, noRange bool
	noSend           bool
}

// data copies the content of a file.
func (c *copier) data(out int, src *source, st *unix.Stat_t, path string) error {
	return c.content(&writer{c: c, in: int(src.f.Fd()), out: out, src: src.path, dst: path}, st)
}

// content copies what a writer has open. Holes stay holes. A file that shrinks meanwhile
// is cut, as is one that grows.
func (c *copier) content(w *writer, st *unix.Stat_t) error {
	var to unix.Stat_t
	if err := unix.Fstat(w.out, &to); err != nil {
		return explain("stat", w.dst, err)
	}
	if m := &c.methods; m.from != uint64(st.Dev) || m.to != uint64(to.Dev) {
		*m = methods{from: uint64(st.Dev), to: uint64(to.Dev)}
	}
	if st.Size == 0 {
		return w.unsized()
	}
	if !c.methods.noClone {
		if unix.IoctlFileClone(w.out, w.in) == nil {
			c.advance(st.Size)
			return nil
		}
		c.methods.noClone = true
	}
	const unit = 512 // of st_blocks
	if st.Blocks*unit >= st.Size {
		_, err := w.extent(0, st.Size)
		return err
	}
	return w.sparse(st.Size)
}

func (c *copier) advance(n int64) {
	c.done += n
	c.o.Progress(c.done)
}

// writer copies from one open file to another.
type writer struct {
	c        *copier
	in, out  int
	src, dst string
}

// sparse copies what is between the holes. lseek(2).
func (w *writer) sparse(size int64) error {
	var end int64
	for at := int64(0); at < size; {
		data, err := unix.Seek(w.in, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break // a hole up to the end
		}
		if err == unix.EINVAL { // the file system does not tell
			_, err := w.extent(at, size-at)
			return err
		}
		if err != nil {
			return api.Wrap("read", w.src, err)
		}
		hole, err := unix.Seek(w.in, data, unix.SEEK_HOLE)
		if err != nil && err != unix.ENXIO {
			return api.Wrap("read", w.src, err)
		}
		if err == unix.ENXIO || data >= size {
			break // it has shrunk
		}
		hole = min(hole, size)
		short, err := w.extent(data, hole-data)
		if err != nil || short {
			return err
		}
		at, end = hole, hole
	}
	if end < size {
		if err := unix.Ftruncate(w.out, size); err != nil {
			return explain("truncate", w.dst, err)
		}
	}
	return nil
}

// extent copies n bytes from an offset to the same one. short says that the file has
// ended before.
func (w *writer) extent(at, n int64) (short bool, err error) {
	for end := at + n; at < end; {
		if w.c.ctx.Err() != nil {
			return false, context.Cause(w.c.ctx)
		}
		done, err := w.some(at, min(end-at, chunk))
		if err != nil {
			return false, err
		}
		if done == 0 {
			return true, nil
		}
		at += done
		w.c.advance(done)
	}
	return false, nil
}

// some copies up to n bytes, by the kernel if it can.
func (w *writer) some(at, n int64) (int64, error) {
	m := &w.c.methods
	if !m.noRange {
		from, to := at, at
		done, err := again(func() (int, error) { return unix.CopyFileRange(w.in, &from, w.out, &to, int(n), 0) })
		if err == nil && done > 0 {
			return int64(done), nil
		}
		// Some file systems of the kernel's copy nothing, and say nothing.
		if err != nil && !unable(err) {
			return 0, explain("write", w.dst, err)
		}
		m.noRange = err != nil
	}
	if !m.noSend {
		if _, err := unix.Seek(w.out, at, unix.SEEK_SET); err != nil {
			return 0, explain("write", w.dst, err)
		}
		from := at
		done, err := again(func() (int, error) { return unix.Sendfile(w.out, w.in, &from, int(n)) })
		if err == nil {
			return int64(done), nil
		}
		if !unable(err) {
			return 0, explain("write", w.dst, err)
		}
		m.noSend = true
	}
	return w.byHand(at, n)
}

// unable says that the kernel cannot copy so, and not that it has failed.
func unable(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) ||
		errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ETXTBSY)
}

func (w *writer) byHand(at, n int64) (int64, error) {
	if w.c.buf == nil {
		w.c.buf = make([]byte, 1<<20)
	}
	buf := w.c.buf[:min(n, int64(len(w.c.buf)))]
	got, err := pread(w.in, buf, at)
	if err != nil {
		return 0, api.Wrap("read", w.src, err)
	}
	if err := pwrite(w.out, buf[:got], at); err != nil {
		return 0, explain("write", w.dst, err)
	}
	return int64(got), nil
}

// mostUnsized bounds what is read of a file that says it has no bytes.
const mostUnsized = 16 << 20

// unsized copies a file without a size: an empty one, or one of a file system that
// makes the content when it is read, as /proc of the host.
func (w *writer) unsized() error {
	for at := int64(0); at < mostUnsized; {
		n, err := w.byHand(at, 1<<20)
		if err != nil || n == 0 {
			return err
		}
		at += n
		w.c.advance(n)
	}
	return nil
}

// again calls once more what a signal has interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

func pread(fd int, b []byte, at int64) (int, error) {
	return again(func() (int, error) { return unix.Pread(fd, b, at) })
}

func pwrite(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := again(func() (int, error) { return unix.Pwrite(fd, b, at) })
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}
