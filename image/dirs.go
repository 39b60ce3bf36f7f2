package image

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// dirs are the directories of a layer that is being unpacked, by descriptor. Every
// walk is done by the kernel with the layer as "/", so that a symbolic link of the
// layer leads to nowhere else, and a name of the layer never becomes part of a path
// of the host. Most entries follow their directory: a few are kept open.
type dirs struct {
	root     *openDir
	top      string // path of root, as /proc says
	open     map[string]*openDir
	order    []string            // of open, least recently used first
	doomed   []*openDir          // forgotten, but perhaps in use until the next get
	symlinks map[string]struct{} // real names of symbolic links in the layer
	umask    uint32              // of this process
	leave    bool                // do not make a directory of a whiteout
}

// maxDirs is how many directories of one layer are kept open.
const maxDirs = 16

type openDir struct {
	fd   int
	real string // without symbolic links, from the root of the layer; "" for the root
}

// child is the real name of base in d.
func (d *openDir) child(base string) string { return path.Join(d.real, base) }

// openDirs takes the directory at path as the root.
func openDirs(path string, umask uint32) (*dirs, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	d := &dirs{root: &openDir{fd: fd}, open: map[string]*openDir{}, symlinks: map[string]struct{}{}, umask: umask}
	if d.top, err = os.Readlink(procFD(fd)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

// Close closes all descriptors.
func (d *dirs) Close() {
	d.forget()
	d.bury()
	unix.Close(d.root.fd)
}

// forget is called when a name may now stand for another directory.
func (d *dirs) forget() {
	for _, sub := range d.open {
		d.doomed = append(d.doomed, sub)
	}
	clear(d.open)
	d.order = d.order[:0]
}

// bury closes what was forgotten.
func (d *dirs) bury() {
	for _, sub := range d.doomed {
		unix.Close(sub.fd)
	}
	d.doomed = d.doomed[:0]
}

func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// get opens the directory of a cleaned name, "" for the root. It makes what is
// missing, as root's and with mode 0755. The result is good until the next call.
func (d *dirs) get(name string) (*openDir, error) {
	d.bury()
	return d.walk(name, 0)
}

// getDeleted is get for something to be deleted. It fails with ENOTDIR where a
// directory above is.
func (d *dirs) getDeleted(name string) (*openDir, error) {
	d.leave = true
	defer func() { d.leave = false }()
	return d.get(name)
}

func (d *dirs) walk(name string, links int) (*openDir, error) {
	if name == "" {
		return d.root, nil
	}
	if sub := d.open[name]; sub != nil {
		if last := len(d.order) - 1; d.order[last] != name {
			d.used(name)
		}
		return sub, nil
	}
	sub, err := d.existing(name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		sub, err = d.make(name, links)
	}
	if err != nil {
		return nil, err
	}
	if len(d.order) == maxDirs {
		oldest := d.order[0]
		unix.Close(d.open[oldest].fd)
		delete(d.open, oldest)
		d.order = append(d.order[:0], d.order[1:]...)
	}
	if had := d.open[name]; had != nil { // by way of make
		unix.Close(sub.fd)
		return had, nil
	}
	d.open[name] = sub
	d.order = append(d.order, name)
	return sub, nil
}

func (d *dirs) used(name string) {
	for i, n := range d.order {
		if n == name {
			d.order = append(append(d.order[:i], d.order[i+1:]...), name)
			return
		}
	}
}

func (d *dirs) existing(name string) (*openDir, error) {
	fd, err := sys.OpenInRoot(d.root.fd, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	sub := &openDir{fd: fd, real: name}
	if d.through(name) {
		at, err := os.Readlink(procFD(fd))
		if err == nil && at != d.top && !strings.HasPrefix(at, d.top+"/") {
			err = fmt.Errorf("the directory %q is outside of the layer", name)
		}
		if err != nil {
			unix.Close(fd)
			return nil, err
		}
		sub.real = strings.TrimPrefix(strings.TrimPrefix(at, d.top), "/")
	}
	return sub, nil
}

// through says that name may be reached by a symbolic link.
func (d *dirs) through(name string) bool {
	if len(d.symlinks) == 0 {
		return false
	}
	for i := range len(name) + 1 {
		if i == len(name) || name[i] == '/' {
			if _, ok := d.symlinks[name[:i]]; ok {
				return true
			}
		}
	}
	return false
}

// make makes the directory name, which get has not found.
func (d *dirs) make(name string, links int) (*openDir, error) {
	above, base := split(name)
	parent, err := d.walk(above, links)
	if err != nil {
		return nil, err
	}
	real := parent.child(base)
	err = d.mkdir(parent, base)
	if errors.Is(err, unix.EEXIST) {
		return d.inTheWay(parent, base, links)
	}
	if err != nil {
		return nil, err
	}
	return d.existing(real)
}

func (d *dirs) mkdir(parent *openDir, base string) error {
	const mode = 0o755
	if err := unix.Mkdirat(parent.fd, base, mode); err != nil {
		return &os.PathError{Op: "mkdir", Path: parent.child(base), Err: err}
	}
	if mode&d.umask == 0 {
		return nil
	}
	if err := unix.Fchmodat(parent.fd, base, mode, 0); err != nil {
		return &os.PathError{Op: "chmod", Path: parent.child(base), Err: err}
	}
	return nil
}

// inTheWay handles what is there under the name of a directory, and is none: a
// whiteout, which stands for a directory that was deleted and made again, or a
// symbolic link to something that is not in this layer.
func (d *dirs) inTheWay(parent *openDir, base string, links int) (*openDir, error) {
	real := parent.child(base)
	var st unix.Stat_t
	if err := unix.Fstatat(parent.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, &os.PathError{Op: "stat", Path: real, Err: err}
	}
	switch {
	case isWhiteout(&st) && !d.leave:
		if err := unix.Unlinkat(parent.fd, base, 0); err != nil {
			return nil, &os.PathError{Op: "unlink", Path: real, Err: err}
		}
		if err := d.mkdir(parent, base); err != nil {
			return nil, err
		}
		if err := setOpaque(parent, base); err != nil {
			return nil, err
		}
		return d.existing(real)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR: // its name was given through symbolic links
		return d.existing(real)
	case st.Mode&unix.S_IFMT != unix.S_IFLNK:
		return nil, &os.PathError{Op: "open", Path: real, Err: unix.ENOTDIR}
	case links == 40: // as the kernel counts
		return nil, &os.PathError{Op: "open", Path: real, Err: unix.ELOOP}
	}
	to := make([]byte, pathMax+1)
	n, err := unix.Readlinkat(parent.fd, base, to)
	if err != nil {
		return nil, &os.PathError{Op: "readlink", Path: real, Err: err}
	}
	target := string(to[:n])
	if !path.IsAbs(target) {
		target = path.Join("/", parent.real, target)
	}
	sub, err := d.walk(strings.TrimPrefix(path.Clean(target), "/"), links+1)
	if err != nil {
		return nil, err
	}
	// The caller owns what it gets: the other name has a descriptor of its own.
	return d.existing(orDot(sub.real))
}

func orDot(name string) string {
	if name == "" {
		return "."
	}
	return name
}

// split cuts a cleaned name in directory and base.
func split(name string) (dir, base string) {
	dir, base = path.Split(name)
	return strings.TrimSuffix(dir, "/"), base
}

// setOpaque hides what layers below have in the directory. With userxattr, the only
// way to mount it in a user namespace, overlay looks for this attribute.
func setOpaque(d *openDir, base string) error {
	path := procFD(d.fd) + "/" + base
	err := unix.Lsetxattr(path, "user.overlay.opaque", []byte("y"), 0)
	if err == unix.EPERM || err == unix.EOPNOTSUPP {
		// On an overlay of another user namespace's this one is taken. No overlay of the
		// kernel's can be mounted above it.
		err = unix.Lsetxattr(path, "user.fuseoverlayfs.opaque", []byte("y"), 0)
	}
	if err != nil {
		return &os.PathError{Op: "setxattr", Path: d.child(base), Err: err}
	}
	return nil
}
