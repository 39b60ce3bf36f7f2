package image

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// Pack writes everything below the directory root to w as a tar archive, the way
// that Import takes it: names relative, directories before what is in them, ids
// as they are seen here, hard links, and attributes that a user namespace may
// set. Sockets are left out. progress is told how many bytes of files have been
// written; it may be nil.
//
// It goes from one open directory to the next and follows no symbolic link, and
// it opens nothing but directories and regular files: what is packed may be
// hostile, and may change meanwhile. A file that shrinks is filled up with zeros,
// one that grows is cut, one that goes away is not there.
func Pack(ctx context.Context, w io.Writer, root *os.File, progress func(done int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	p := &packer{ctx: ctx, w: tar.NewWriter(w), links: map[fileID]string{}, buf: make([]byte, 256<<10), progress: progress}
	if err := p.below(root, ""); err != nil {
		return err
	}
	return p.w.Close()
}

type packer struct {
	ctx      context.Context
	w        *tar.Writer
	links    map[fileID]string // the first name of a file that has several
	buf      []byte
	done     int64
	progress func(int64)
	hollow   func(dir *os.File) bool // says what is packed as an empty directory; may be nil
	owner    Owner                   // may be nil
	marks    *marks                  // of PackUpper; may be nil
	latest   time.Time               // a later time becomes this one; zero: none does
	sealer   *sealer                 // is told where the bodies of files are; may be nil
}

type fileID struct{ dev, ino uint64 }

// below packs what is in a directory whose name ends with a slash, or is "".
func (p *packer) below(dir *os.File, prefix string) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return api.Wrap("read directory", printable("/"+prefix), err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		err := p.entry(dir, name, prefix+name)
		// ELOOP, ENOTDIR: something else has the name by now.
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
	}
	return nil
}

func (p *packer) entry(dir *os.File, name, path string) error {
	// What a path cannot name, Import would refuse; and every level takes an open
	// directory.
	if len(path) > pathMax {
		return api.Errorf("read directory", printable("/"+path[:60]+"..."), "a name of %d bytes, %d is the limit", len(path), pathMax).
			WithHint("the directories are too deep: remove them")
	}
	at := int(dir.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: "/" + path, Err: err}
	}
	if p.marks != nil {
		if deleted, err := p.deleted(dir, name, path, &st); err != nil || deleted {
			return err
		}
	}
	h := p.header(&st, path)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return p.directory(at, name, h)
	case unix.S_IFREG:
		return p.regular(at, name, h)
	case unix.S_IFSOCK:
		return nil // it means nothing without the process behind it
	}
	if err := special(h, &st, at, name); err != nil {
		return &os.PathError{Op: "readlink", Path: "/" + path, Err: err}
	}
	p.link(&st, h)
	return p.put(h)
}

// special completes the header of what has no content: a link, a pipe, a device. The
// link is name in the directory at, or at itself.
func special(h *tar.Header, st *unix.Stat_t, at int, name string) (err error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		h.Linkname, err = sys.Readlink(at, name)
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR:
		h.Typeflag = tar.TypeChar
	case unix.S_IFBLK:
		h.Typeflag = tar.TypeBlock
	}
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	return err
}

// unwritten is an error of the output, whose name means nothing: it has come from
// another process.
func (p *packer) unwritten(h *tar.Header, err error) error {
	var named *os.PathError
	if errors.As(err, &named) {
		err = named.Err
	}
	return api.Wrap("write archive at", printable("/"+h.Name), err)
}

// header is what all kinds have. Times are cut to the second: parts of it would
// cost a kilobyte for each file.
func (p *packer) header(st *unix.Stat_t, path string) *tar.Header {
	h := &tar.Header{
		Name: path, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Sec, 0), Format: tar.FormatPAX,
	}
	if !p.latest.IsZero() && h.ModTime.After(p.latest) {
		h.ModTime = p.latest
	}
	if p.owner != nil {
		h.Uid, h.Gid = p.owner(h.Uid, h.Gid)
	}
	return h
}

func (p *packer) put(h *tar.Header) error {
	if err := p.w.WriteHeader(h); err != nil {
		return p.unwritten(h, err)
	}
	return nil
}

