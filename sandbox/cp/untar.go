package cp

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image"
	"sbx/internal/sys"
)

// Extract unpacks a tar archive into a directory of the sandbox whose root is given.
// No name in it leads out of that directory by "..", and what its own symbolic links
// and those of the sandbox lead to stays in the sandbox. Owners are those that the
// archive names. Whiteouts of image layers are ordinary files here.
func Extract(ctx context.Context, r io.Reader, root *os.File, dir, shown string, o Options) error {
	place, err := Locate(root, dir, shown)
	if err != nil {
		return err
	}
	place.Dir.Close()
	if place.Name != "" {
		return api.Wrap("copy to", shown, unix.ENOTDIR).WithHint("an archive is unpacked into a directory that exists")
	}
	clean, _, _ := named(dir)
	c := newCopier(ctx, o)
	c.o.Owner, c.o.Attrs = Same, true
	if c.o.Archive == "" {
		c.o.Archive = "-"
	}
	x := &extractor{copier: c, root: root, top: clean, shown: strings.TrimSuffix(shown, "/"), known: map[string]fileID{}, late: map[string]meta{}}
	defer x.forget()
	end := &ending{r: r}
	if err := x.run(tar.NewReader(end), end); err != nil {
		return err
	}
	return x.finish()
}

type extractor struct {
	*copier
	root  *os.File
	top   string // the directory, as a path in the sandbox
	shown string
	dir   *target // the last one used
	name  string  // of that one, below top
	known map[string]fileID
	// What a directory gets at the end: making files in it changes its times, and its
	// mode may forbid it.
	late  map[string]meta
	order []string // of late
}

func (x *extractor) forget() {
	if x.dir != nil {
		x.dir.close()
		x.dir = nil
	}
}

// ending reads, and keeps the last block in mind: the tar reader takes the end of the
// data for that of the archive, which may have been cut off.
type ending struct {
	r    io.Reader
	last [512]byte
	n    int64
}

func (e *ending) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if n < len(e.last) {
		copy(e.last[:], e.last[n:])
	}
	tail := b[max(0, n-len(e.last)):n]
	copy(e.last[len(e.last)-len(tail):], tail)
	e.n += int64(n)
	return n, err
}

// whole says that an archive ended where its end was marked.
func (e *ending) whole() bool { return e.n >= 512 && e.last == [512]byte{} }

func (x *extractor) run(t *tar.Reader, end *ending) error {
	last := ""
	for {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) && end.whole() {
			return nil
		}
		if err != nil {
			return x.damaged(noEOF(err), last)
		}
		last = h.Name
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := x.entry(t, h); err != nil {
			return err
		}
	}
}

// damaged is an error of the archive, or of where it comes from.
func (x *extractor) damaged(err error, last string) error {
	const what = "read archive"
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case last == "" && (errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)):
		return api.Errorf(what, x.o.Archive, "not a tar archive").WithHint("give it one, plain or packed with gzip, bzip2, xz or zstd")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return api.Errorf(what, x.o.Archive, "it is cut off in or behind entry %q", last)
	case errors.Is(err, tar.ErrHeader):
		return api.Errorf(what, x.o.Archive, "it is damaged behind entry %q", last)
	}
	return api.Wrap(what, x.o.Archive, err)
}

// inside cleans a name of the archive; "." is the directory itself.
func (x *extractor) inside(name, what string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if name == "" || strings.Contains(name, "\x00") {
		return "", api.Errorf("read archive", x.o.Archive, "%s without a name", what)
	}
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", api.Errorf("read archive", x.o.Archive, "%s %q climbs out with \"..\"", what, name).WithHint("do not trust this archive")
	}
	return clean, nil
}

