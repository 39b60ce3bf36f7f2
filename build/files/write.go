package files

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image"
	"sbx/internal/sys"
	"sbx/sandbox/cp"
)

// Target is what is written to.
type Target struct {
	Root     *os.File // the root of the file system, open; nobody else changes it meanwhile
	Accounts *os.File // whose /etc/passwd and /etc/group give the names of --chown their numbers; nil: Root
}

func (t Target) accounts() *os.File {
	if t.Accounts != nil {
		return t.Accounts
	}
	return t.Root
}

// Write copies all items. Errors are *api.Error; what was written before one stays.
// progress, which may be nil, is called with the bytes that were written so far.
func (c *Copy) Write(ctx context.Context, to Target, progress func(done int64)) error {
	w, err := c.writer(ctx, to, progress)
	if err != nil {
		return err
	}
	f, err := c.finder()
	if err != nil {
		return err
	}
	for i := range c.Items {
		item := &c.Items[i]
		if item.Ready != nil {
			if err := item.Ready(ctx); err != nil {
				return err
			}
		}
		if item.Inline != nil {
			err = w.inline(item.Inline)
		} else {
			err = f.each(ctx, item, func(at *found) error { return w.found(f, at) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Copy) writer(ctx context.Context, to Target, progress func(int64)) (*writer, error) {
	w := &writer{ctx: ctx, c: c, root: to.Root, contents: cp.NewContents(ctx, progress), links: map[fileID]string{}, linked: map[string]fileID{}, named: map[string]bool{}}
	var err error
	if w.mode, err = parseMode(c.Chmod); err != nil {
		return nil, err
	}
	owner, err := parseOwner(c.Chown)
	if err != nil {
		return nil, err
	}
	if w.owner, err = owner.lookUp(to.accounts()); err != nil {
		return nil, err
	}
	// As in the layers of such a store.
	if single, err := image.SingleID(); err != nil || single {
		w.owner = &ids{}
		return w, err
	}
	return w, nil
}

// writer is a visitor that makes what it is told in the innermost of its directories.
type writer struct {
	ctx      context.Context
	c        *Copy
	root     *os.File
	mode     *modeChange // of --chmod; nil: as it is
	owner    *ids        // of --chown; nil: that of the source, or root
	contents *cp.Contents
	from     *Root
	stack    []*place
	links    map[fileID]string // copies of files with several names: where they are
	linked   map[string]fileID // the other way round
	named    map[string]bool   // files that got the destination's own name
}

type fileID struct{ dev, ino uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{uint64(st.Dev), st.Ino} }

// place is a directory that is written to.
type place struct {
	fd     int
	real   string // below the root
	setGID bool   // what is made in it gets its group
	fresh  bool   // it was made by this copy
}

func (w *writer) top() *place { return w.stack[len(w.stack)-1] }

// mkdir makes a directory on the way to the destination.
func (w *writer) mkdir(at int, name, real string) error {
	if err := unix.Mkdirat(at, name, 0o700); err != nil {
		return failed("mkdir", real, err)
	}
	fd, err := openDir(at, name)
	if err != nil {
		return failed("open", real, err)
	}
	defer unix.Close(fd)
	var owner ids
	if w.owner != nil {
		owner = *w.owner
	}
	if err := unix.Fchown(fd, owner.uid, owner.gid); err != nil {
		return unowned(real, owner, err)
	}
	if err := unix.Fchmod(fd, w.mode.parents()); err != nil {
		return failed("chmod", real, err)
	}
	if w.c.Epoch == nil {
		return nil
	}
	then := unix.Timespec{Sec: *w.c.Epoch}
	return times(fd, "", [2]unix.Timespec{then, then}, real)
}

// destination finds where an item goes, and makes the directories on the way. One that
// must be a directory is made as well.
func (w *writer) destination(dir bool) (*spot, error) {
	name := w.c.dest()
	s, err := (&resolver{root: w.root, missing: w.mkdir}).find(name)
	if err != nil {
		return nil, failed("copy to", name, err)
	}
	if !dir && !strings.HasSuffix(name, "/") || s.isDir() {
		return s, nil
	}
	if !s.gone {
		s.close()
		e := api.Errorf("copy to", name, "it is no directory")
		e.Errno = unix.ENOTDIR
		return nil, e
	}
	err = w.mkdir(s.fd(), s.name, s.real())
	s.close()
	if err != nil {
		return nil, err
	}
	return w.destination(dir)
}

// found copies one thing that an item names.
func (w *writer) found(f *finder, at *found) error {
	w.from = at.item.From
	if at.item.Unpack && at.st.Mode&unix.S_IFMT == unix.S_IFREG {
		if done, err := w.unpack(at); done || err != nil {
			return err
		}
	}
	s, err := w.destination(at.isDir())
	if err != nil {
		return err
	}
	defer s.close()
	if at.isDir() {
		return w.tree(f, at, s)
	}
	name, err := w.nameIn(s, at.base)
	if err != nil {
		return err
	}
	return w.into(s, func() error {
		return w.make(&entry{at: at.fd(), name: at.name, path: at.shown(), st: at.st}, name)
	})
}

// nameIn is what a file is called in the directory of a spot: the destination's own
// name if it is no directory, which only one file can have.
func (w *writer) nameIn(s *spot, base string) (string, error) {
	if s.isDir() {
		return base, nil
	}
	if w.named[s.real()] {
		return "", api.Errorf("copy to", w.c.dest(), "several files would get this name").
			WithHint("end the destination with a slash, to make it a directory")
	}
	w.named[s.real()] = true
	return s.name, nil
}

// into lets do make things in the directory of a spot.
func (w *writer) into(s *spot, do func() error) error {
	var st unix.Stat_t
	if err := unix.Fstatat(s.fd(), "", &st, unix.AT_EMPTY_PATH); err != nil {
		return failed("stat", s.real(), err)
	}
	real := s.real()
	if !s.isDir() {
		real = strings.TrimSuffix(path.Dir(real), ".")
	}
	w.stack = []*place{{fd: s.fd(), real: real, setGID: st.Mode&unix.S_ISGID != 0}}
	return do()
}

// tree copies what is in a directory into the destination, which keeps its owner and
// mode.
func (w *writer) tree(f *finder, at *found, s *spot) error {
	err := w.into(s, func() error {
		defer w.unwind()
		return f.walk(w.ctx, at, w)
	})
	if err != nil {
		return err
	}
	return times(-1, procFD(s.fd()), w.timesOf(&at.st), s.real())
}

// unwind closes the directories that an error has left open.
func (w *writer) unwind() {
	for _, p := range w.stack[1:] {
		unix.Close(p.fd)
	}
	w.stack = w.stack[:1]
}

// enter implements visitor.
func (w *writer) enter(e *entry) error {
	above := w.top()
	p := &place{real: path.Join(above.real, e.name)}
	err := unix.Mkdirat(above.fd, e.name, 0o700)
	if err != nil && err != unix.EEXIST {
		return failed("mkdir", p.real, err)
	}
	p.fresh = err == nil
	p.fd, err = openDir(above.fd, e.name)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return api.Errorf("copy to", "/"+p.real, "a directory cannot replace what is there, which is none").
			WithHint("remove it in an earlier step, or copy to another place")
	}
	if err != nil {
		return failed("open", p.real, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(p.fd, &st); err != nil {
		unix.Close(p.fd)
		return failed("stat", p.real, err)
	}
	p.setGID = st.Mode&unix.S_ISGID != 0
	w.stack = append(w.stack, p)
	return nil
}

// leave implements visitor.
func (w *writer) leave(e *entry) error {
	p := w.top()
	defer unix.Close(p.fd)
	w.stack = w.stack[:len(w.stack)-1]
	if !p.fresh && e.passing {
		return nil
	}
	attrs, err := cp.Attributes(int(e.dir.Fd()), e.path)
	if err != nil {
		return err
	}
	return w.dress(p.fd, &e.st, attrs, p.real, true)
}

// other implements visitor.
func (w *writer) other(e *entry) error { return w.make(e, e.name) }

// make makes what is no directory, under a name in the innermost directory. A file that
// is there is replaced.
func (w *writer) make(e *entry, name string) error {
	real := path.Join(w.top().real, name)
	switch e.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return w.file(e, name, real)
	case unix.S_IFLNK:
		to, err := sys.Readlink(e.at, e.name)
		if err != nil {
			return unlessGone("readlink", e.path, err)
		}
		return w.node(e, name, real, func(at int) error { return unix.Symlinkat(to, at, name) })
	case unix.S_IFIFO:
		return w.node(e, name, real, func(at int) error { return unix.Mknodat(at, name, unix.S_IFIFO|0o600, 0) })
	case unix.S_IFSOCK:
		w.c.note(e.path, "left out, a socket")
		return nil
	}
	return api.Errorf("copy", e.path, "it is a device node, which cannot be made without root").
		WithHint("leave it out with --exclude; a sandbox has its own /dev")
}

// fresh calls make until nothing is in its way. A directory stays.
func (w *writer) fresh(at int, name, real string, make func() error) error {
	for {
		err := make()
		if err != unix.EEXIST {
			return failed("create", real, err)
		}
		var st unix.Stat_t
		if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return failed("stat", real, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return api.Errorf("copy to", "/"+real, "it is a directory, which a file cannot replace").
				WithHint("remove it in an earlier step, or copy to another place")
		}
		if err := unix.Unlinkat(at, name, 0); err != nil {
			return failed("unlink", real, err)
		}
		if id, ok := w.linked[real]; ok { // the next file may get the same inode
			delete(w.links, id)
			delete(w.linked, real)
		}
	}
}

// file copies a regular file.
func (w *writer) file(e *entry, name, real string) error {
	at := w.top()
	if made, err := w.linkAgain(e, at.fd, name, real); made || err != nil {
		return err
	}
	in, err := openFile(e)
	if err != nil || in < 0 {
		return err
	}
	defer unix.Close(in)
	var out int
	err = w.fresh(at.fd, name, real, func() (err error) {
		out, err = unix.Openat(at.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(out)
	if err := w.contents.Copy(out, "/"+real, in, &e.st, e.path); err != nil {
		return err
	}
	attrs, err := cp.Attributes(in, e.path)
	if err != nil {
		return err
	}
	if e.st.Nlink > 1 {
		w.links[idOf(&e.st)], w.linked[real] = real, idOf(&e.st)
	}
	return w.dress(out, &e.st, attrs, real, at.setGID)
}

// linkAgain makes a hard link to the copy of a file that was copied under another name.
func (w *writer) linkAgain(e *entry, at int, name, real string) (made bool, err error) {
	if e.st.Nlink < 2 {
		return false, nil
	}
	first, ok := w.links[idOf(&e.st)]
	if !ok || first == real {
		return false, nil
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(w.root.Fd()), first, &how)
	if err != nil {
		return false, failed("open", first, err)
	}
	defer unix.Close(fd)
	err = w.fresh(at, name, real, func() error {
		return unix.Linkat(unix.AT_FDCWD, procFD(fd), at, name, unix.AT_SYMLINK_FOLLOW)
	})
	return err == nil, err
}

// node makes what has no content.
func (w *writer) node(e *entry, name, real string, make func(at int) error) error {
	at := w.top()
	if err := w.fresh(at.fd, name, real, func() error { return make(at.fd) }); err != nil {
		return err
	}
	owner := w.ownerOf(&e.st)
	if at.setGID || owner != (ids{}) {
		if err := unix.Fchownat(at.fd, name, owner.uid, owner.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return unowned(real, owner, err)
		}
	}
	if e.st.Mode&unix.S_IFMT == unix.S_IFIFO {
		if err := unix.Fchmodat(at.fd, name, w.mode.apply(e.st.Mode), 0); err != nil {
			return failed("chmod", real, err)
		}
	}
	return times(at.fd, name, w.timesOf(&e.st), real)
}

// inline writes a heredoc.
func (w *writer) inline(in *Inline) error {
	s, err := w.destination(false)
	if err != nil {
		return err
	}
	defer s.close()
	name, err := w.nameIn(s, path.Base(in.Name))
	if err != nil {
		return err
	}
	return w.into(s, func() error {
		at, real := w.top(), path.Join(w.top().real, name)
		var out *os.File
		err := w.fresh(at.fd, name, real, func() error {
			fd, err := unix.Openat(at.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
			out = os.NewFile(uintptr(fd), name)
			return err
		})
		if err != nil {
			return err
		}
		defer out.Close()
		if _, err := out.Write(in.Data); err != nil {
			return failed("write", real, err)
		}
		st := unix.Stat_t{Mode: unix.S_IFREG | 0o644}
		if err := unix.ClockGettime(unix.CLOCK_REALTIME, &st.Mtim); err != nil {
			return failed("clock_gettime", real, err)
		}
		st.Atim = st.Mtim
		w.from = &Root{}
		return w.dress(int(out.Fd()), &st, nil, real, true)
	})
}
