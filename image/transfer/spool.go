package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"go.podman.io/image/v5/pkg/compression"
	"golang.org/x/sys/unix"
)

// keepFree is what spooling leaves of a disk, in bytes.
const keepFree = 256 << 20

// unnamed makes a file in dir that has no name and is gone when it is closed.
func unnamed(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/(unnamed)"), nil
	}
	// Not every file system can.
	f, err := os.CreateTemp(dir, "spool")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// spool returns a file with what f holds, decompressed, that can be read at any
// place: a second file for f itself if it is such a file.
func spool(ctx context.Context, f *os.File, dir string) (_ *os.File, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		head := make([]byte, 16)
		n, err := f.ReadAt(head, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		packed, _, err := compression.DetectCompression(bytes.NewReader(head[:n]))
		if err != nil {
			return nil, err
		}
		if packed == nil {
			return reopen(f)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
	out, err := unnamed(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.Close())
		}
	}()
	plain, _, err := compression.AutoDecompress(&stoppable{ctx, f})
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	room, err := freeSpace(out)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(out, io.LimitReader(plain, room))
	switch {
	case err != nil:
		return nil, err
	case n == room:
		return nil, fmt.Errorf("there is not room for more than %d MiB of it: %w", room>>20, unix.ENOSPC)
	}
	_, err = out.Seek(0, io.SeekStart)
	return out, err
}

// reopen gives a file of its own position, so that the caller's is left alone.
func reopen(f *os.File) (*os.File, error) {
	if again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err == nil {
		return again, nil
	}
	// A file handed over by somebody who may read it, where this process may not.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dup := os.NewFile(uintptr(fd), f.Name())
	_, err = dup.Seek(0, io.SeekStart)
	return dup, err
}

func freeSpace(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	free := int64(st.Bavail) * st.Bsize
	return free - min(keepFree, free/20), nil
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
