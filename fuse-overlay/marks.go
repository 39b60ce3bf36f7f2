package fuseoverlay

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Marks is a way to mark things in an upper directory. What a mark is to one is a
// file of a program's to the other.
type Marks int

// The ways.
const (
	Kernel Marks = iota // of overlays mounted with userxattr
	FUSE                // of fuse-overlayfs
)

// Attributes by which overlay marks things, with userxattr.
const (
	opaqueAttr   = "user.overlay.opaque"
	whiteoutAttr = "user.overlay.whiteout"
)

// Values of opaqueAttr.
const (
	opaqueAll   = 'y' // nothing of the layers below shows in the directory
	opaqueMarks = 'x' // some empty files in it are whiteouts: they have whiteoutAttr, Linux 6.7
)

// fuse-overlayfs marks as the kernel does where it can, and with names where the file
// system below has no such device or attribute. It lets no program make these names.
const (
	fuseOpaqueAttr = "user.fuseoverlayfs.opaque"
	fuseOpaqueFile = ".wh..wh..opq"
	fuseWhiteout   = ".wh."  // and the name of what is deleted
	fuseOwn        = ".wh.." // an entry that hides nothing
)

// Opaque says that a directory, open for reading, hides what the layers below have
// under its name.
func (m Marks) Opaque(dir *os.File) (bool, error) {
	kind, err := opacity(dir, opaqueAttr)
	if err != nil || kind == opaqueAll || m == Kernel {
		return kind == opaqueAll, err
	}
	if kind, err = opacity(dir, fuseOpaqueAttr); err != nil || kind == opaqueAll {
		return kind == opaqueAll, err
	}
	var st unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), fuseOpaqueFile, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && err != unix.ENOENT {
		return false, &os.PathError{Op: "stat", Path: dir.Name() + "/" + fuseOpaqueFile, Err: err}
	}
	return err == nil, nil
}

// Deleted says that an entry of a directory, open for reading, is no file but hides
// one of the layers below: hidden, or with no name none at all. st is what lstat says
// of it.
func (m Marks) Deleted(dir *os.File, name string, st *unix.Stat_t) (hidden string, deleted bool, err error) {
	if m == FUSE {
		if hidden, is := byName(name); is {
			return hidden, true, nil
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		return name, st.Rdev == 0, nil
	case unix.S_IFREG:
		if st.Size != 0 {
			return "", false, nil
		}
	default:
		return "", false, nil
	}
	if has, err := hasWhiteout(dir, name); err != nil || !has {
		return "", false, err
	}
	kind, err := opacity(dir, opaqueAttr)
	return name, kind == opaqueMarks, err
}

// byName says that a name is one of fuse-overlayfs's own, and what it hides: with ""
// nothing.
func byName(name string) (hidden string, is bool) {
	switch {
	case strings.HasPrefix(name, fuseOwn):
		return "", true
	case strings.HasPrefix(name, fuseWhiteout):
		return name[len(fuseWhiteout):], true
	}
	return "", false
}

// opacity is the value of an attribute of one byte, 0 for none.
func opacity(dir *os.File, attr string) (byte, error) {
	var value [2]byte
	n, err := unix.Fgetxattr(int(dir.Fd()), attr, value[:])
	switch {
	case absent(err), errors.Is(err, unix.ERANGE):
		return 0, nil
	case err != nil:
		return 0, &os.PathError{Op: "getxattr " + attr, Path: dir.Name(), Err: err}
	case n != 1:
		return 0, nil
	}
	return value[0], nil
}

func hasWhiteout(dir *os.File, name string) (bool, error) {
	_, err := unix.Lgetxattr("/proc/self/fd/"+strconv.Itoa(int(dir.Fd()))+"/"+name, whiteoutAttr, nil)
	switch {
	case absent(err):
		return false, nil
	case err != nil:
		return false, &os.PathError{Op: "getxattr " + whiteoutAttr, Path: name, Err: err}
	}
	return true, nil
}

// absent says that an attribute is not there, or cannot be.
func absent(err error) bool { return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) }
