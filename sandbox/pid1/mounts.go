package pid1

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// mount makes one of the user's mounts.
func (b *box) mount(m *api.Mount) error {
	switch m.Type {
	case api.MountBind:
		return b.bind(m)
	case api.MountTmpfs:
		return b.tmpfs(m)
	}
	return api.Errorf("mount", m.Target, "unknown mount type %q", m.Type)
}

func (b *box) bind(m *api.Mount) error {
	o, err := parseBind(m)
	if err != nil {
		return err
	}
	source, dir, err := openSource(m)
	if err != nil {
		return err
	}
	defer unix.Close(source)
	tree, err := o.clone(source, m)
	if err != nil {
		return err
	}
	if o.overlay {
		var over int
		if over, err = b.overlay(tree, m); err == nil {
			unix.Close(tree)
			tree = over
		}
	}
	defer unix.Close(tree)
	if err != nil {
		return err
	}
	if o.chown {
		if err := b.giveAway(tree, m); err != nil {
			return err
		}
	}
	if err := o.restrict(tree); err != nil {
		return api.Wrap("bind", m.Source, err)
	}
	target, err := b.target(m.Target, dir)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return sys.Attach(tree, target)
}

// openSource opens a bind's source and compares it with what the caller saw: the
// supervisor's view of the host can be older than a mount of the caller's.
func openSource(m *api.Mount) (fd int, dir bool, err error) {
	fd, err = unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		hint := "the source of a bind must exist"
		if errors.Is(err, unix.EACCES) {
			hint = "you must be able to enter the directories above it; if you are root, everybody must, since root is in no sandbox"
		}
		return -1, false, api.Wrap("open", m.Source, err).WithHint("%s", hint)
	}
	var st unix.Stat_t
	// What stat says a file system may have said before its server died; this asks.
	if err = unix.Fstatfs(fd, new(unix.Statfs_t)); err != nil {
		err = sourceError(m, err)
	} else if err = unix.Fstat(fd, &st); err == nil && m.Ino != 0 && (st.Ino != m.Ino || uint64(st.Dev) != m.Dev) {
		err = api.Errorf("bind", m.Source, "here it is another file than the one you named").
			WithHint("it was mounted after sbx had started, or in another mount namespace: stop all sandboxes and try again in a minute")
	}
	if err == nil && m.Subpath != "" {
		// Another sandbox may write there: a link leads nowhere else, however fast it
		// is put in the place of a directory.
		var below int
		if below, err = sys.OpenInRoot(fd, m.Subpath, unix.O_PATH); err == nil {
			unix.Close(fd)
			fd = below
			err = unix.Fstat(fd, &st)
		} else {
			err = api.Wrap("open", m.Subpath, errors.Unwrap(err)).WithHint("the path must exist in the volume or image")
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, false, err
	}
	return fd, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

func sourceError(m *api.Mount, err error) error {
	e := api.Wrap("bind", m.Source, err)
	if errors.Is(err, unix.ENOTCONN) {
		e.WithHint("the FUSE server of it has died: unmount it with fusermount3 -u, and mount it again")
	}
	return e
}

func (b *box) tmpfs(m *api.Mount) error {
	attr := sys.NOSUID | sys.NODEV
	options := [][2]string{{"mode", "1777"}}
	for _, o := range strings.Split(m.Options, ",") {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "":
		case "ro":
			attr |= sys.RDONLY
		case "noexec":
			attr |= sys.NOEXEC
		case "suid":
			attr &^= sys.NOSUID
		case "noatime":
			attr |= unix.MOUNT_ATTR_NOATIME
		case "strictatime":
			attr |= unix.MOUNT_ATTR_STRICTATIME
		case "nodiratime":
			attr |= unix.MOUNT_ATTR_NODIRATIME
		// What is the case anyway; and where there is no disk, there is nothing to wait for.
		case "rw", "exec", "nosuid", "nodev", "atime", "diratime", "relatime", "norelatime", "nostrictatime", "sync", "async", "dirsync":
		case "mode":
			options[0][1] = value
		case "size", "nr_inodes", "nr_blocks", "uid", "gid", "huge":
			options = append(options, [2]string{key, value})
		default:
			return api.Errorf("mount tmpfs", m.Target, "unknown option %q", o).
				WithHint("known are size, mode, uid, gid, nr_inodes, nr_blocks, huge, ro, noexec, suid, noatime, strictatime, nodiratime")
		}
	}
	if m.ReadOnly {
		attr |= sys.RDONLY
	}
	mount, err := sys.NewMount("tmpfs", attr, b.owned(options...)...)
	if err != nil {
		return api.Wrap("mount tmpfs", m.Target, err)
	}
	defer unix.Close(mount)
	target, err := b.target(m.Target, true)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return sys.Attach(mount, target)
}

