package logfile

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// file is one open file of a log. Rotation renames and unlinks it, which does
// not disturb reading.
type file struct {
	*os.File
	info  os.FileInfo // at opening
	seq   int         // rises with the age of the records
	off   int64       // of the next unread record
	limit int64       // records that start here or later are not wanted
}

// openFiles opens every file of the log in dir, oldest first.
func openFiles(ctx context.Context, dir string) ([]*file, error) {
	for {
		files, err := openOnce(dir)
		if err != nil {
			return nil, err
		}
		ok, err := stillCurrent(dir, files)
		if ok && err == nil {
			return files, nil
		}
		// A rotation came in between, so that the order may be wrong.
		closeFiles(files)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// openOnce opens from the newest to the oldest file: rotation moves them the
// same way, so that none is missed, but one may be met twice.
func openOnce(dir string) ([]*file, error) {
	var files []*file
	for i, missing := 0, 0; missing < 2; i++ { // one is missing while a rotation moves them
		f, err := os.OpenFile(filepath.Join(dir, name(i)), os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		if err != nil {
			closeFiles(files)
			return nil, err
		}
		missing = 0
		info, err := f.Stat()
		if err != nil {
			f.Close()
			closeFiles(files)
			return nil, err
		}
		if len(files) > 0 && os.SameFile(files[0].info, info) {
			f.Close()
			continue
		}
		files = append([]*file{{File: f, info: info, limit: math.MaxInt64}}, files...)
	}
	return files, nil
}

// stillCurrent tells whether the newest of files, if any, is the current file.
// The number of an open file is not used again, so a rotation cannot hide.
func stillCurrent(dir string, files []*file) (bool, error) {
	info, err := os.Lstat(filepath.Join(dir, name(0)))
	if errors.Is(err, fs.ErrNotExist) {
		// Between two moves of a rotation, or nothing was ever logged. The
		// newest file opened is complete then.
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return len(files) > 0 && os.SameFile(files[len(files)-1].info, info), nil
}

func closeFiles(files []*file) {
	for _, f := range files {
		f.Close() // opened for reading: nothing to lose
	}
}

// refresh looks at f again. It starts at the front of a file that the user has
// emptied, as "> log" does; unlinked tells that f has no name any more.
func (f *file) refresh() (emptied, unlinked bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, false, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	if emptied = st.Size < f.off; emptied {
		f.off = 0
	}
	return emptied, st.Nlink == 0, nil
}
