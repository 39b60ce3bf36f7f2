package image

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// replaced are files that a later entry of the same layer took the name of. They
// are moved aside, because the bytes of the archive cannot be made again without.
type replaced struct {
	path  string // of the directory for them, made when needed
	fd    int    // of it; 0: none yet
	count int
	moves map[string][]move // by real name, oldest first
}

// move is one file or directory with all that was in it.
type move struct {
	before int // the number of tar-split entries there were
	as     int // its name below path
}

// keep moves base aside.
func (r *replaced) keep(d *openDir, base string, entries int) error {
	if r.fd == 0 {
		if err := os.Mkdir(r.path, 0o700); err != nil {
			return err
		}
		fd, err := unix.Open(r.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: r.path, Err: err}
		}
		r.fd, r.moves = fd, map[string][]move{}
	}
	name := d.child(base)
	if err := unix.Renameat(d.fd, base, r.fd, strconv.Itoa(r.count)); err != nil {
		return &os.PathError{Op: "rename", Path: name, Err: err}
	}
	r.moves[name] = append(r.moves[name], move{entries, r.count})
	r.count++
	return nil
}

// find opens the file that tar-split's entry number at is about, if it was moved:
// the first move after the entry was made, of the file or a directory above it.
// It returns nil for a file that is still in its place.
func (r *replaced) find(at int, name string) (*os.File, error) {
	var first *move
	var rest string
	for end := len(name); end > 0; end = strings.LastIndexByte(name[:end], '/') {
		list := r.moves[name[:end]]
		i, _ := slices.BinarySearchFunc(list, at, func(m move, at int) int { return m.before - at - 1 })
		if i < len(list) && (first == nil || list[i].before < first.before) {
			first, rest = &list[i], name[end:]
		}
	}
	if first == nil {
		return nil, nil
	}
	fd, err := sys.OpenInRoot(r.fd, strconv.Itoa(first.as)+rest, unix.O_RDONLY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Close forgets the files.
func (r *replaced) Close() error {
	if r.fd == 0 {
		return nil
	}
	return errors.Join(unix.Close(r.fd), os.RemoveAll(filepath.Clean(r.path)))
}
