package files

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// maxLinks is how many symbolic links are followed, as by the kernel,
// path_resolution(7).
const maxLinks = 40

// spot is a place below a root that was reached part by part: the directories on the
// way, open, and what has the last name in the last one of them. It is where it says
// even if the directories are moved about meanwhile.
type spot struct {
	root *os.File
	dirs []level // below the root
	name string  // in the last one; empty: that directory itself
	st   unix.Stat_t
	gone bool // nothing has the name
}

type level struct {
	fd   int
	name string
}

// fd is the last directory.
func (s *spot) fd() int {
	if len(s.dirs) == 0 {
		return int(s.root.Fd())
	}
	return s.dirs[len(s.dirs)-1].fd
}

// real is the path below the root, without symbolic links; empty for the root itself.
func (s *spot) real() string {
	parts := make([]string, 0, len(s.dirs)+1)
	for _, d := range s.dirs {
		if d.name != "" { // that one is the directory before, open once more
			parts = append(parts, d.name)
		}
	}
	if s.name != "" {
		parts = append(parts, s.name)
	}
	return strings.Join(parts, "/")
}

func (s *spot) close() {
	for _, d := range s.dirs {
		unix.Close(d.fd)
	}
	s.dirs = nil
}

// isDir says that the spot is a directory, which is open.
func (s *spot) isDir() bool { return s.name == "" }

// resolver finds spots.
type resolver struct {
	root *os.File
	// link is asked before a symbolic link is followed, by its path without links; may
	// be nil.
	link func(real string) error
	// missing is called for a directory that is not there, and may make it; nil: it is an
	// error.
	missing func(at int, name, real string) error
}

// find resolves a path: "/" and ".." lead no further up than the root, symbolic links
// are followed, the last one too. What the last part names need not exist.
func (r *resolver) find(name string) (*spot, error) {
	s := &spot{root: r.root}
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if n := len(s.dirs); n > 0 {
				unix.Close(s.dirs[n-1].fd)
				s.dirs = s.dirs[:n-1]
			}
			continue
		}
		target, err := r.step(s, part, last(rest))
		if err == nil && target != "" {
			if links++; links > maxLinks {
				err = unix.ELOOP
			}
			if path.IsAbs(target) {
				s.close()
			}
			rest = append(strings.Split(target, "/"), rest...)
		}
		if err != nil {
			s.close()
			return nil, err
		}
		if s.name != "" {
			return s, nil
		}
	}
	if err := unix.Fstatat(s.fd(), "", &s.st, unix.AT_EMPTY_PATH); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// last says that nothing follows in a path.
func last(rest []string) bool {
	return !slices.ContainsFunc(rest, func(part string) bool { return part != "" && part != "." })
}

// step goes on to one part of a path, or gives what a symbolic link says.
func (r *resolver) step(s *spot, part string, end bool) (target string, err error) {
	fd, err := openNode(s.fd(), part)
	if errors.Is(err, unix.ENOENT) {
		if end {
			s.name, s.gone = part, true
			return "", nil
		}
		if r.missing == nil {
			return "", err
		}
		if err := r.missing(s.fd(), part, path.Join(s.real(), part)); err != nil {
			return "", err
		}
		fd, err = openNode(s.fd(), part)
	}
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return "", err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		s.dirs = append(s.dirs, level{fd, part})
		return "", nil
	case unix.S_IFLNK:
		defer unix.Close(fd)
		if r.link != nil {
			if err := r.link(path.Join(s.real(), part)); err != nil {
				return "", err
			}
		}
		return sys.Readlink(fd, "")
	}
	unix.Close(fd)
	if !end {
		return "", unix.ENOTDIR
	}
	s.name, s.st = part, st
	return "", nil
}

// openNode opens anything, without following a link or waiting.
func openNode(at int, name string) (int, error) {
	for {
		fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
