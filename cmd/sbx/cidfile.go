package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// cidFile is the file of --cidfile. It is made before the sandbox is, so that a
// path that cannot be written does not leave a sandbox that nobody knows of.
// A nil cidFile is no file.
type cidFile struct {
	f    *os.File
	path string
}

func newCIDFile(path string) (*cidFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_CLOEXEC, 0o644)
	switch {
	case errors.Is(err, os.ErrExist):
		return nil, invalid("--cidfile", path, "the file exists: remove it, unless its sandbox is still in use")
	case err != nil:
		return nil, invalid("--cidfile", path, errors.Unwrap(err).Error())
	}
	return &cidFile{f, path}, nil
}

// write fills the file and closes it.
func (c *cidFile) write(id string) error {
	if c == nil || c.f == nil {
		return nil
	}
	_, err := c.f.WriteString(id)
	if e := c.f.Close(); err == nil {
		err = e
	}
	c.f = nil
	if err != nil {
		return api.Wrap("write the id to", c.path, errors.Unwrap(err)).WithCode(api.ExitFault)
	}
	return nil
}

// drop removes the file if no id was written to it.
func (c *cidFile) drop() {
	if c == nil || c.f == nil {
		return
	}
	c.f.Close()
	// An empty file that cannot be removed harms nobody; the error that led
	// here is the one to tell.
	os.Remove(c.path)
}