func (x *extractor) entry(t *tar.Reader, h *tar.Header) error {
	name, err := x.inside(h.Name, "entry")
	if err != nil || name == "." {
		return err // the directory is the user's: it stays as it is
	}
	above, base := path.Split(name)
	dst, err := x.open(strings.TrimSuffix(above, "/"))
	if err != nil {
		return err
	}
	if x.o.Replace {
		if err := x.clear(dst, name, base, h.Typeflag == tar.TypeDir); err != nil {
			return err
		}
	}
	m := fromHeader(h)
	switch h.Typeflag {
	case tar.TypeDir:
		return x.directory(dst, name, base, m)
	case tar.TypeReg, tar.TypeGNUSparse:
		return x.regular(t, h, dst, base, m)
	case tar.TypeSymlink:
		return x.special(dst, base, m, h.Linkname)
	case tar.TypeFifo:
		return x.special(dst, base, m, "")
	case tar.TypeLink:
		return x.hardLink(h, dst, base)
	case tar.TypeChar, tar.TypeBlock:
		x.o.Note(Note{dst.child(base), "left out, a device node"})
		return nil
	}
	return api.Errorf("read archive", x.o.Archive, "entry %q is of the unknown type %q", h.Name, h.Typeflag)
}

func fromHeader(h *tar.Header) meta {
	m := meta{mode: uint32(h.Mode) & 0o7777, uid: h.Uid, gid: h.Gid}
	switch h.Typeflag {
	case tar.TypeDir:
		m.kind = unix.S_IFDIR
	case tar.TypeSymlink:
		m.kind = unix.S_IFLNK
	case tar.TypeFifo:
		m.kind = unix.S_IFIFO
	default:
		m.kind = unix.S_IFREG
	}
	atime := h.AccessTime
	if atime.Before(h.ModTime) {
		atime = h.ModTime
	}
	m.times = [2]unix.Timespec{timespec(atime), timespec(h.ModTime)}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok && kept(name) {
			if m.attrs == nil {
				m.attrs = map[string]string{}
			}
			m.attrs[name] = value
		}
	}
	return m
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// open opens a directory below the destination, and makes it if it is missing. One
// that the archive has made must still be the same: a program in the sandbox that
// puts a symbolic link in its place would have us write elsewhere.
func (x *extractor) open(name string) (*target, error) {
	if x.dir != nil && x.name == name {
		return x.dir, nil
	}
	fd, err := sys.OpenInRoot(int(x.root.Fd()), x.top+"/"+name, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) && name != "" {
		return x.missing(name)
	}
	shown := x.shown
	if name != "" {
		shown += "/" + name
	}
	if err != nil {
		return nil, explain("open", shown, err)
	}
	to := &target{f: os.NewFile(uintptr(fd), shown), path: shown}
	if err := unix.Fstat(fd, &to.st); err != nil {
		to.close()
		return nil, explain("stat", shown, err)
	}
	if id, ok := x.known[name]; ok && id != idOf(&to.st) {
		to.close()
		return nil, explain("open", shown, unix.ESTALE)
	}
	if Pseudo(to.f) {
		to.close()
		return nil, api.Errorf("copy to", shown, "nothing can be copied into /proc or /sys")
	}
	x.forget()
	x.dir, x.name = to, name
	return to, nil
}

// missing makes a directory that the archive uses and has no entry for.
func (x *extractor) missing(name string) (*target, error) {
	above, base := path.Split(name)
	dst, err := x.open(strings.TrimSuffix(above, "/"))
	if err != nil {
		return nil, err
	}
	to, fresh, err := x.mkdir(dst, base)
	if err != nil {
		return nil, err
	}
	defer to.close()
	if fresh {
		if err := unix.Fchmod(to.fd(), 0o755); err != nil {
			return nil, explain("chmod", to.path, err)
		}
	}
	x.known[name] = idOf(&to.st)
	return x.open(name)
}

func (x *extractor) directory(dst *target, name, base string, m meta) error {
	to, fresh, err := x.mkdir(dst, base)
	if err != nil {
		return err
	}
	defer to.close()
	if !fresh && to.st.Dev != dst.st.Dev && Pseudo(to.f) {
		return nil
	}
	if fresh && m.mode&0o077 != 0 { // what is opened meanwhile is what was asked for
		if err := unix.Fchmod(to.fd(), m.mode&0o755|0o700); err != nil {
			return explain("chmod", to.path, err)
		}
	}
	x.known[name] = idOf(&to.st)
	if _, twice := x.late[name]; !twice {
		x.order = append(x.order, name)
	}
	x.late[name] = m
	return nil
}

