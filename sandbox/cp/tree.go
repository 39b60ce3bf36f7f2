package cp

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// Owner says whose files are that are made.
type Owner int

const (
	Caller Owner = iota // the user's, as all that this process makes
	Root                // root's, 0:0, see Options.Owners
	Same                // the source's, the same
)

// Options of a copy.
type Options struct {
	Owner Owner
	// Owners gives the ids in this user namespace of those in the sandbox that it goes
	// to; nil: they are the same.
	Owners   func(uid, gid int) (int, int)
	Host     bool             // it goes to the host: without the owners, set-id bits mean something else there
	Attrs    bool             // extended attributes and capabilities too
	Progress func(done int64) // bytes of files; may be nil
	Note     func(Note)       // something was left out; may be nil

	// Of Extract only: a directory may replace a file or link, and the other way round,
	// as tar(1) does it, and what the archive is called in messages.
	Replace bool
	Archive string
}

// Note is something that could not be copied, and is no reason to stop.
type Note struct {
	Path string
	Why  string
}

// Copy copies an object to a place. Errors are *api.Error with the path as the user
// knows it, and the errno. What was copied before an error stays; every file of it is
// whole.
func Copy(ctx context.Context, src *Object, dst *Place, o Options) error {
	c := newCopier(ctx, o)
	var st unix.Stat_t
	if err := unix.Fstat(int(src.File.Fd()), &st); err != nil {
		return api.Wrap("copy", src.Path, err)
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	name, err := dst.settle(src, isDir)
	if err != nil {
		return err
	}
	if err := Readable(src); err != nil {
		return err
	}
	if Pseudo(dst.Dir) {
		return api.Errorf("copy to", dst.Path, "nothing can be copied into /proc or /sys")
	}
	shown := unslashed(dst.Path)
	if dst.Name != "" { // it is the path's last part
		shown = strings.TrimSuffix(shown, "/"+dst.Name)
	}
	to, err := openTarget(dst.Dir, shown)
	if err != nil {
		return api.Wrap("copy to", dst.Path, cause(err))
	}
	defer to.close()
	if isDir {
		return c.top(src, &st, to, name)
	}
	return c.single(src, &st, to, name)
}

func newCopier(ctx context.Context, o Options) *copier {
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	if o.Note == nil {
		o.Note = func(Note) {}
	}
	return &copier{ctx: ctx, o: o, links: map[fileID]made{}}
}

type copier struct {
	ctx     context.Context
	o       Options
	done    int64
	buf     []byte
	links   map[fileID]made // files with several names, by the source's identity
	into    fileID          // the directory that everything goes into
	anchor  *target         // where the names in links begin
	methods methods
}

type fileID struct{ dev, ino uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{uint64(st.Dev), st.Ino} }

// target is a directory that is written to.
type target struct {
	f     *os.File
	path  string // for messages
	rel   string // below the first one
	st    unix.Stat_t
	depth int
}

func (t *target) fd() int { return int(t.f.Fd()) }

func (t *target) close() { t.f.Close() }

func (t *target) child(name string) string { return t.path + "/" + name }

// openTarget opens a directory again that is open with O_PATH.
func openTarget(dir *os.File, path string) (*target, error) {
	f, err := reopen(dir, unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	t := &target{f: f, path: path}
	if err := unix.Fstat(t.fd(), &t.st); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

// reopen opens for reading what is open with O_PATH: not by a name, which may mean
// something else by now.
func reopen(o *os.File, flags int) (*os.File, error) {
	fd, err := unix.Open(procFD(int(o.Fd())), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|flags, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), o.Name()), nil
}

// top copies a directory that the user has named.
func (c *copier) top(src *Object, st *unix.Stat_t, to *target, name string) error {
	from, err := reopen(src.File, unix.O_DIRECTORY)
	if err != nil {
		return api.Wrap("copy", src.Path, err)
	}
	defer from.Close()
	s := &source{f: from, path: unslashed(src.Path)}
	c.anchor = to
	if name != "" {
		return c.directory(s, st, to, name)
	}
	if idOf(st) == idOf(&to.st) {
		return intoItself(s)
	}
	c.into = idOf(&to.st)
	return c.below(s, uint64(st.Dev), to)
}

// unslashed is a path that another name can be put behind.
func unslashed(path string) string { return strings.TrimRight(strings.TrimSuffix(path, "/."), "/") }

// single copies what is no directory.
func (c *copier) single(src *Object, st *unix.Stat_t, to *target, name string) error {
	c.anchor = to
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f, err := reopen(src.File, unix.O_NONBLOCK)
		if err != nil {
			return api.Wrap("copy", src.Path, err)
		}
		defer f.Close()
		return c.file(&source{f: f, path: src.Path}, st, to, name)
	case unix.S_IFLNK:
		link, err := sys.Readlink(int(src.File.Fd()), "")
		if err != nil {
			return api.Wrap("copy", src.Path, err)
		}
		return c.special(to, name, of(st, nil), link)
	case unix.S_IFIFO:
		return c.special(to, name, of(st, nil), "")
	}
	return api.Errorf("copy", src.Path, "it is %s, which cannot be copied", kindName(st.Mode))
}

// source is a file or directory that is read.
type source struct {
	f    *os.File
	path string
}

func intoItself(s *source) error {
	return api.Errorf("copy", s.path, "a directory cannot be copied into itself")
}

// deepest bounds the open directories, two for each level.
const deepest = 2048

// below copies what is in a directory. dev is the file system that it is on.
func (c *copier) below(src *source, dev uint64, dst *target) error {
	if dst.depth == deepest {
		return api.Errorf("copy", src.path[:60]+"...", "directories more than %d levels deep", deepest)
	}
	names, err := src.f.Readdirnames(-1)
	if err != nil {
		return api.Wrap("read directory", src.path, cause(err))
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return context.Cause(c.ctx)
		}
		if err := c.entry(src, dev, name, dst); err != nil {
			return err
		}
	}
	return nil
}