// link makes h a hard link if the file is in the archive already.
func (p *packer) link(st *unix.Stat_t, h *tar.Header) {
	if st.Nlink < 2 {
		return
	}
	id := fileID{uint64(st.Dev), st.Ino}
	if first, ok := p.links[id]; ok {
		h.Typeflag, h.Linkname, h.Size, h.PAXRecords = tar.TypeLink, first, 0, nil
		return
	}
	p.links[id] = h.Name
}

func (p *packer) directory(at int, name string, h *tar.Header) error {
	dir, _, err := openEntry(at, name, h.Name, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	return p.opened(dir, h)
}

// opened packs a directory that is open.
func (p *packer) opened(dir *os.File, h *tar.Header) (err error) {
	if h.PAXRecords, err = attributes(dir); err != nil {
		return err
	}
	h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	if err := p.put(h); err != nil || p.hollow != nil && p.hollow(dir) {
		return err
	}
	if p.marks != nil {
		leave, err := p.enter(dir, h)
		if err != nil {
			return err
		}
		defer leave()
	}
	return p.below(dir, h.Name)
}

func (p *packer) regular(at int, name string, h *tar.Header) error {
	// Not to wait, should a FIFO have taken the file's place.
	f, st, err := openEntry(at, name, h.Name, unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	return p.openedFile(f, st, h)
}

// openedFile packs a regular file that is open, and nothing else.
func (p *packer) openedFile(f *os.File, st *unix.Stat_t, h *tar.Header) (err error) {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	h = p.header(st, h.Name)
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if h.PAXRecords, err = attributes(f); err != nil {
		return err
	}
	p.link(st, h)
	if err := p.put(h); err != nil || h.Typeflag == tar.TypeLink {
		return err
	}
	return p.copy(f, h)
}

// copy writes exactly as many bytes as the header says.
func (p *packer) copy(f *os.File, h *tar.Header) (err error) {
	if p.sealer != nil && h.Size > 0 {
		if err := p.sealer.begin(); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				err = p.sealer.end(h.Name, h.Size)
			}
		}()
	}
	for left := h.Size; left > 0; {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		chunk := p.buf[:min(left, int64(len(p.buf)))]
		n, err := io.ReadFull(f, chunk)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			clear(chunk[n:])
		} else if err != nil {
			return api.Wrap("read", printable("/"+h.Name), err)
		}
		if _, err := p.w.Write(chunk); err != nil {
			return p.unwritten(h, err)
		}
		left -= int64(len(chunk))
		p.done += int64(len(chunk))
		p.progress(p.done)
	}
	return nil
}

// openEntry opens a directory or a regular file, and says what it has become.
func openEntry(at int, name, path string, flags int) (*os.File, *unix.Stat_t, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/" + path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, nil, &os.PathError{Op: "stat", Path: "/" + path, Err: err}
	}
	return os.NewFile(uintptr(fd), "/"+path), &st, nil
}

// attributes are the extended attributes that mean something elsewhere: user.*,
// without those of overlay and of fuse-overlayfs, and file capabilities.
// Attributes of a file that goes away are none.
func attributes(f *os.File) (map[string]string, error) {
	var records map[string]string
	names, err := xattr(func(buf []byte) (int, error) { return unix.Flistxattr(int(f.Fd()), buf) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: f.Name(), Err: err}
	}
	for name := range strings.SplitSeq(string(names), "\x00") {
		if name != "security.capability" && !strings.HasPrefix(name, "user.") || ofOverlay(name) {
			continue
		}
		value, err := xattr(func(buf []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "getxattr " + name, Path: f.Name(), Err: err}
		}
		// A record's name may have no "=", its value may be anything in Go's writer.
		if strings.Contains(name, "=") {
			continue
		}
		if records == nil {
			records = map[string]string{}
		}
		records["SCHILY.xattr."+name] = string(value)
	}
	return records, nil
}

// xattr reads what get gives into a buffer that is large enough.
func xattr(get func([]byte) (int, error)) ([]byte, error) {
	for size := 0; ; {
		buf := make([]byte, size)
		n, err := get(buf)
		switch {
		case err == unix.ERANGE: // it has grown
			size = 0
		case err != nil || n == 0:
			return nil, err
		case size > 0:
			return buf[:n], nil
		default:
			size = n
		}
	}
}
