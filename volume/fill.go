package volume

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
)

// Empty says that there is nothing in a volume, so that it may be filled.
func (s *Store) Empty(name string) (bool, error) {
	empty, err := isEmpty(s.Data(name))
	if err != nil {
		return false, api.Wrap("read volume", name, err)
	}
	return empty, nil
}

// Fill copies what is in a directory of an image into a volume with nothing in it, and
// gives it the owner, mode and attributes of that directory. All of it is there, or
// nothing: what is left of an attempt that was ended is done again, or completed, by
// the next Open.
func (s *Store) Fill(ctx context.Context, name string, from *os.File, durable bool) error {
	s.mu.Lock()
	e := s.all[name]
	s.mu.Unlock()
	if e == nil {
		return noSuch("fill volume", name)
	}
	e.filling.Lock()
	defer e.filling.Unlock()
	if empty, err := s.Empty(name); err != nil || !empty {
		return err
	}
	dir := filepath.Join(s.Dir, name)
	err := prepareFill(ctx, dir, from, durable)
	if err != nil {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, filling)))
	} else {
		err = settle(dir, durable)
	}
	if err != nil {
		return dirs.DiskError("fill volume", name, err)
	}
	return nil
}

// prepareFill makes the copy, beside what sandboxes see.
func prepareFill(ctx context.Context, dir string, from *os.File, durable bool) error {
	temp := filepath.Join(dir, filling)
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := os.Mkdir(temp, 0o700); err != nil {
		return err
	}
	to, err := os.Open(temp)
	if err != nil {
		return err
	}
	defer to.Close()
	copied, err := copyTree(ctx, from, to)
	if err != nil {
		return err
	}
	if durable && copied > 0 {
		// Before the name says that it is complete. One call for all files; of an empty
		// directory, as databases have it in their images, there is nothing to wait for.
		if err := unix.Syncfs(int(to.Fd())); err != nil {
			return os.NewSyscallError("syncfs", err)
		}
	}
	return os.Rename(temp, filepath.Join(dir, filled))
}

// settle moves a complete copy to where it belongs; without one it does nothing. A
// sandbox may have the volume mounted, so _data itself stays what it is, and what it
// has made meanwhile is not replaced.
func settle(dir string, durable bool) error {
	from, err := os.Open(filepath.Join(dir, filled))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Open(filepath.Join(dir, dataDir))
	if err != nil {
		return err
	}
	defer to.Close()
	var want unix.Stat_t // before its files leave it
	if err := unix.Fstat(int(from.Fd()), &want); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := unix.Renameat2(int(from.Fd()), name, int(to.Fd()), name, unix.RENAME_NOREPLACE)
		if err != nil && err != unix.EEXIST {
			return &os.PathError{Op: "rename", Path: to.Name() + "/" + printable(name), Err: err}
		}
	}
	if err := dress(from, to, &want); err != nil {
		return err
	}
	if durable {
		if err := to.Sync(); err != nil {
			return err
		}
	}
	return os.RemoveAll(from.Name())
}

// dress gives the volume's directory the owner, mode, attributes and times of the
// image's, unless somebody has changed them.
func dress(from, to *os.File, want *unix.Stat_t) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(to.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Uid != 0 || st.Gid != 0 || st.Mode&0o7777 != 0o755 {
		return nil
	}
	return finish(from, to, want)
}

func isEmpty(path string) (bool, error) {
	d, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer d.Close()
	_, err = d.Readdirnames(1)
	if err == io.EOF {
		return true, nil
	}
	return false, err
}

// printable is a name as it may be shown.
func printable(name string) string {
	quoted := strconv.QuoteToASCII(name)
	if quoted[1:len(quoted)-1] == name {
		return name
	}
	return quoted
}