// entry copies one entry of a directory. One that goes away meanwhile, or becomes
// something else, is not there.
func (c *copier) entry(src *source, dev uint64, name string, dst *target) error {
	at, path := int(src.f.Fd()), src.path+"/"+name
	var st unix.Stat_t
	if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return unlessGone("stat", path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		f, err := openEntry(at, name, unix.O_DIRECTORY, &st)
		if err != nil {
			return unlessGone("copy", path, err)
		}
		defer f.Close()
		s := &source{f: f, path: path}
		if c.into == idOf(&st) {
			return intoItself(s)
		}
		if uint64(st.Dev) != dev && Pseudo(f) {
			return c.hollow(s, &st, dst, name)
		}
		return c.directory(s, &st, dst, name)
	case unix.S_IFREG:
		if c.linkAgain(&st, dst, name) {
			return nil
		}
		// Not to wait, should a named pipe have taken the file's place.
		f, err := openEntry(at, name, unix.O_NONBLOCK, &st)
		if err != nil {
			return unlessGone("copy", path, err)
		}
		defer f.Close()
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return nil
		}
		return c.file(&source{f: f, path: path}, &st, dst, name)
	case unix.S_IFLNK:
		link, err := sys.Readlink(at, name)
		if err != nil {
			return unlessGone("readlink", path, err)
		}
		return c.special(dst, name, of(&st, nil), link)
	case unix.S_IFIFO:
		return c.special(dst, name, of(&st, nil), "")
	}
	c.o.Note(Note{path, "left out, " + kindName(st.Mode)})
	return nil
}

// unlessGone is nil where the name means nothing, or something else, by now.
func unlessGone(op, path string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	return api.Wrap(op, path, err)
}

// openEntry opens a directory or a regular file, and says what it has become.
func openEntry(at int, name string, flags int, st *unix.Stat_t) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Fstat(fd, st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// directory copies a directory with all that is in it to a name in dst: into the
// directory that is there, or into a new one.
func (c *copier) directory(src *source, st *unix.Stat_t, dst *target, name string) error {
	to, fresh, err := c.mkdir(dst, name)
	if err != nil {
		return err
	}
	defer to.close()
	if !fresh && to.st.Dev != dst.st.Dev && Pseudo(to.f) {
		c.o.Note(Note{to.path, "left out, files of the kernel are mounted there"})
		return nil
	}
	if idOf(st) == idOf(&to.st) {
		return intoItself(src)
	}
	if c.into == (fileID{}) {
		c.into = idOf(&to.st)
	}
	if err := c.below(src, uint64(st.Dev), to); err != nil {
		return err
	}
	attrs, err := c.attributes(src)
	if err != nil {
		return err
	}
	return c.dressDir(to, of(st, attrs))
}

// hollow makes an empty directory of one on which the kernel's own files are
// mounted: /proc of a sandbox that runs.
func (c *copier) hollow(src *source, st *unix.Stat_t, dst *target, name string) error {
	to, fresh, err := c.mkdir(dst, name)
	if err != nil {
		return err
	}
	defer to.close()
	if !fresh {
		return nil
	}
	// The kernel's directories are nobody's to write to; the one in the image is 0755.
	m := of(st, nil)
	m.mode = 0o755
	return c.dressDir(to, m)
}

// mkdir opens the directory name in dst, and makes it if there is none.
func (c *copier) mkdir(dst *target, name string) (to *target, fresh bool, err error) {
	path := dst.child(name)
	err = unix.Mkdirat(dst.fd(), name, 0o700)
	if err != nil && err != unix.EEXIST {
		return nil, false, explain("mkdir", path, err)
	}
	fresh = err == nil
	to = &target{path: path, rel: filepath.Join(dst.rel, name), depth: dst.depth + 1}
	to.f, err = openEntry(dst.fd(), name, unix.O_DIRECTORY, &to.st)
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, false, api.Errorf("copy to", path, "it is no directory, and cannot be replaced by one").
			WithHint("remove it first")
	case err != nil:
		return nil, false, explain("open", path, err)
	}
	return to, fresh, nil
}

// explain is an error of the destination.
func explain(op, path string, err error) error {
	e := api.Wrap(op, path, cause(err))
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.WithHint("free some space there, or copy to another place")
	case errors.Is(err, unix.EROFS):
		e.WithHint("copy to a place that is not mounted read-only")
	}
	return e
}
