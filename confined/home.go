package confined

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/internal/dirs"
)

// prefix of the directories that programs get, in the runtime directory.
const prefix = "confined-"

// home is a private directory: $HOME, and tmp in it $TMPDIR. It goes with the program.
type home struct {
	path string
	lock *os.File // flock(2): somebody uses it
}

// makeHome makes one, and removes those of programs whose parent was killed.
func makeHome(run string) (*home, error) {
	if err := sweep(run); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(run, prefix) // mode 0700
	if err != nil {
		return nil, dirs.DiskError("mkdir", filepath.Join(run, prefix), err)
	}
	lock, err := hold(path)
	if err == nil {
		err = os.Mkdir(filepath.Join(path, "tmp"), 0o700)
	}
	if err != nil {
		return nil, errors.Join(dirs.DiskError("prepare", path, err), os.RemoveAll(path))
	}
	return &home{path, lock}, nil
}

func (h *home) tmp() string { return filepath.Join(h.path, "tmp") }

func (h *home) remove() error {
	err := clear(h.path)
	return errors.Join(err, h.lock.Close())
}

// hold fails with EWOULDBLOCK when somebody else does.
func hold(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return f, nil
}

// sweep removes what nobody holds. One that is just being made, and not held yet, is
// empty: removing it would fail its maker, so the empty ones stay.
func sweep(run string) error {
	entries, err := os.ReadDir(run)
	if err != nil {
		return dirs.DiskError("read", run, err)
	}
	for _, e := range entries {
		path := filepath.Join(run, e.Name())
		if !strings.HasPrefix(e.Name(), prefix) || !e.IsDir() {
			continue
		}
		if names, err := os.ReadDir(path); err != nil || len(names) == 0 {
			continue
		}
		lock, err := hold(path)
		if err != nil {
			continue // in use
		}
		err = clear(path)
		lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// clear removes a directory in which a program may have closed others to itself.
func clear(path string) error {
	err := os.RemoveAll(path)
	if err == nil {
		return nil
	}
	root, openErr := os.OpenRoot(path)
	if openErr != nil {
		return dirs.DiskError("remove", path, err)
	}
	defer root.Close()
	reopen(root, ".")
	if err := os.RemoveAll(path); err != nil {
		return dirs.DiskError("remove", path, err)
	}
	return nil
}

// reopen gives the user all rights on directories again. What fails shows in the
// removal that follows.
func reopen(root *os.Root, dir string) {
	_ = root.Chmod(dir, 0o700)
	f, err := root.Open(dir)
	if err != nil {
		return
	}
	entries, _ := f.ReadDir(-1)
	f.Close()
	for _, e := range entries {
		if e.IsDir() {
			reopen(root, filepath.Join(dir, e.Name()))
		}
	}
}
