package image

import (
	"archive/tar"
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Upper is what an overlay has changed.
type Upper struct {
	Dir   *os.File // the upper directory, open for reading
	Lower *os.File // what it hides: an overlay of all layers below, or one directory
	// Deleted says that an entry of a directory is a mark of something deleted, and of
	// what name, "" for none; Opaque that a directory hides all that is below it.
	Deleted func(dir *os.File, name string, st *unix.Stat_t) (hidden string, deleted bool, err error)
	Opaque  func(dir *os.File) (bool, error)
	Latest  time.Time // no time in the archive is later; zero: all are as they are
}

// PackUpper is Pack for the upper directory of an overlay: the archive is one of a
// layer, and what is deleted becomes whiteouts (image-spec v1.1, layer.md). The root
// directory itself is not in it.
//
// A name that would be a whiteout, but is a file of its own, is an error.
func PackUpper(ctx context.Context, w io.Writer, u *Upper, progress func(done int64)) error {
	return packUpper(ctx, w, u, progress, nil)
}

func packUpper(ctx context.Context, w io.Writer, u *Upper, progress func(done int64), seal *sealer) error {
	if progress == nil {
		progress = func(int64) {}
	}
	p := &packer{
		ctx: ctx, w: tar.NewWriter(w), links: map[fileID]string{}, buf: make([]byte, 256<<10), progress: progress,
		marks: &marks{u: u, lower: int(u.Lower.Fd())}, latest: u.Latest, sealer: seal,
	}
	if err := p.below(u.Dir, ""); err != nil {
		return err
	}
	return p.w.Close()
}

// marks are those of an upper directory on the way through it.
type marks struct {
	u     *Upper
	lower int // the counterpart of the directory that is packed; -1: there is none
}

// deleted packs an entry if it is a mark of something deleted.
func (p *packer) deleted(dir *os.File, name, path string, st *unix.Stat_t) (bool, error) {
	hidden, deleted, err := p.marks.u.Deleted(dir, name, st)
	switch {
	case err != nil:
		return false, err
	case !deleted && strings.HasPrefix(name, whiteout):
		return false, api.Errorf("pack", printable("/"+path), "in an image, a name that begins with %s stands for something deleted", whiteout).
			WithHint("give it another name, or remove it")
	case !deleted || hidden == "":
		return deleted, nil
	}
	// What hides nothing need not be in an image.
	if there, err := p.marks.hides(hidden); err != nil || !there {
		return true, err
	}
	return true, p.put(mark(path[:len(path)-len(name)], hidden))
}

// mark is the entry that hides a name of a directory, "" or with a slash at the end.
func mark(dir, name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: dir + whiteout + name, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}

// hides says that the layers below have something under a name.
func (m *marks) hides(name string) (bool, error) {
	if m.lower < 0 {
		return false, nil
	}
	var st unix.Stat_t
	err := unix.Fstatat(m.lower, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return false, nil
	}
	return err == nil, named("stat", name, err)
}

// enter goes along into a directory that is packed, and packs that it hides all
// below, if so. The function that comes back goes out again.
func (p *packer) enter(dir *os.File, h *tar.Header) (leave func(), err error) {
	m, above := p.marks, p.marks.lower
	name := h.Name[strings.LastIndexByte(h.Name[:len(h.Name)-1], '/')+1 : len(h.Name)-1]
	below := -1
	if above >= 0 {
		below, err = unix.Openat(above, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return nil, named("open", h.Name, err)
		}
	}
	leave = func() {
		if below >= 0 {
			unix.Close(below)
		}
		m.lower = above
	}
	if m.lower = below; below < 0 {
		return leave, nil
	}
	opaque, err := m.u.Opaque(dir)
	if err == nil && opaque {
		err = p.put(mark(h.Name, strings.TrimPrefix(whiteoutAll, whiteout)))
		// What is below is hidden as a whole, and not name by name.
		unix.Close(below)
		m.lower, below = -1, -1
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}
