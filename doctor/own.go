package doctor

import (
	"os"

	"golang.org/x/sys/unix"

	"sbx/internal/dirs"
)

// own makes a directory for one who tries at a time. What one that was killed has left
// goes when the same is tried again; unlock removes the directory.
func own(dir string) (unlock func(), err error) {
	for {
		f, err := lock(dir)
		if err != nil {
			return nil, err
		}
		// Whoever had it before has removed it, perhaps.
		var ours, there unix.Stat_t
		if unix.Fstat(int(f.Fd()), &ours) == nil && unix.Lstat(dir, &there) == nil && ours.Ino == there.Ino {
			return func() {
				// Files of other owners, of one that was killed, keep it there: they
				// go at the next try, or with sbx system reset.
				_ = os.RemoveAll(dir)
				f.Close()
			}, nil
		}
		f.Close()
	}
}

func lock(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return nil, dirs.DiskError("mkdir", dir, err)
	}
	f, err := os.Open(dir)
	if os.IsNotExist(err) {
		return lock(dir)
	}
	if err != nil {
		return nil, dirs.DiskError("open", dir, err)
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	// Where nothing can be locked the check of the image store says so.
	if err != nil && err != unix.ENOLCK && err != unix.EOPNOTSUPP {
		f.Close()
		return nil, dirs.DiskError("lock", dir, err)
	}
	return f, nil
}
