package image

import (
	"archive/tar"
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Names in a layer that stand for something else, image-spec v1.1 layer.md.
const (
	whiteout     = ".wh."
	whiteoutMeta = ".wh..wh." // AUFS; but for the next one without a meaning
	whiteoutAll  = ".wh..wh..opq"
)

// unpacker makes the files of a layer in an empty directory.
type unpacker struct {
	in      *stream
	split   *splitter
	dirs    *dirs
	umask   uint32
	squash  bool // all files belong to uid 0
	rootfs  bool // no layer: no whiteouts
	holes   bool // blocks of zeros are not written
	late    []late
	old     replaced
	rootSet bool     // the root directory is in the archive
	opaque  bool     // so is a whiteout of all there is below
	program bool     // whiteouts may be made by name, see OpenWith
	stood   []string // names of what stands for whiteouts
}

// late is what a directory gets when all its files are there: making them changes
// its times, and they would inherit its group and its access control list.
type late struct {
	name   string // real; "" for the root
	mode   uint32
	times  [2]unix.Timespec
	xattrs map[string]string
	gone   bool
}

// run unpacks everything there is.
func (u *unpacker) run() error {
	for {
		h, name, err := u.in.next()
		if err != nil {
			return err
		}
		if h == nil {
			break
		}
		if err := u.entry(h, name); err != nil {
			return err
		}
	}
	if err := u.in.tail(); err != nil {
		return err
	}
	if err := u.nameWhiteouts(); err != nil {
		return err
	}
	return u.finish()
}

func (u *unpacker) entry(h *tar.Header, name string) error {
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader:
		return u.in.rawBody(nil)
	case name == ".":
		u.rootSet = true
		u.late = append(u.late, newLate(h, ""))
		return u.chown(u.dirs.root, ".", h)
	}
	above, base := split(name)
	if strings.HasPrefix(name, whiteoutMeta) && name != whiteoutAll {
		return u.in.rawBody(nil)
	}
	if strings.HasPrefix(base, whiteout) && !u.rootfs {
		if err := u.whiteout(above, base, h); err != nil {
			return err
		}
		return u.in.rawBody(nil)
	}
	d, err := u.dirs.get(above)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(d, base, h)
	case tar.TypeDir:
		return u.dir(d, base, h)
	case tar.TypeSymlink:
		return u.symlink(d, base, h)
	case tar.TypeLink:
		return u.link(d, base, h)
	case tar.TypeFifo:
		return u.fifo(d, base, h)
	}
	// A device node: what was there before makes room for it, but a user namespace
	// cannot make one.
	_, err = u.clear(d, base, false)
	return err
}

// make calls do, once more if something had to be cleared away first.
func (u *unpacker) make(op string, d *openDir, base string, do func() error) error {
	err := do()
	if err == unix.EEXIST {
		if _, err := u.clear(d, base, false); err != nil {
			return err
		}
		err = do()
	}
	if err != nil {
		return &os.PathError{Op: op, Path: d.child(base), Err: err}
	}
	return nil
}

