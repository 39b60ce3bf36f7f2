package pid1

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// overlay makes of a detached copy of a bind's source an overlay, detached too, that has
// it below: what is written goes to m.Layer, and never to the source. The copy has no
// mounts in it.
func (b *box) overlay(source int, m *api.Mount) (int, error) {
	if m.Layer == "" {
		return -1, api.Errorf("mount overlay", m.Target, "there is no directory for what is written")
	}
	data, points := filepath.Split(b.dir)
	if err := unix.Chdir(data); err != nil {
		return -1, &os.PathError{Op: "chdir", Path: data, Err: err}
	}
	upper := filepath.Join(m.Layer, "upper")
	if err := likeSource(upper, source); err != nil {
		return -1, err
	}
	// The kernel keeps a copy of its own of what is below, so that the place is free for
	// the next one, and nobody sees it.
	lower := filepath.Join(points, LowerPoint)
	if err := sys.AttachAt(source, unix.AT_FDCWD, lower); err != nil {
		return -1, err
	}
	mount, err := sys.NewMount("overlay", 0, [2]string{"source", "overlay"}, [2]string{"userxattr", ""}, [2]string{"volatile", ""},
		[2]string{"lowerdir", lower}, [2]string{"upperdir", upper}, [2]string{"workdir", filepath.Join(m.Layer, "work")})
	if err != nil {
		return -1, overlayBindError(m, err)
	}
	if err := unix.Unmount(lower, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		unix.Close(mount)
		return -1, &os.PathError{Op: "umount2", Path: lower, Err: err}
	}
	return mount, nil
}

// likeSource gives the upper directory, which is what is seen of the top one, the mode and
// the owner of the source: nobody's if that has no id here, and root's if nobody has none.
func likeSource(upper string, source int) error {
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	err := unix.Lchown(upper, int(st.Uid), int(st.Gid))
	if err == unix.EINVAL || err == unix.EPERM || err == unix.EOVERFLOW {
		err = unix.Lchown(upper, 0, 0)
	}
	if err == nil {
		err = unix.Chmod(upper, st.Mode&0o7777)
	}
	if err != nil {
		return &os.PathError{Op: "chown", Path: upper, Err: err}
	}
	return nil
}

func overlayBindError(m *api.Mount, err error) error {
	e := api.Wrap("mount overlay over", m.Source, errors.Unwrap(err))
	switch {
	case errors.Is(err, unix.ELOOP):
		return e.WithHint("the data directory of sbx, where the changes go, is in it: name a directory that does not hold it, or set SBX_DATA")
	case errors.Is(err, unix.EPERM):
		return e.WithRemedy(remedy.OverlayForbidden())
	}
	return e.WithHint("the kernel has no overlay there, for the source or for the data directory of sbx: use ro, or copy it into a volume with sbx cp")
}
