package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/build/files"
	"sbx/internal/dirs"
)

// Options of everything that is got.
type Options struct {
	Dir      string                  // where private directories are made
	Hashes   *files.Hashes           // what is known of the files of a directory; may be nil
	Progress func(done, total int64) // bytes; total is 0 if it is not known; may be nil
	Agent    string                  // the socket of an SSH agent for repositories; may be empty
	Seen     string                  // a file: what is known of earlier downloads; empty: nothing
}

func (o *Options) progress(done, total int64) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}

// private is a directory for one context, which nobody else uses.
type private struct {
	path string
	dir  *os.File // open with O_PATH
}

func (o *Options) private() (*private, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, dirs.DiskError("mkdir", o.Dir, err)
	}
	path, err := os.MkdirTemp(o.Dir, "")
	if err != nil {
		return nil, dirs.DiskError("mkdir", o.Dir, err)
	}
	p := &private{path: path}
	if p.dir, err = openPath(path); err != nil {
		return nil, errors.Join(dirs.DiskError("open", path, err), os.RemoveAll(path))
	}
	return p, nil
}

func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Close removes it. A nil one has nothing.
func (p *private) Close() error {
	if p == nil {
		return nil
	}
	p.dir.Close()
	if err := os.RemoveAll(p.path); err != nil {
		return dirs.DiskError("remove", p.path, err)
	}
	return nil
}

// Clean removes what builds that were killed have left in Options.Dir. There must be
// none that goes on.
func Clean(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return dirs.DiskError("read directory", dir, err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return dirs.DiskError("remove", filepath.Join(dir, e.Name()), err)
		}
	}
	return nil
}
