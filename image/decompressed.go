package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
)

// Decompress gives what is in r: as it is, or unpacked if it is packed with gzip,
// bzip2, xz or zstd. Close does not close r.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	u, err := decompress(r, importWindow)
	if err != nil {
		return nil, err
	}
	return decompressed{u}, nil
}

type decompressed struct{ u *unpacked }

// Read implements io.Reader.
func (d decompressed) Read(b []byte) (int, error) { return d.u.Read(b) }

// Close frees what the decoder has.
func (d decompressed) Close() error {
	d.u.Close()
	return nil
}

// IsArchive says whether data begins as a tar archive does, or as something packed. 512
// bytes are enough.
func IsArchive(head []byte) bool {
	if compression(head) != "" {
		return true
	}
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	return len(head) >= 512 && (err == nil || !errors.Is(err, tar.ErrHeader))
}
