package files

import (
	"archive/tar"
	"io"
	"os"

	"sbx/image"
	"sbx/sandbox/cp"
)

// unpack unpacks a file into the destination if it is an archive: a tar file, plain or
// packed. What is in the way of an entry goes, as tar(1) does it.
func (w *writer) unpack(at *found) (done bool, err error) {
	e := &entry{at: at.fd(), name: at.name, path: at.shown()}
	fd, err := openFile(e)
	if err != nil || fd < 0 {
		return err == nil, err
	}
	f := os.NewFile(uintptr(fd), e.name)
	defer f.Close()
	if !isArchive(f) {
		return false, nil
	}
	s, err := w.destination(true)
	if err != nil {
		return false, err
	}
	real := s.real()
	s.close()
	r, err := image.Decompress(io.NewSectionReader(f, 0, e.st.Size))
	if err != nil {
		return false, failed("read archive", at.shown(), err)
	}
	defer r.Close()
	clear(w.links) // an entry may take the place of any of them
	clear(w.linked)
	o := cp.Options{
		Replace: true, Archive: e.path, Note: func(n cp.Note) { w.c.note(n.Path, n.Why) },
		Owners: func(uid, gid int) (int, int) {
			if w.owner != nil {
				return w.owner.uid, w.owner.gid
			}
			return uid, gid
		},
	}
	return true, cp.Extract(w.ctx, r, w.root, "/"+real, "/"+real, o)
}

// isArchive says whether a file begins as a tar archive does, plain or packed.
func isArchive(f *os.File) bool {
	const enough = 1 << 20 // a long name is before the first entry
	r, err := image.Decompress(io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return false
	}
	defer r.Close()
	_, err = tar.NewReader(io.LimitReader(r, enough)).Next()
	return err == nil
}
