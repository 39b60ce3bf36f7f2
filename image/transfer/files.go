package transfer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// files are the files of an image layout: in a directory or in a tar archive.
type files interface {
	// open returns a regular file and its size. The error of one that is not there
	// is fs.ErrNotExist.
	open(name string) (io.ReadCloser, int64, error)
	io.Closer
}

// dirFiles are in a directory that others may write to: nothing outside it is
// read, no symbolic link at the end of a name followed, no pipe waited for.
type dirFiles struct{ root *os.Root }

func openDir(dir string) (*dirFiles, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &dirFiles{root}, nil
}

func (d *dirFiles) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.root.OpenFile(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Close implements files.
func (d *dirFiles) Close() error { return d.root.Close() }

// tarFiles are in a tar archive, which is a file: it is gone through once, then read
// at any place by several at once.
type tarFiles struct {
	f       *os.File
	entries map[string]section
}

type section struct {
	offset, size int64
	link         string // a name that this one stands for; docker save writes such
}

// maxTarEntries is far more than the largest image has files, layers and links.
const maxTarEntries = 1 << 16

// openTar reads the headers of f, which the result owns.
func openTar(f *os.File) (*tarFiles, error) {
	t := &tarFiles{f: f, entries: map[string]section{}}
	in := &offsetReader{r: f}
	tr := tar.NewReader(in)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the archive: %w", err)
		}
		if len(t.entries) > maxTarEntries {
			return nil, fmt.Errorf("the archive has more than %d entries", maxTarEntries)
		}
		name := path.Clean("/" + h.Name)[1:]
		switch h.Typeflag {
		case tar.TypeReg:
			t.entries[name] = section{offset: in.at, size: h.Size}
		case tar.TypeSymlink:
			t.entries[name] = section{link: path.Join(path.Dir(name), h.Linkname)}
		case tar.TypeLink:
			t.entries[name] = section{link: path.Clean("/" + h.Linkname)[1:]}
		}
	}
}

func (t *tarFiles) open(name string) (io.ReadCloser, int64, error) {
	name = path.Clean("/" + name)[1:]
	for range 8 {
		s, ok := t.entries[name]
		switch {
		case !ok:
			return nil, 0, &fs.PathError{Op: "find in archive", Path: name, Err: fs.ErrNotExist}
		case s.link == "":
			return io.NopCloser(io.NewSectionReader(t.f, s.offset, s.size)), s.size, nil
		}
		name = s.link
	}
	return nil, 0, &fs.PathError{Op: "find in archive", Path: name, Err: unix.ELOOP}
}

// Close implements files.
func (t *tarFiles) Close() error { return t.f.Close() }

// offsetReader knows where it is, so that a tar reader on it need not read what it
// skips.
type offsetReader struct {
	r  io.ReadSeeker
	at int64
}

// Read implements io.Reader.
func (o *offsetReader) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	o.at += int64(n)
	return n, err
}

// Seek implements io.Seeker.
func (o *offsetReader) Seek(offset int64, whence int) (int64, error) {
	at, err := o.r.Seek(offset, whence)
	o.at = at
	return at, err
}

// readSmall reads a whole file of at most limit bytes.
func readSmall(in files, name string, limit int64) ([]byte, error) {
	r, size, err := in.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, badManifest("%s has %d bytes, more than %d", printable(name), size, limit)
	}
	return io.ReadAll(io.LimitReader(r, limit))
}
