package cp

import (
	"context"

	"golang.org/x/sys/unix"
)

// Contents copies the content of files that are open, in the fastest way that the two
// file systems know. It is not to be used by two goroutines.
type Contents struct{ c *copier }

// NewContents is for copies that end with ctx. progress, which may be nil, is called
// with the bytes that were copied since the beginning.
func NewContents(ctx context.Context, progress func(done int64)) *Contents {
	return &Contents{newCopier(ctx, Options{Progress: progress})}
}

// Copy copies in, of which st is the state, to the empty file out; both are open. The
// paths are for messages. Holes stay holes.
func (c *Contents) Copy(out int, to string, in int, st *unix.Stat_t, from string) error {
	return c.c.content(&writer{c: c.c, in: in, out: out, src: from, dst: to}, st)
}

// Attributes are the extended attributes of an open file that a copy of it gets: user.*
// and the capabilities of a program, but none that are overlay's own.
func Attributes(fd int, path string) (map[string]string, error) {
	return attributes(fd, path)
}
