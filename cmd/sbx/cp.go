package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sbx/api"
)

func newCopy() command {
	var o api.Copy
	return command{
		name: "cp", group: groupInside, args: "SANDBOX:PATH|FILE|- SANDBOX:PATH|FILE|-", min: 2, max: 2, names: wantPaths,
		short: "copy files between a sandbox, running or not, and the host; - is a tar archive",
		examples: `sbx cp web:/var/log/nginx ./logs
sbx cp page.html web:/usr/share/nginx/html/
tar c src | sbx cp - web:/work`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.Archive, "archive", "a", false, "keep owners, set-id bits and extended attributes")
			f.BoolVarP(&o.Follow, "follow-link", "L", false, "copy what a symbolic link as the source leads to")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "show no progress")
		},
		run: func(s streams, args []string) error { return copyFiles(s, o, args[0], args[1]) },
	}
}

func copyFiles(s streams, o api.Copy, from, to string) error {
	o.From, o.To = copyEnd(from), copyEnd(to)
	switch {
	case from == "" || to == "":
		return usageError{"neither source nor destination may be empty"}
	case o.From.Sandbox == "" && o.To.Sandbox == "":
		return usageError{"one of source and destination must be in a sandbox: SANDBOX:PATH"}
	case o.From.Sandbox != "" && o.From.Path == "" || o.To.Sandbox != "" && o.To.Path == "":
		return usageError{"there must be a path behind SANDBOX:"}
	}
	o.Quiet = o.Quiet || !isTerminal(s.err)
	var files []*os.File
	switch {
	case o.From.Sandbox == "":
		f, err := openSource(s, &o.From, o.Follow)
		if err != nil {
			return err
		}
		files = append(files, f)
	case o.To.Sandbox == "":
		f, err := openDestination(s, &o.To)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	if o.To.Stream { // what is said about it must not get into the archive
		s.out = s.err
	}
	_, err := ask(s, api.VerbCopy, o, files...)
	return err
}

// copyEnd tells a path in a sandbox from one of the host by Docker's rule: there is a
// colon, and in front of it no "/" first and no "." first.
func copyEnd(arg string) api.CopyEnd {
	name, path, inside := strings.Cut(arg, ":")
	if !inside || filepath.IsAbs(arg) || strings.HasPrefix(arg, ".") {
		return api.CopyEnd{Path: arg, Stream: arg == "-"}
	}
	return api.CopyEnd{Sandbox: name, Path: path}
}

func slashed(path string) bool { return strings.HasSuffix(path, "/") || filepath.Base(path) == "." }

// openSource opens what is copied, and gives it the name that it is to have: that
// which was typed, whatever a symbolic link leads to.
func openSource(s streams, e *api.CopyEnd, follow bool) (*os.File, error) {
	if e.Stream {
		if isTerminal(s.in) {
			return nil, &flagError{"standard input is a terminal: read the archive from a file or a pipe"}
		}
		return s.in, nil
	}
	flags := unix.O_PATH | unix.O_CLOEXEC
	switch {
	case slashed(e.Path):
		flags |= unix.O_DIRECTORY
	case !follow:
		flags |= unix.O_NOFOLLOW
	}
	path, err := filepath.Abs(e.Path)
	if err != nil {
		return nil, api.Wrap("copy", e.Path, err)
	}
	if e.Name = filepath.Base(path); e.Path == "." || strings.HasSuffix(e.Path, "/.") || path == "/" {
		e.Name = "."
	}
	f, err := os.OpenFile(e.Path, flags, 0)
	if err != nil {
		return nil, api.Wrap("copy", e.Path, errors.Unwrap(err))
	}
	return f, nil
}

// openDestination opens the directory that a copy goes to, or that it will be in. A
// symbolic link is followed, and what it names need not exist.
func openDestination(s streams, e *api.CopyEnd) (*os.File, error) {
	if e.Stream {
		if isTerminal(s.out) {
			return nil, &flagError{"standard output is a terminal: write the archive to a file or a pipe"}
		}
		return s.out, nil
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	e.Slash = slashed(e.Path)
	path := strings.TrimRight(e.Path, "/")
	if path == "" {
		path = "/"
	}
	for range 40 { // as the kernel, path_resolution(7)
		f, err := os.OpenFile(path, flags, 0)
		if err == nil {
			return f, nil
		}
		above, base := filepath.Split(path)
		target, unlinked := os.Readlink(path)
		switch {
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR), base == "." || base == ".." || base == "":
			return nil, api.Wrap("copy to", e.Path, errors.Unwrap(err))
		case unlinked != nil:
			if above == "" {
				above = "."
			}
			if f, err = os.OpenFile(above, flags, 0); err != nil {
				return nil, api.Wrap("copy to", e.Path, errors.Unwrap(err)).WithHint("the directory that it is to be in must exist")
			}
			e.Name = base
			return f, nil
		case filepath.IsAbs(target):
			path = target
		default:
			path = above + target // not cleaned: ".." behind a symbolic link is the kernel's to resolve
		}
	}
	return nil, api.Wrap("copy to", e.Path, unix.ELOOP)
}
