package image

import (
	"archive/tar"
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Owner says whose a file is in an archive, from whose it is here.
type Owner func(uid, gid int) (int, int)

// PackOne is Pack for one object, open with O_PATH: a file of any kind, or a
// directory with all that is in it. In the archive it has the given name; that of a
// directory may be ".". hollow says which directories are packed without what is in
// them; it and owner may be nil.
func PackOne(ctx context.Context, w io.Writer, object *os.File, name string, hollow func(dir *os.File) bool, owner Owner, progress func(done int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	p := &packer{
		ctx: ctx, w: tar.NewWriter(w), links: map[fileID]string{}, buf: make([]byte, 256<<10), progress: progress, hollow: hollow, owner: owner,
	}
	if err := p.object(object, name); err != nil {
		return err
	}
	return p.w.Close()
}

func (p *packer) object(object *os.File, name string) error {
	fd := int(object.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: object.Name(), Err: err}
	}
	h := p.header(&st, name)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR, unix.S_IFREG:
		f, err := os.OpenFile(procFD(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: object.Name(), Err: err}
		}
		defer f.Close()
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return p.opened(f, h)
		}
		return p.openedFile(f, &st, h)
	case unix.S_IFSOCK:
		return api.Errorf("pack", printable(object.Name()), "a socket cannot be packed")
	}
	if err := special(h, &st, fd, ""); err != nil {
		return &os.PathError{Op: "readlink", Path: object.Name(), Err: err}
	}
	return p.put(h)
}

// Unpacked reads an archive that may be packed with gzip, bzip2, xz or zstd, which
// its first bytes tell. The function that comes with it frees the decoder.
func Unpacked(r io.Reader) (io.Reader, func(), error) {
	u, err := decompress(r, importWindow)
	if err != nil {
		return nil, nil, err
	}
	return u, u.Close, nil
}
