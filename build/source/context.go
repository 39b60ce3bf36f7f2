package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"github.com/moby/patternmatcher/ignorefile"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/build/files"
	"sbx/image"
	"sbx/internal/sys"
	"sbx/sandbox/cp"
)

// Files are those that come with a request; nil: it does not come.
type Files struct{ Context, Dockerfile, Ignore *os.File }

// Context is what a build, or a part of one, copies from.
type Context struct {
	root    files.Root
	tree    *Tree // what was fetched
	private *private
	name    string
	text    []byte
	ignored []string
}

// Root is the context without what .dockerignore leaves out.
func (c *Context) Root() *files.Root { return &c.root }

// Dockerfile is the text of the Dockerfile, and its name for messages.
func (c *Context) Dockerfile() (name string, text []byte) { return c.name, c.text }

// Ignored are the patterns of .dockerignore.
func (c *Context) Ignored() []string { return c.ignored }

// Close removes what was made for the context.
func (c *Context) Close() error {
	if c.tree != nil {
		return c.tree.Close()
	}
	return c.private.Close()
}

// Open gets the context and the Dockerfile of a build.
func Open(ctx context.Context, b *api.Build, from Files, o Options) (*Context, error) {
	c, err := open(ctx, b, from, &o)
	if err != nil {
		return nil, err
	}
	err = c.findDockerfile(b, from.Dockerfile)
	if err == nil {
		err = c.findIgnore(from.Ignore, !b.DockerfileFile)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func open(ctx context.Context, b *api.Build, from Files, o *Options) (*Context, error) {
	switch b.Context {
	case api.ContextDir:
		return &Context{root: files.Root{Dir: from.Context, Shown: "the context", Hashes: o.Hashes}}, nil
	case api.ContextArchive:
		return openStream(ctx, from.Context, b.Where, o)
	case api.ContextGit, api.ContextHTTP:
		return openURL(ctx, b.URL, o)
	}
	return nil, api.Errorf("build", b.Where, "unknown kind of context %q", b.Context)
}

// OpenDir is for a further context that is a directory, which stays the caller's.
func OpenDir(dir *os.File, shown string, o Options) (*Context, error) {
	c := &Context{root: files.Root{Dir: dir, Shown: shown, Hashes: o.Hashes}}
	return c, c.findIgnore(nil, false)
}

// OpenURL is for a further context that is a git repository, an archive or a file.
func OpenURL(ctx context.Context, url string, o Options) (*Context, error) {
	c, err := openURL(ctx, url, &o)
	if err != nil {
		return nil, err
	}
	if err := c.findIgnore(nil, false); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func openURL(ctx context.Context, url string, o *Options) (*Context, error) {
	if IsGit(url, true) {
		t, err := fetchGit(ctx, url, gitOptions{context: true}, o)
		if err != nil {
			return nil, err
		}
		if err := t.ready(ctx); err != nil {
			return nil, errors.Join(err, t.Close())
		}
		return &Context{root: files.Root{Dir: t.root.Dir, Shown: "the context"}, tree: t}, nil
	}
	t, err := FetchHTTP(ctx, url, "", *o)
	if err != nil {
		return nil, err
	}
	if err := t.ready(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	f, err := os.Open(path.Join(t.private.path, t.Name))
	if err != nil {
		return nil, errors.Join(api.Wrap("open", url, err), t.Close())
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, peeked)
	packed, err := isArchive(in)
	if err == nil && packed {
		var c *Context
		if c, err = unpack(ctx, in, url, o); err == nil {
			return c, t.Close()
		}
	}
	if err != nil {
		return nil, errors.Join(api.Wrap("read", url, err), t.Close())
	}
	// The only file is the Dockerfile, or what the further context consists of.
	return &Context{root: files.Root{Dir: t.private.dir, Shown: "the context"}, tree: t, name: t.Name}, nil
}

// peeked is how much of a stream is looked at.
const peeked = 64 << 10

// openStream reads a context from standard input: an archive, or a Dockerfile alone.
func openStream(ctx context.Context, r io.Reader, where string, o *Options) (*Context, error) {
	in := bufio.NewReaderSize(cp.Reader(ctx, r), peeked)
	packed, err := isArchive(in)
	if err != nil {
		return nil, api.Wrap("read context", where, err)
	}
	if packed {
		return unpack(ctx, in, where, o)
	}
	text, err := readText(in, where)
	if err != nil {
		return nil, err
	}
	p, err := o.private()
	if err != nil {
		return nil, err
	}
	return &Context{root: files.Root{Dir: p.dir, Shown: "the context, which is a Dockerfile alone"}, private: p, name: "Dockerfile", text: text}, nil
}

// isArchive says whether a stream begins as a tar archive does, packed or not.
func isArchive(in *bufio.Reader) (bool, error) {
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return image.IsArchive(head), nil
}

// unpack makes a context of an archive.
func unpack(ctx context.Context, r io.Reader, where string, o *Options) (*Context, error) {
	p, err := o.private()
	if err != nil {
		return nil, err
	}
	z, err := image.Decompress(r)
	if err == nil {
		err = cp.Extract(ctx, z, p.dir, "/", where, cp.Options{
			Replace: true, Archive: where,
			Owners:   func(int, int) (int, int) { return 0, 0 }, // what is copied from a context becomes root's
			Progress: func(done int64) { o.progress(done, 0) },
		})
		z.Close()
	}
	if err != nil {
		return nil, errors.Join(api.Wrap("read context", where, err), p.Close())
	}
	return &Context{root: files.Root{Dir: p.dir, Shown: "the context"}, private: p}, nil
}

// mostText bounds a Dockerfile and a .dockerignore.
const mostText = 8 << 20

func readText(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostText+1))
	switch {
	case err != nil:
		return nil, api.Wrap("read", name, err)
	case len(text) > mostText:
		return nil, api.Errorf("read", name, "it has more than 8 MiB, which no Dockerfile has")
	case bytes.IndexByte(text, 0) >= 0:
		return nil, api.Errorf("read", name, "neither text nor a tar archive").
			WithHint("give it a Dockerfile, or a tar archive, plain or packed with gzip, bzip2, xz or zstd")
	}
	return text, nil
}

// readIn reads a file of the context, which may be hostile.
func (c *Context) readIn(name string) ([]byte, error) {
	fd, err := sys.OpenInRoot(int(c.root.Dir.Fd()), "/"+name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, api.Errorf("read", name, "in the context it is no file")
	}
	return readText(f, name)
}

// findDockerfile reads the Dockerfile, which comes with the request, was the context,
// or is in it.
func (c *Context) findDockerfile(b *api.Build, file *os.File) (err error) {
	if file != nil {
		c.name = b.Dockerfile
		c.text, err = readText(file, b.Dockerfile)
		return err
	}
	if c.text != nil {
		return nil
	}
	names := []string{b.Dockerfile}
	if b.Dockerfile == "" {
		names = []string{"Dockerfile", "dockerfile", "Containerfile"}
		if c.name != "" {
			names = []string{c.name}
		}
	}
	for _, c.name = range names {
		c.text, err = c.readIn(c.name)
		if !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return api.Errorf("build", b.Where, "no %s in the context", names[0]).WithHint("name it with -f")
	}
	if err != nil {
		return api.Wrap("read", c.name, err)
	}
	return nil
}

// findIgnore reads what is left out of the context: the file that comes with the
// request, else the one beside the Dockerfile, else the one of the context.
func (c *Context) findIgnore(file *os.File, beside bool) (err error) {
	name, text := "<Dockerfile>.dockerignore", []byte(nil)
	if file != nil {
		text, err = readText(file, name)
	} else {
		names := []string{".dockerignore", ".containerignore"}
		if beside && c.name != "" {
			names = append([]string{c.name + ".dockerignore"}, names...)
		}
		for _, name = range names {
			if text, err = c.readIn(name); !errors.Is(err, unix.ENOENT) {
				break
			}
		}
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
	}
	if err != nil {
		return api.Wrap("read", name, err)
	}
	if c.ignored, err = ignorefile.ReadAll(bytes.NewReader(text)); err == nil {
		c.root.Ignore, err = files.NewPatterns(c.ignored)
	}
	if err != nil {
		return api.Errorf("read", name, "%s", strings.TrimSpace(err.Error()))
	}
	return nil
}
