package image

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindow is the largest zstd window that is accepted: the default limit of
// zstd(1) is 128 MiB, --long=29 needs this one.
const maxWindow = 512 << 20

type format struct {
	name  string
	magic string
	open  func(io.Reader) (io.Reader, func(), error)
}

// formats are told apart by what they begin with, never by a file name.
//
// Unpacking happens in this process: the storage library would run pigz or zstd
// if it finds them in PATH (moby GHSA-x86f-5xw2-fm2r).
func formats() []format {
	return []format{
		{"gzip", "\x1f\x8b\x08", func(r io.Reader) (io.Reader, func(), error) {
			z, err := gzip.NewReader(r)
			return z, func() {}, err
		}},
		{"bzip2", "BZh", func(r io.Reader) (io.Reader, func(), error) {
			return bzip2.NewReader(r), func() {}, nil
		}},
		{"xz", "\xfd7zXZ\x00", func(r io.Reader) (io.Reader, func(), error) {
			z, err := xz.NewReader(r)
			return z, func() {}, err
		}},
		{"zstd", "\x28\xb5\x2f\xfd", func(r io.Reader) (io.Reader, func(), error) {
			z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, nil, err
			}
			return z, z.Close, nil
		}},
	}
}

// compression names the format of data that begins with head, or returns "".
func compression(head []byte) string {
	for _, f := range formats() {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.name
		}
	}
	return ""
}

// unpacked is a stream after decompression.
type unpacked struct {
	io.Reader
	format string // "" for a plain one
	Close  func()
}

// decompress looks at the first bytes of r. Errors of the compressed data come
// from Read, wrapped in corrupt.
func decompress(r io.Reader) (unpacked, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head, err := in.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return unpacked{}, err
	}
	for _, f := range formats() {
		if !bytes.HasPrefix(head, []byte(f.magic)) {
			continue
		}
		z, done, err := f.open(in)
		if err != nil {
			return unpacked{}, &corrupt{f.name, err}
		}
		return unpacked{marked{z, f.name}, f.name, done}, nil
	}
	return unpacked{in, "", func() {}}, nil
}

// corrupt is an error in compressed data.
type corrupt struct {
	format string
	err    error
}

func (c *corrupt) Error() string { return c.format + ": " + c.err.Error() }
func (c *corrupt) Unwrap() error { return c.err }

type marked struct {
	r      io.Reader
	format string
}

func (m marked) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && err != io.EOF {
		err = &corrupt{m.format, err}
	}
	return n, err
}
