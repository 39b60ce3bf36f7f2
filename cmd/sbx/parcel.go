package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// parcel is what travels with a build: files that the command line opens, since the
// supervisor may see others, or none, under their names.
type parcel struct {
	files    []*os.File
	outs     []*outFile // of which the files are given to the supervisor
	toStdout bool       // the result goes to standard output
}

// pack opens the files in the order that api.Build says.
func (p *parcel) pack(s streams, o *buildFlags, context string) error {
	for _, step := range [...]func() error{
		func() error { return p.context(s, &o.Build, context) },
		func() error { return p.dockerfile(s, o, context) },
		func() error { return p.ignored(o) },
		func() error { return p.contexts(o) },
		func() error { return p.secrets(o) },
		func() error { return p.keys(o) },
		func() error { return p.output(s, o) },
		func() error { return p.metadata(o) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if len(p.files) > maxParcel {
		return &flagError{"more secrets and contexts than fit one request"}
	}
	return nil
}

// maxParcel is a few less than the files of a packet.
const maxParcel = 60

// open adds a file.
func (p *parcel) open(path string, flags int) error {
	f, err := os.OpenFile(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return api.Wrap("open", path, errors.Unwrap(err))
	}
	p.files = append(p.files, f)
	return nil
}

// stdin adds standard input.
func (p *parcel) stdin(s streams) error {
	if isTerminal(s.in) {
		return &flagError{"standard input is a terminal: give a file or a pipe"}
	}
	p.files = append(p.files, s.in)
	return nil
}

// context finds out what kind of context it is.
func (p *parcel) context(s streams, b *api.Build, context string) error {
	b.Where = context
	switch {
	case context == "-":
		b.Context = api.ContextArchive
		return p.stdin(s)
	case isGit(context):
		b.Context, b.URL = api.ContextGit, context
		return nil
	case strings.HasPrefix(context, "http://") || strings.HasPrefix(context, "https://"):
		b.Context, b.URL = api.ContextHTTP, context
		return nil
	}
	st, err := os.Stat(context)
	switch {
	case err != nil && strings.HasPrefix(context, "github.com/"):
		b.Context, b.URL = api.ContextGit, context
		return nil
	case err != nil:
		return api.Wrap("open the context", context, errors.Unwrap(err))
	case st.IsDir():
		b.Context = api.ContextDir
		return p.open(context, unix.O_PATH|unix.O_DIRECTORY)
	}
	b.Context = api.ContextArchive
	return p.open(context, os.O_RDONLY)
}

// isGit knows the URLs that Docker takes for repositories.
func isGit(url string) bool {
	for _, prefix := range [...]string{"git://", "ssh://", "git@", "file://"} {
		if strings.HasPrefix(url, prefix) {
			return true
		}
	}
	path, _, _ := strings.Cut(url, "#")
	return strings.HasSuffix(path, ".git") && (strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://"))
}

// dockerfile opens the Dockerfile that belongs to a directory, or comes by standard
// input, and the .dockerignore of its own. In other contexts its name is looked for.
func (p *parcel) dockerfile(s streams, o *buildFlags, context string) error {
	path := o.file
	switch {
	case path == "-" && context == "-":
		return &flagError{"standard input cannot be the context and the Dockerfile"}
	case path == "-":
		o.Dockerfile, o.DockerfileFile = "Dockerfile", true
		return p.stdin(s)
	case o.Context != api.ContextDir:
		o.Dockerfile = path
		return nil
	}
	if o.Dockerfile = path; path == "" {
		var err error
		if o.Dockerfile, err = usualDockerfile(context); err != nil {
			return err
		}
		path = filepath.Join(context, o.Dockerfile)
	}
	o.DockerfileFile = true
	if err := p.open(path, os.O_RDONLY); err != nil {
		return err
	}
	if own := path + ".dockerignore"; o.ignoreFile == "" && isFile(own) {
		o.ignoreFile = own
	}
	return nil
}

// usualDockerfile gives the name that the Dockerfile of a directory has.
func usualDockerfile(dir string) (string, error) {
	for _, name := range [...]string{"Dockerfile", "Containerfile"} {
		if isFile(filepath.Join(dir, name)) {
			return name, nil
		}
	}
	return "", api.Errorf("open the Dockerfile", "", "no Dockerfile and no Containerfile in %s", dir).WithHint("give its name with -f")
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func (p *parcel) ignored(o *buildFlags) error {
	if o.ignoreFile == "" {
		return nil
	}
	o.IgnoreFile = true
	return p.open(o.ignoreFile, os.O_RDONLY)
}

// contexts reads --build-context. What is no URL is a directory.
func (p *parcel) contexts(o *buildFlags) error {
	for _, text := range o.contexts {
		name, value, _ := strings.Cut(text, "=")
		if name == "" || value == "" {
			return invalid("--build-context", text, "expected NAME=DIR or NAME=URL")
		}
		c := api.BuildContext{Name: name, Value: value}
		var err error
		if dir, ok := strings.CutPrefix(value, "oci-layout://"); ok {
			dir, err = absolute("--build-context", dir)
			c.Value = "oci-layout://" + dir
		} else if c.Dir = !strings.Contains(value, "://") && !strings.HasPrefix(value, "target:") && !isGit(value); c.Dir {
			err = p.open(value, unix.O_PATH|unix.O_DIRECTORY)
		}
		if err != nil {
			return err
		}
		o.Contexts = append(o.Contexts, c)
	}
	return nil
}
