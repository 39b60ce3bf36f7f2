package files

import (
	"context"
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// entry is a file or directory that a walk comes to.
type entry struct {
	at   int    // the directory it is in
	name string // in there
	rel  string // below the top of the walk
	path string // for messages
	st   unix.Stat_t
	dir  *os.File // of a directory, open to be read
	// passing says of a directory that it is only on the way to what is meant.
	passing bool
}

// visitor is told what a walk finds: a directory before and after what is in it, and
// everything else.
type visitor interface {
	enter(*entry) error
	leave(*entry) error
	other(*entry) error
}

// walk goes through a directory in the order of the names, without following links.
type walk struct {
	ctx     context.Context
	at      *found
	ignore  matcher // by the path in the root
	exclude matcher // by the path below the top
	include matcher // the same; without patterns everything is meant
	v       visitor
	waiting []*entry // directories of which it is not known whether something in them is meant
}

// deepest bounds the open directories.
const deepest = 2048

// walk goes through all that is meant in a directory that was found.
func (f *finder) walk(ctx context.Context, at *found, v visitor) error {
	w := &walk{ctx: ctx, at: at, ignore: at.item.From.Ignore.matcher(), exclude: f.exclude, include: (*Patterns)(nil).matcher(), v: v}
	if f.c.Parents && !at.item.Literal {
		_, pattern := splitPivot(at.item.Path)
		if err := w.only(pattern); err != nil {
			return err
		}
	}
	fd, err := unix.Openat(at.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return api.Wrap("copy", at.shown(), err)
	}
	top := &entry{dir: os.NewFile(uintptr(fd), "."), path: at.shown()}
	defer top.dir.Close()
	return w.below(top, 0, matches{})
}

// only bounds the walk to what the pattern of --parents means. One without wildcards
// must mean something.
func (w *walk) only(pattern string) error {
	if pattern == "" {
		return nil
	}
	include, err := NewPatterns([]string{pattern})
	if err != nil {
		return api.Errorf("copy", w.at.item.Path, "%s", err)
	}
	w.include = include.matcher()
	if _, wildcards := splitWild(w.at.item.Path); wildcards != nil {
		return nil
	}
	var st unix.Stat_t
	name := path.Join("/", w.at.real(), pattern)
	s, err := (&resolver{root: w.at.item.From.Dir}).find(path.Dir(name))
	if err == nil {
		if err = unix.ENOTDIR; s.isDir() {
			err = unix.Fstatat(s.fd(), path.Base(name), &st, unix.AT_SYMLINK_NOFOLLOW)
		}
		s.close()
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if out, _ := w.ignore.matches(name[1:]); err == nil && out && !(isDir && leadsTo(w.ignore.excepted, name[1:])) {
		err = errIgnored
	}
	if err != nil {
		return notFound(w.at.item.From, name, err)
	}
	return nil
}

// matches is what the patterns have said about a directory.
type matches struct{ ignore, exclude, include patternmatcher.MatchInfo }

func (w *walk) below(d *entry, depth int, above matches) error {
	if depth == deepest {
		return api.Errorf("copy", d.path[:60]+"...", "directories more than %d levels deep", deepest)
	}
	names, err := d.dir.Readdirnames(-1)
	if err != nil {
		return api.Wrap("read directory", d.path, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		if err := w.entry(d, name, depth, above); err != nil {
			return err
		}
	}
	return nil
}

// entry visits one name. What goes away meanwhile is not there.
func (w *walk) entry(d *entry, name string, depth int, above matches) error {
	e := &entry{at: int(d.dir.Fd()), name: name, rel: path.Join(d.rel, name), path: strings.TrimSuffix(d.path, "/") + "/" + name}
	real := path.Join(w.at.real(), e.rel)
	var here matches
	ignored, info, err := w.ignore.match(real, above.ignore)
	here.ignore = info
	if err != nil {
		return err
	}
	if ignored && !leadsTo(w.ignore.excepted, real) {
		return nil
	}
	excluded, info, err := w.exclude.match(e.rel, above.exclude)
	here.exclude = info
	if err != nil {
		return err
	}
	if excluded && !leadsTo(w.exclude.excepted, e.rel) {
		return nil
	}
	meant := w.include.m == nil
	if !meant {
		if meant, here.include, err = w.include.match(e.rel, above.include); err != nil {
			return err
		}
	}
	if err := unix.Fstatat(e.at, name, &e.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return api.Wrap("stat", e.path, err)
	}
	if e.st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if !meant && !leadsTo(w.include.meant, e.rel) {
			return nil
		}
		e.passing = !meant || excluded
		return w.dir(e, depth, here, ignored || e.passing)
	}
	if ignored || excluded || !meant {
		return nil
	}
	if err := w.arrive(); err != nil {
		return err
	}
	return w.v.other(e)
}

// dir visits a directory. With wait, only if there is something in it that is meant.
func (w *walk) dir(e *entry, depth int, here matches, wait bool) error {
	fd, err := openDir(e.at, e.name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return api.Wrap("open", e.path, err)
	}
	e.dir = os.NewFile(uintptr(fd), e.name)
	defer e.dir.Close()
	if err := unix.Fstat(fd, &e.st); err != nil {
		return api.Wrap("stat", e.path, err)
	}
	w.waiting = append(w.waiting, e)
	if !wait {
		if err := w.arrive(); err != nil {
			return err
		}
	}
	if err := w.below(e, depth+1, here); err != nil {
		return err
	}
	if n := len(w.waiting); n > 0 && w.waiting[n-1] == e {
		w.waiting = w.waiting[:n-1]
		return nil
	}
	return w.v.leave(e)
}

// arrive enters the directories on the way to something that is meant.
func (w *walk) arrive() error {
	for _, e := range w.waiting {
		if err := w.v.enter(e); err != nil {
			return err
		}
	}
	w.waiting = w.waiting[:0]
	return nil
}
