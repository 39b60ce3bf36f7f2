package fuseoverlay

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
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

// Opaque says that a directory, open for reading, hides what the layers below have
// under its name.
func Opaque(dir *os.File) (bool, error) {
	kind, err := opacity(dir)
	return kind == opaqueAll, err
}

// Deleted says that an entry of a directory, open for reading, is no file but hides
// one of the layers below. st is what lstat says of it.
func Deleted(dir *os.File, name string, st *unix.Stat_t) (bool, error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		return st.Rdev == 0, nil
	case unix.S_IFREG:
		if st.Size != 0 {
			return false, nil
		}
	default:
		return false, nil
	}
	if has, err := hasWhiteout(dir, name); err != nil || !has {
		return false, err
	}
	kind, err := opacity(dir)
	return kind == opaqueMarks, err
}

// opacity is the value of opaqueAttr, 0 for none.
func opacity(dir *os.File) (byte, error) {
	var value [2]byte
	n, err := unix.Fgetxattr(int(dir.Fd()), opaqueAttr, value[:])
	switch {
	case absent(err), errors.Is(err, unix.ERANGE):
		return 0, nil
	case err != nil:
		return 0, &os.PathError{Op: "getxattr " + opaqueAttr, Path: dir.Name(), Err: err}
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