// target opens the place for a mount, and makes it where the image has nothing.
// Every step of the walk stays in the root, whatever links the image holds, so
// nothing is ever made on the host (CVE-2024-45310, CVE-2026-87766).
func (b *box) target(path string, dir bool) (int, error) {
	clean := strings.TrimPrefix(filepath.Clean("/"+path), "/")
	if clean == "" {
		return -1, api.Errorf("mount", "/", "the root itself cannot be replaced")
	}
	fd, err := b.make(clean, dir)
	if err != nil {
		e := api.Wrap("mount", "/"+clean, errors.Unwrap(err))
		if errors.Is(err, unix.EROFS) {
			e.WithHint("it does not exist and cannot be made in a read-only file system: choose a path that exists, or one below the home directory or /tmp")
		}
		return -1, e
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, os.NewSyscallError("fstat", err)
	}
	if isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR; isDir != dir {
		unix.Close(fd)
		kinds := map[bool]string{true: "a directory", false: "not a directory"}
		return -1, api.Errorf("mount", "/"+clean, "the source is %s, the target is %s", kinds[dir], kinds[isDir])
	}
	return fd, nil
}

func (b *box) make(path string, dir bool) (int, error) {
	if fd, err := sys.OpenInRoot(b.root, path, unix.O_PATH); !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	path, err := beyondLinks(b.root, path)
	if err != nil {
		return -1, err
	}
	if err := makeDirs(b.root, filepath.Dir(path)); err != nil {
		return -1, err
	}
	if dir {
		if err := makeDirs(b.root, path); err != nil {
			return -1, err
		}
	} else if err := makeFile(b.root, path); err != nil {
		return -1, err
	}
	return sys.OpenInRoot(b.root, path, unix.O_PATH)
}

// beyondLinks gives the path that is missing when path leads by way of symbolic
// links to nothing: what they name is to be made, as in a Debian image whose
// /etc/resolv.conf points into an empty /run. The result is a name only; it is
// opened within the root like any other.
func beyondLinks(root int, path string) (string, error) {
	for range 40 { // as the kernel, path_resolution(7)
		next, err := followOne(root, path)
		if err != nil || next == path {
			return path, err
		}
		path = next
	}
	return "", &os.PathError{Op: "openat2", Path: path, Err: unix.ELOOP}
}

// followOne replaces the first symbolic link of a path by what it says.
func followOne(root int, path string) (string, error) {
	parts := strings.Split(path, "/")
	for i := range parts {
		prefix := filepath.Join(parts[:i+1]...)
		fd, err := sys.OpenInRoot(root, prefix, unix.O_PATH|unix.O_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		to, err := sys.Readlink(fd, "")
		unix.Close(fd)
		if err == unix.ENOENT || err == unix.EINVAL {
			continue // no link
		}
		if err != nil {
			return "", &os.PathError{Op: "readlinkat", Path: "/" + prefix, Err: err}
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(prefix), to)
		}
		// Clean takes ".." off at the root, where the kernel would stay.
		return strings.TrimPrefix(filepath.Clean("/"+filepath.Join(to, filepath.Join(parts[i+1:]...))), "/"), nil
	}
	return path, nil
}

// makeDirs is mkdir -p with root as "/".
func makeDirs(root int, path string) error {
	if path == "." {
		return nil
	}
	if fd, err := sys.OpenInRoot(root, path, unix.O_PATH|unix.O_DIRECTORY); err == nil {
		return unix.Close(fd)
	} else if !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := makeDirs(root, filepath.Dir(path)); err != nil {
		return err
	}
	parent, err := sys.OpenInRoot(root, filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	// EEXIST: a dangling link, which the caller's open then reports.
	if err := unix.Mkdirat(parent, filepath.Base(path), 0o755); err != nil && err != unix.EEXIST {
		return &os.PathError{Op: "mkdirat", Path: "/" + path, Err: err}
	}
	return nil
}

func makeFile(root int, path string) error {
	parent, err := sys.OpenInRoot(root, filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	fd, err := unix.Openat(parent, filepath.Base(path), unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return &os.PathError{Op: "create", Path: "/" + path, Err: err}
	}
	return unix.Close(fd)
}