// finish completes the directories, the last ones first: a mode may be in the way of
// those below.
func (x *extractor) finish() error {
	for _, name := range slices.Backward(x.order) {
		to, err := x.open(name)
		if err == nil {
			err = x.dressDir(to, x.late[name])
		}
		if err != nil {
			return err
		}
		x.forget() // its owner has changed
	}
	return nil
}

func (x *extractor) regular(t *tar.Reader, h *tar.Header, dst *target, base string, m meta) error {
	out, err := create(dst)
	if err != nil {
		return explain("create", dst.child(base), err)
	}
	defer out.drop()
	if err := x.body(t, h, out.fd, dst.child(base)); err != nil {
		return err
	}
	if err := x.dressFile(out, m, dst.child(base)); err != nil {
		return err
	}
	err = out.place(base)
	if errors.Is(err, errBusy) {
		return x.onto(out, dst, base)
	}
	if err != nil {
		return unplaced(dst, base, err)
	}
	return nil
}

// onto copies what was unpacked into a file on which another one is mounted.
func (x *extractor) onto(out *newFile, dst *target, base string) error {
	var st unix.Stat_t
	if err := unix.Fstat(out.fd, &st); err != nil {
		return explain("stat", dst.child(base), err)
	}
	fd, err := unix.FcntlInt(uintptr(out.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return explain("dup", dst.child(base), err)
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	return x.overwrite(&source{f: f, path: dst.child(base)}, &st, dst, base)
}

// body writes the content of an entry. Zeros that the archive did not have become
// holes.
func (x *extractor) body(t *tar.Reader, h *tar.Header, fd int, shown string) error {
	if x.buf == nil {
		x.buf = make([]byte, 1<<20)
	}
	sparse := image.Sparse(h)
	var at int64
	for at < h.Size {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		n, err := io.ReadFull(t, x.buf[:min(h.Size-at, int64(len(x.buf)))])
		if n > 0 {
			if err := writeAt(fd, x.buf[:n], at, sparse); err != nil {
				return explain("write", shown, err)
			}
			at += int64(n)
			x.advance(int64(n))
		}
		if err != nil {
			return x.damaged(noEOF(err), h.Name)
		}
	}
	if !sparse {
		return nil
	}
	if err := unix.Ftruncate(fd, h.Size); err != nil {
		return explain("truncate", shown, err)
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func writeAt(fd int, b []byte, at int64, holes bool) error {
	if !holes {
		return pwrite(fd, b, at)
	}
	var zeros [4096]byte
	for len(b) > 0 {
		piece := b[:min(len(zeros), len(b))]
		if !bytes.Equal(piece, zeros[:len(piece)]) {
			if err := pwrite(fd, piece, at); err != nil {
				return err
			}
		}
		b, at = b[len(piece):], at+int64(len(piece))
	}
	return nil
}

// hardLink makes another name for a file that the archive has made before, or that
// was there.
func (x *extractor) hardLink(h *tar.Header, dst *target, base string) error {
	first, err := x.inside(h.Linkname, "hard link target")
	if err != nil {
		return err
	}
	above, old := path.Split(first)
	shown := dst.child(base)
	at, err := unix.FcntlInt(dst.f.Fd(), unix.F_DUPFD_CLOEXEC, 0) // open closes it
	if err != nil {
		return explain("dup", shown, err)
	}
	to := &target{f: os.NewFile(uintptr(at), shown), path: dst.path, st: dst.st}
	defer to.close()
	from, err := x.open(strings.TrimSuffix(above, "/"))
	if err != nil {
		return err
	}
	err = unix.Linkat(from.fd(), old, at, base, 0)
	if err == unix.EEXIST {
		tmp := tempName()
		if err = unix.Linkat(from.fd(), old, at, tmp, 0); err == nil {
			err = replace(at, tmp, base)
			_ = unix.Unlinkat(at, tmp, 0) // gone, but where both were one file already
		}
	}
	if err != nil {
		return unplaced(to, base, err)
	}
	return nil
}
