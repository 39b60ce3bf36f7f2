package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// outFile is a file that becomes visible under its name when it is whole. Until
// then it is another one beside it, which goes when we end, by a signal too.
type outFile struct {
	f         *os.File
	path, tmp string
	alive     func() // stops waiting for signals
}

// createOutFile opens path for writing. What is there and is no regular file, such
// as a named pipe or /dev/null, is written to directly.
func createOutFile(path string) (*outFile, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	switch st, err := os.Stat(path); {
	case err != nil: // it is made, or the error comes from that
	case st.IsDir():
		return nil, api.Wrap("write", path, unix.EISDIR)
	case !st.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, api.Wrap("open", path, errors.Unwrap(err))
		}
		return &outFile{f: f, path: path}, nil
	}
	o := &outFile{path: path, tmp: path + ".tmp-" + strconv.Itoa(os.Getpid())}
	// Files of an image may be secret: as with Docker, only the owner reads it.
	f, err := os.OpenFile(o.tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, api.Wrap("create", path, errors.Unwrap(err))
	}
	o.f = f
	// At a signal there is nobody left to tell that the file cannot be removed.
	o.alive = beforeDeath(func() { os.Remove(o.tmp) })
	return o, nil
}

// keep gives the file its name.
func (o *outFile) keep() error {
	err := o.f.Close()
	if err == nil && o.tmp != "" {
		err = os.Rename(o.tmp, o.path)
	}
	if err != nil {
		return api.Wrap("write", o.path, errors.Unwrap(err))
	}
	o.tmp = ""
	return nil
}

// drop removes the file unless it was kept. It may follow keep.
func (o *outFile) drop() {
	if o.alive != nil {
		o.alive()
	}
	o.f.Close()
	if o.tmp != "" {
		// The error that led here is the one to tell.
		os.Remove(o.tmp)
	}
}
