package fuseoverlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// Try finds out whether the kernel's overlay works with its upper directory below
// dir: it mounts one the way a sandbox does, and changes what is in it. The caller
// has CAP_SYS_ADMIN in its user and mount namespace, and nobody else tries at the same
// time. Nothing is left there.
//
// Wrong says why it does not work, err why that could not be found out.
func Try(dir string) (wrong, err error) {
	top := filepath.Join(dir, "overlay-try")
	if err := removeTried(top); err != nil { // of one that was killed
		return nil, err
	}
	defer func() { err = errors.Join(err, removeTried(top)) }()
	for _, name := range []string{"upper", "work", "merged", "lower/dir/below"} {
		if err := os.MkdirAll(filepath.Join(top, name), 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(top, "lower", "file"), []byte("x"), 0o600); err != nil {
		return nil, err
	}
	f, err := os.Open(top)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// By descriptor: overlay takes : , and \ in a path for separators.
	at := fmt.Sprintf("/proc/self/fd/%d/", f.Fd())
	data := "userxattr,lowerdir=" + at + "lower,upperdir=" + at + "upper,workdir=" + at + "work"
	merged := filepath.Join(top, "merged")
	if err := unix.Mount("overlay", merged, "overlay", unix.MS_NODEV, data); err != nil {
		return noMount(dir, err), nil
	}
	wrong = change(merged, filepath.Join(top, "upper"))
	return wrong, os.NewSyscallError("umount", unix.Unmount(merged, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
}

// removeTried removes what Try makes. The kernel has made a directory without any mode
// in it, which a FUSE server may not be allowed to open.
func removeTried(top string) error {
	if err := os.Chmod(filepath.Join(top, "work", "work"), 0o700); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(top)
}

func noMount(dir string, err error) error {
	e := api.Wrap("mount overlay", dir, err)
	switch {
	case errors.Is(err, unix.ENODEV):
		e.WithRemedy(remedy.OverlayModule())
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.WithRemedy(remedy.OverlayForbidden())
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		e.WithRemedy(remedy.LocalDisk())
	}
	return e
}

// change does what needs help from the file system of the upper directory: the marks
// of what is deleted, an attribute, and a copy from below. It is a part of being
// usable that the attribute can be seen, and that the copy is one.
func change(merged, upper string) error {
	file, dir := filepath.Join(merged, "file"), filepath.Join(merged, "dir")
	if err := os.Chmod(file, 0o640); err != nil {
		return api.Wrap("copy a file up in an overlay", upper, err)
	}
	if err := os.Remove(file); err != nil {
		return api.Wrap("delete a file in an overlay", upper, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return api.Wrap("delete a directory in an overlay", upper, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return api.Wrap("make a directory anew in an overlay", upper, err)
	}
	d, err := os.Open(filepath.Join(upper, "dir"))
	if err != nil {
		return api.Wrap("make a directory anew in an overlay", upper, err)
	}
	defer d.Close()
	opaque, err := Kernel.Opaque(d)
	if err == nil && !opaque {
		err = api.Errorf("make a directory anew in an overlay", upper, "what was in it shows again: it keeps no user.* attributes")
	}
	return err
}
