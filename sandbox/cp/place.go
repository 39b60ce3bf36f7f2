package cp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// Object is what is copied: a file of any kind, or a directory with all that is in
// it.
type Object struct {
	File *os.File // O_PATH
	Name string   // what it is called in a directory; "." stands for what is in it, without itself
	Path string   // as the user named it, for messages
}

// Place is where something goes.
type Place struct {
	Dir   *os.File // O_PATH, a directory
	Name  string   // in Dir; empty: Dir itself was named
	Slash bool     // a directory was asked for
	Path  string   // as the user named it, for messages
}

// named cuts a path from the user into what is opened and what it is called. dot
// says that it means what is in a directory, slash that it must be one.
func named(path string) (clean string, dot, slash bool) {
	clean = filepath.Clean("/" + path)
	dot = path == "." || strings.HasSuffix(path, "/.") || clean == "/"
	return clean, dot, dot || strings.HasSuffix(path, "/")
}

// Find opens what is to be copied of the sandbox whose root is given. A symbolic
// link is copied itself, unless follow is set or a slash behind it asks for the
// directory.
func Find(root *os.File, path, shown string, follow bool) (*Object, error) {
	clean, dot, slash := named(path)
	flags := unix.O_PATH
	if !follow && !slash {
		flags |= unix.O_NOFOLLOW
	}
	if slash {
		flags |= unix.O_DIRECTORY
	}
	fd, err := sys.OpenInRoot(int(root.Fd()), clean, flags)
	if err != nil {
		if kernels(root, clean) {
			return nil, unreadable(shown)
		}
		return nil, api.Wrap("copy", shown, cause(err))
	}
	name := filepath.Base(clean)
	if dot {
		name = "."
	}
	return &Object{File: os.NewFile(uintptr(fd), clean), Name: name, Path: shown}, nil
}

// kernels says that the first part of a path leads to files of the kernel: what is
// there for a process is not there for us.
func kernels(root *os.File, clean string) bool {
	first, _, _ := strings.Cut(clean[1:], "/")
	fd, err := sys.OpenInRoot(int(root.Fd()), "/"+first, unix.O_PATH)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), first)
	defer f.Close()
	return Pseudo(f)
}

// maxLinks is how many symbolic links are followed, as by the kernel,
// path_resolution(7).
const maxLinks = 40

// Locate finds where in the sandbox whose root is given something is to go. A
// symbolic link at the end is followed, and what it names need not exist.
func Locate(root *os.File, path, shown string) (*Place, error) {
	clean, _, slash := named(path)
	at := int(root.Fd())
	for range maxLinks {
		fd, err := sys.OpenInRoot(at, clean, unix.O_PATH|unix.O_DIRECTORY)
		if err == nil {
			return &Place{Dir: os.NewFile(uintptr(fd), clean), Slash: slash, Path: shown}, nil
		}
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return nil, api.Wrap("copy to", shown, cause(err))
		}
		// Not cleaned: ".." behind a symbolic link is the kernel's to resolve.
		cut := strings.LastIndexByte(clean, '/')
		above, base := clean[:cut+1], clean[cut+1:]
		fd, err = sys.OpenInRoot(at, above, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return nil, noParent(shown, cause(err))
		}
		target, err := sys.Readlink(fd, base)
		if err != nil {
			if base == "" || base == "." || base == ".." {
				unix.Close(fd)
				return nil, api.Wrap("copy to", shown, unix.ENOTDIR)
			}
			return &Place{Dir: os.NewFile(uintptr(fd), above), Name: base, Slash: slash, Path: shown}, nil
		}
		unix.Close(fd)
		if clean = above + target; filepath.IsAbs(target) {
			clean = target
		}
	}
	return nil, api.Wrap("copy to", shown, unix.ELOOP)
}

func noParent(shown string, err error) error {
	e := api.Wrap("copy to", shown, err)
	if errors.Is(err, unix.ENOENT) {
		e.WithHint("the directory that it is to be in must exist")
	}
	return e
}

// settle applies docker cp's rules. name is what is made in Dir; it is empty when
// the source's content goes into Dir itself.
func (p *Place) settle(src *Object, dir bool) (name string, err error) {
	if p.Name == "" {
		switch {
		case src.Name == "." && dir:
			return "", nil
		case src.Name == ".":
			return "", api.Wrap("copy", src.Path, unix.ENOTDIR)
		}
		return src.Name, nil
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(int(p.Dir.Fd()), p.Name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == unix.ENOENT && p.Slash && !dir:
		return "", api.Errorf("copy to", p.Path, "no such directory").WithHint("make it, or leave the slash out")
	case err == unix.ENOENT:
		return p.Name, nil
	case err != nil:
		return "", api.Wrap("copy to", p.Path, err)
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR: // made a moment ago
	case dir:
		return "", api.Errorf("copy to", p.Path, "a directory cannot be copied to a file").
			WithHint("%s is a directory: name one for it, or a new name", src.Path)
	case p.Slash:
		return "", api.Wrap("copy to", p.Path, unix.ENOTDIR)
	case kind != unix.S_IFREG && kind != unix.S_IFLNK:
		return "", api.Errorf("copy to", p.Path, "it is %s: the destination must be a directory or a regular file", kindName(st.Mode))
	}
	return p.Name, nil
}

func kindName(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device node"
	}
	return "a file"
}

// cause takes the path off an error of a system call: the caller has a better one.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
