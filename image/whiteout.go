package image

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// namedFile is there if layers of the store have whiteouts by name.
const namedFile = "whiteouts-by-name"

// NeedsProgram says that only fuse-overlayfs can mount the layers of the store at
// graphRoot: they were unpacked on a file system, such as an overlay, that cannot have
// the device by which the kernel marks what is deleted.
func NeedsProgram(graphRoot string) (bool, error) {
	_, err := os.Lstat(filepath.Join(graphRoot, namedFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isWhiteout says that an entry of a layer is a whiteout: the device, or while the
// layer is unpacked the socket that stands for it where there is no such device. No
// archive has sockets.
func isWhiteout(st *unix.Stat_t) bool {
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFCHR && st.Rdev == 0 || kind == unix.S_IFSOCK
}

// makeWhiteout makes one, or what stands for it, which stood says; it must be named then.
// With program it may: see OpenWith.
func makeWhiteout(dir int, base string, program bool) (stood bool, err error) {
	// Linux 5.8 lets everybody make this one device, because it is none.
	err = unix.Mknodat(dir, base, unix.S_IFCHR, 0)
	if !program || err != unix.EPERM && err != unix.EOPNOTSUPP {
		return false, err
	}
	return true, unix.Mknodat(dir, base, unix.S_IFSOCK|0o600, 0)
}

// nameWhiteout makes of what stands for a whiteout one that fuse-overlayfs knows by its
// name.
func nameWhiteout(dir int, base string) error {
	fd, err := unix.Openat(dir, whiteout+base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	unix.Close(fd)
	return unix.Unlinkat(dir, base, 0)
}

// nameWhiteouts does so with all of the layer.
func (u *unpacker) nameWhiteouts() error {
	for _, name := range u.stood {
		above, base := split(name)
		dir, err := sys.OpenInRoot(u.dirs.root.fd, orDot(above), unix.O_RDONLY|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue // it was deleted as a whole
		}
		if err != nil {
			return err
		}
		var st unix.Stat_t
		err = unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			err = nameWhiteout(dir, base)
		}
		unix.Close(dir)
		if err != nil && err != unix.ENOENT {
			return named("make whiteout", name, err)
		}
	}
	return nil
}

// noteNamed makes the store one that needs the program.
func (s *Store) noteNamed() error {
	path := filepath.Join(s.graphRoot, namedFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// refuseNamed is for a store that is to be used without the program.
func refuseNamed(graphRoot string) error {
	needs, err := NeedsProgram(graphRoot)
	if err != nil {
		return api.Wrap("open image store", graphRoot, err)
	}
	if needs {
		return api.Errorf("open image store", graphRoot, "its layers mark what is deleted in a way that only fuse-overlayfs knows").
			WithHint("unset SBX_OVERLAY, or set it to fuse; or remove all images with sbx system reset")
	}
	return nil
}
