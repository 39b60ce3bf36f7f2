package files

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// errIgnored is what .dockerignore leaves out.
var errIgnored = errors.New("ignored")

// found is one thing that an item names.
type found struct {
	*spot
	item *Item
	base string // its name, as the Dockerfile or the wildcards have it; not that of a link's target
}

func (f *found) shown() string { return f.item.From.Shown + ": /" + f.real() }

// finder finds what the items of one Copy name.
type finder struct {
	c       *Copy
	exclude matcher
}

func (c *Copy) finder() (*finder, error) {
	exclude, err := NewPatterns(c.Exclude)
	if err != nil {
		return nil, api.Errorf("copy", "--exclude", "%s", err)
	}
	return &finder{c: c, exclude: exclude.matcher()}, nil
}

// each calls do with all that an item names, in the order of the names. A pattern with
// wildcards may name nothing.
func (f *finder) each(ctx context.Context, item *Item, do func(*found) error) error {
	if f.c.Parents && !item.Literal {
		return f.eachPivot(ctx, item, do)
	}
	names := []string{item.Path}
	if !item.Literal {
		plain, wildcards := splitWild(item.Path)
		if wildcards != nil {
			var err error
			if names, err = f.glob(ctx, item, plain, wildcards); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		at, err := f.open(item, name)
		if err != nil {
			return err
		}
		err = f.unlessExcluded(at, do)
		at.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// unlessExcluded leaves out a file that --exclude names. Of a directory the patterns
// mean what is in it.
func (f *finder) unlessExcluded(at *found, do func(*found) error) error {
	if !at.isDir() {
		for _, name := range []string{at.base, at.real()} {
			if out, err := f.exclude.matches(name); out || err != nil {
				return err
			}
		}
	}
	return do(at)
}

// eachPivot is each with --parents: what is before "/./" is where the names of the
// parents begin. What is behind it is looked for by the walk.
func (f *finder) eachPivot(ctx context.Context, item *Item, do func(*found) error) error {
	pivot, _ := splitPivot(item.Path)
	top := *item
	top.Path = pivot
	plain := *f.c
	plain.Parents = false
	inner := &finder{c: &plain}
	return inner.each(ctx, &top, func(at *found) error {
		if !at.isDir() {
			return nil // a wildcard before the pivot may mean files too
		}
		at.item = item
		return do(at)
	})
}

// splitPivot gives the directory in which the names of --parents begin, and the
// pattern below it.
func splitPivot(p string) (pivot, pattern string) {
	pivot, pattern, ok := strings.Cut(p, "/./")
	if !ok {
		pivot, pattern = "/", p
	}
	return pivot, strings.TrimPrefix(filepath.Clean("/"+pattern), "/")
}

// open finds what a name without wildcards means. A symbolic link is followed; neither
// it nor what it leads to may be left out by .dockerignore.
func (f *finder) open(item *Item, name string) (*found, error) {
	root := item.From
	ignore := root.Ignore.matcher()
	check := func(real string) error {
		out, err := ignore.matches(real)
		if out && err == nil {
			err = errIgnored
		}
		return err
	}
	r := &resolver{root: root.Dir, link: check}
	s, err := r.find(name)
	if err != nil {
		return nil, notFound(root, name, err)
	}
	err = check(s.real())
	if s.gone && err == nil {
		err = unix.ENOENT
	}
	// An exception may mean something in the directory all the same.
	if err != nil && !(errors.Is(err, errIgnored) && s.isDir() && leadsTo(ignore.excepted, s.real())) {
		s.close()
		return nil, notFound(root, name, err)
	}
	at := &found{spot: s, item: item, base: path.Base(path.Clean("/" + name))}
	if s.isDir() {
		if err := at.makeReadable(); err != nil {
			at.close()
			return nil, err
		}
	}
	return at, nil
}

// makeReadable opens the directory again, to be read: not by its name.
func (f *found) makeReadable() error {
	fd, err := unix.Openat(f.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return api.Wrap("copy", f.shown(), err)
	}
	f.dirs = append(f.dirs, level{fd, ""})
	return nil
}

func notFound(root *Root, name string, err error) error {
	name = path.Clean("/" + name)
	if errors.Is(err, errIgnored) {
		return api.Errorf("copy", name, "left out of %s by .dockerignore", root.Shown).WithHint("add !%s to it", strings.TrimPrefix(name, "/"))
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		e := api.Errorf("copy", name, "not found in %s", root.Shown)
		e.Errno = unix.ENOENT
		return e
	}
	return api.Wrap("copy", name+" of "+root.Shown, err)
}

// glob gives the paths that wildcards mean, below a directory that is named without.
// No symbolic link is followed but those that lead to that directory.
func (f *finder) glob(ctx context.Context, item *Item, plain string, wildcards []string) ([]string, error) {
	for _, w := range wildcards {
		if _, err := filepath.Match(w, ""); err != nil {
			return nil, api.Errorf("copy", item.Path, "bad pattern %s", w)
		}
	}
	top, err := f.open(item, plain)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, errIgnored) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer top.close()
	if !top.isDir() {
		return nil, nil
	}
	g := &globber{ctx: ctx, ignore: item.From.Ignore.matcher(), shown: item.From.Shown}
	if err := g.dir(top.fd(), top.real(), plain, wildcards); err != nil {
		return nil, err
	}
	return g.names, nil
}

type globber struct {
	ctx    context.Context
	ignore matcher
	shown  string
	names  []string
}

// dir matches the names in a directory with the first of the patterns. real is its path
// without symbolic links, named the one to be found again by.
func (g *globber) dir(fd int, real, named string, wildcards []string) error {
	names, err := namesIn(fd)
	if err != nil {
		return api.Wrap("copy", g.shown+": /"+real, err)
	}
	for _, name := range names {
		if g.ctx.Err() != nil {
			return context.Cause(g.ctx)
		}
		if ok, _ := filepath.Match(wildcards[0], name); !ok {
			continue
		}
		if err := g.entry(fd, name, path.Join(real, name), path.Join(named, name), wildcards[1:]); err != nil {
			return err
		}
	}
	return nil
}

func (g *globber) entry(at int, name, real, named string, rest []string) error {
	out, err := g.ignore.matches(real)
	if err != nil {
		return err
	}
	if out && !leadsTo(g.ignore.excepted, real) {
		return nil
	}
	if len(rest) == 0 {
		if out {
			var st unix.Stat_t
			if unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
				return nil
			}
		}
		g.names = append(g.names, named)
		return nil
	}
	fd, err := openDir(at, name)
	if err != nil {
		return nil // no directory, or none any more
	}
	defer unix.Close(fd)
	return g.dir(fd, real, named, rest)
}

// openDir opens a directory to be read; a symbolic link is none.
func openDir(at int, name string) (int, error) {
	for {
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// namesIn gives the sorted names in a directory. The descriptor stays the caller's, at
// its beginning.
func namesIn(fd int) ([]string, error) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	d := os.NewFile(uintptr(again), ".")
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
