package build

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/fuse-overlay"
	"sbx/internal/sys"
)

// stub is a place for a mount that the sandbox has to make, and that is not to be in
// the layer: BuildKit calls it so.
type stub struct {
	path  string // without symbolic links, relative to the root
	there string // how much of it the layers below have; "": nothing but the root
}

// findStubs finds the targets of mounts that are not there.
func (m *mounting) findStubs() error {
	root, err := m.j.c.OpenLayers(append(links(m.layers), below+"base"))
	if err != nil {
		return err
	}
	defer root.Close()
	for _, w := range m.run.Mounts {
		there, missing, err := walk(int(root.Fd()), w.Target)
		// What is wrong with a path the sandbox will say.
		if err == nil && missing != "" {
			m.stubs = append(m.stubs, stub{path.Join(there, missing), there})
		}
	}
	return nil
}

// mostLinks is how many symbolic links a path may lead through, as the kernel has it.
const mostLinks = 40

// walk gives the part of a path that is there, without symbolic links, and the rest.
func walk(root int, name string) (there, missing string, err error) {
	rest := strings.Split(path.Clean("/" + name)[1:], "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			there = strings.TrimPrefix(path.Dir("/"+there), "/")
			continue
		}
		at := path.Join(there, part)
		fd, err := sys.OpenInRoot(root, at, unix.O_PATH|unix.O_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			return there, path.Join(append([]string{part}, rest...)...), nil
		}
		if err != nil {
			return "", "", err
		}
		to, err := sys.Readlink(fd, "")
		unix.Close(fd)
		if err == unix.ENOENT || err == unix.EINVAL { // no link
			there = at
			continue
		}
		if err != nil {
			return "", "", err
		}
		if links++; links > mostLinks {
			return "", "", unix.ELOOP
		}
		if path.IsAbs(to) {
			there = ""
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return there, "", nil
}

// tidy removes the stubs from what the step has changed, where nobody has used them,
// and directories that are there only because of them.
func (m *mounting) tidy() error {
	if len(m.stubs) == 0 {
		return nil
	}
	lower, err := m.j.c.OpenLayers(append(links(m.layers), below+"base"))
	if err != nil {
		return err
	}
	defer lower.Close()
	upper, err := os.Open(m.dir.upper())
	if err != nil {
		return err
	}
	defer upper.Close()
	for _, s := range m.stubs {
		for at := s.path; at != "." && at != ""; at = path.Dir(at) {
			made := at != s.there && !strings.HasPrefix(s.there+"/", at+"/")
			gone, err := removeStub(int(upper.Fd()), int(lower.Fd()), at, made)
			if err != nil {
				return err
			}
			if !gone {
				break
			}
		}
	}
	return nil
}

// removeStub removes an empty file or directory of an upper directory: one that was
// made as a stub, or one that hides the same of the layers below.
func removeStub(upper, lower int, name string, made bool) (bool, error) {
	parent, err := unix.Openat2(upper, filepath.Dir(name), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return false, nil // the program has put something else there
	}
	defer unix.Close(parent)
	base := filepath.Base(name)
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err == unix.ENOENT, nil
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !made && (!isDir || !sameAsBelow(parent, lower, base, name, &st)) {
		return false, nil
	}
	switch {
	case isDir:
		err = unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
		if err == unix.ENOTEMPTY {
			return false, nil
		}
	case st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0:
		err = unix.Unlinkat(parent, base, 0)
	default:
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "unlink", Path: name, Err: err}
	}
	return true, nil
}

// sameAsBelow says that a directory of the upper one says nothing about itself that the
// one below does not say, times aside.
func sameAsBelow(parent, lower int, base, name string, st *unix.Stat_t) bool {
	below, err := sys.OpenInRoot(lower, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	defer unix.Close(below)
	var old unix.Stat_t
	if unix.Fstat(below, &old) != nil || old.Mode != st.Mode || old.Uid != st.Uid || old.Gid != st.Gid {
		return false
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	dir := os.NewFile(uintptr(fd), base)
	defer dir.Close()
	opaque, err := fuseoverlay.Kernel.Opaque(dir)
	return err == nil && !opaque
}
