package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// unfinished begins the names of files in a layout that are being written.
const unfinished = ".new"

// litterAge is how old such a file must be to be taken for one whose writer was killed,
// if nobody holds its lock.
const litterAge = time.Minute

// create makes a file that gets its name when it is complete. Its lock is held as long
// as it is open.
func (d *layoutDir) create(dir string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Join(d.dir, dir), unfinished)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = api.Wrap("lock", f.Name(), err)
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// sweep removes what writers of the layout have left that were killed.
func (d *layoutDir) sweep() error {
	for _, dir := range []string{".", "blobs/sha256"} {
		list, err := sys.Named(filepath.Join(d.dir, dir), unfinished, "")
		if err != nil {
			return err
		}
		for _, path := range list {
			if err := removeLitter(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeLitter removes a file that has a name of one which is being written, unless
// somebody does write it.
func removeLitter(path string) error {
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, fs.ErrPermission) {
		return nil // it has got its name, or is somebody else's
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || time.Since(st.ModTime()) < litterAge {
		return err
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // it is being written
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
