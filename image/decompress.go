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

// The largest windows of zstd and xz that are accepted; the decoders take as much
// memory. 128 MiB is the default limit of zstd(1), --long=29 needs 512 MiB; xz -9 has
// 64 MiB.
const (
	layerWindow  = 128 << 20
	importWindow = 512 << 20
)

type format struct {
	name  string
	magic string
	open  func(r io.Reader, window uint64) (io.Reader, func(), error)
}

// formats are told apart by what they begin with, never by a file name.
//
// Unpacking happens in this process: the storage library would run pigz or zstd
// if it finds them in PATH (moby GHSA-x86f-5xw2-fm2r).
func formats() []format {
	return []format{
		{"gzip", "\x1f\x8b\x08", func(r io.Reader, _ uint64) (io.Reader, func(), error) {
			z, err := gzip.NewReader(r)
			return z, func() {}, err
		}},
		{"bzip2", "BZh", func(r io.Reader, _ uint64) (io.Reader, func(), error) {
			return bzip2.NewReader(r), func() {}, nil
		}},
		{"xz", "\xfd7zXZ\x00", func(r io.Reader, window uint64) (io.Reader, func(), error) {
			z, err := xz.NewReader(newXZWindow(bufio.NewReaderSize(r, blockSize), window))
			return z, func() {}, err
		}},
		{"zstd", "\x28\xb5\x2f\xfd", func(r io.Reader, window uint64) (io.Reader, func(), error) {
			z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(window),
				zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
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

// unpacked is a stream after decompression. Errors of the compressed data come
// from Read, wrapped in corrupt.
type unpacked struct {
	io.Reader
	in    *bufio.Reader
	Close func()
}

// decompress looks at the first bytes of r. The window of zstd and xz may be of the
// given size.
func decompress(r io.Reader, window uint64) (*unpacked, error) {
	in := bufio.NewReaderSize(r, blockSize)
	head, err := in.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, f := range formats() {
		if !bytes.HasPrefix(head, []byte(f.magic)) {
			continue
		}
		z, done, err := f.open(in, window)
		if err != nil {
			return nil, &corrupt{f.name, err}
		}
		return &unpacked{marked{z, f.name}, in, done}, nil
	}
	return &unpacked{in, in, func() {}}, nil
}

// drain reads what is behind the end of the compressed data, so that who computes
// a digest of it has seen all of it.
func (u *unpacked) drain() error {
	_, err := io.Copy(io.Discard, u.in)
	return err
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
	var source *readError
	if err != nil && err != io.EOF && !errors.As(err, &source) {
		err = &corrupt{m.format, err}
	}
	return n, err
}