// clear removes what an earlier entry has made under the name of this one. A
// directory stays if keep is set, which the result says.
func (u *unpacker) clear(d *openDir, base string, keep bool) (kept bool, err error) {
	name := d.child(base)
	var st unix.Stat_t
	err = unix.Fstatat(d.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	switch {
	case kind == unix.S_IFDIR && keep:
		return true, nil
	case kind == unix.S_IFDIR, kind == unix.S_IFREG && st.Size > 0:
		// Its bodies are needed to make the archive again.
		if err := u.old.keep(d, base, u.split.entries); err != nil {
			return false, err
		}
	default:
		if err := unix.Unlinkat(d.fd, base, 0); err != nil {
			return false, &os.PathError{Op: "unlink", Path: name, Err: err}
		}
	}
	switch kind {
	case unix.S_IFDIR:
		u.goneBelow(name)
	case unix.S_IFLNK:
		delete(u.dirs.symlinks, name)
		u.dirs.forget()
	}
	return false, nil
}

// goneBelow forgets the directories at and below name.
func (u *unpacker) goneBelow(name string) {
	for i := range u.late {
		if l := &u.late[i]; l.name == name || strings.HasPrefix(l.name, name+"/") {
			l.gone = true
		}
	}
	for link := range u.dirs.symlinks {
		if strings.HasPrefix(link, name+"/") {
			delete(u.dirs.symlinks, link)
		}
	}
	u.dirs.forget()
}

func (u *unpacker) dir(d *openDir, base string, h *tar.Header) error {
	name := d.child(base)
	mode := uint32(h.Mode) & 0o777
	err := unix.Mkdirat(d.fd, base, mode)
	if err == unix.EEXIST {
		var st unix.Stat_t
		err = unix.Fstatat(d.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
		deleted := err == nil && isWhiteout(&st)
		var kept bool
		if kept, err = u.clear(d, base, true); err == nil && !kept {
			err = unix.Mkdirat(d.fd, base, mode)
		}
		if err == nil && deleted {
			err = setOpaque(d, base)
		}
	}
	if err != nil {
		return named("mkdir", name, err)
	}
	u.late = append(u.late, newLate(h, name))
	return u.chown(d, base, h)
}

func (u *unpacker) symlink(d *openDir, base string, h *tar.Header) error {
	if err := u.make("symlink", d, base, func() error { return unix.Symlinkat(h.Linkname, d.fd, base) }); err != nil {
		return err
	}
	u.dirs.symlinks[d.child(base)] = struct{}{}
	return u.meta(d, base, h)
}

func (u *unpacker) fifo(d *openDir, base string, h *tar.Header) error {
	mode := uint32(h.Mode) & 0o7777
	err := u.make("mknod", d, base, func() error { return unix.Mknodat(d.fd, base, unix.S_IFIFO|mode, 0) })
	if err != nil {
		return err
	}
	if err := u.chown(d, base, h); err != nil {
		return err
	}
	if err := unix.Fchmodat(d.fd, base, mode, 0); err != nil {
		return named("chmod", d.child(base), err)
	}
	return u.meta(d, base, h)
}

// link makes a hard link to a file of the layer. Its attributes are the file's.
func (u *unpacker) link(d *openDir, base string, h *tar.Header) error {
	name := d.child(base)
	target, refusal := u.in.check.name(h.Linkname, "hard link target")
	if refusal != nil {
		return refusal
	}
	above, old := split(target)
	fd, err := unix.Dup(d.fd) // the next get may close it
	if err != nil {
		return named("dup", name, err)
	}
	defer unix.Close(fd)
	from, err := u.dirs.get(above)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	err = unix.Fstatat(from.fd, old, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || err == nil && isWhiteout(&st) {
		return u.in.check.refuse(repack, "hard link %q to %q, which is not in the archive before it", h.Name, h.Linkname)
	}
	if err != nil {
		return named("stat", target, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return u.in.check.refuse(repack, "hard link %q to %q, a directory", h.Name, h.Linkname)
	}
	at := &openDir{fd: fd, real: d.real}
	if from.child(old) == name {
		return nil // it is there already
	}
	err = u.make("link", at, base, func() error { return unix.Linkat(from.fd, old, fd, base, 0) })
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		u.dirs.symlinks[name] = struct{}{}
	}
	return err
}

// whiteout hides what a layer below has. What is in this layer stays, whatever
// comes first.
func (u *unpacker) whiteout(above, base string, h *tar.Header) error {
	if base != whiteoutAll && strings.HasPrefix(base, whiteoutMeta) {
		return nil
	}
	switch strings.TrimPrefix(base, whiteout) {
	case "", ".", "..":
		return u.in.check.refuse(repack, "entry %q is a whiteout of nothing", h.Name)
	}
	d, err := u.dirs.getDeleted(above)
	if errors.Is(err, unix.ENOTDIR) {
		return nil // it is deleted with a directory above
	}
	if err != nil {
		return err
	}
	if base == whiteoutAll {
		u.opaque = u.opaque || d.real == ""
		return setOpaque(d, ".")
	}
	base = strings.TrimPrefix(base, whiteout)
	stood, err := makeWhiteout(d.fd, base, u.program)
	if err == nil && stood {
		u.stood = append(u.stood, d.child(base))
	}
	if err != unix.EEXIST {
		return named("mknod", d.child(base), err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return named("stat", d.child(base), err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return setOpaque(d, base)
	}
	return nil
}

// named is nil for a nil error.
func named(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if _, is := err.(unix.Errno); !is {
		return err
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}

// times are those of last access and change. The first is never before the second.
func times(h *tar.Header) [2]unix.Timespec {
	atime := h.AccessTime
	if atime.Before(h.ModTime) {
		atime = h.ModTime
	}
	return [2]unix.Timespec{timespec(atime), timespec(h.ModTime)}
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}
