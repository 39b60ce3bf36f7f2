package pid1

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// giveAway makes everything in a mount belong to the sandbox's user, as podman's option
// U does. It happens in here since the user's name means what the image says, and its
// number what the user namespace says.
func (b *box) giveAway(tree int, m *api.Mount) error {
	who, err := lookUp(b.root, b.user, nil)
	if err != nil {
		return err
	}
	fd, err := unix.Openat(tree, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR { // a single file
		err = chown(tree, "", who, unix.AT_EMPTY_PATH)
	} else if err == nil {
		dir := os.NewFile(uintptr(fd), m.Source)
		defer dir.Close()
		err = giveBelow(dir, who)
	}
	if err == nil {
		return nil
	}
	e := api.Wrap("change the owner of files in", m.Source, err)
	if errors.Is(err, unix.EINVAL) {
		return e.WithHint("you have no subordinate id for the user or group: sbx doctor says how to get them")
	}
	return e.WithHint("they must be yours, or of a sandbox of yours, on a file system that can be written: leave out the option U")
}

// giveBelow changes a directory and everything in it. It follows no symbolic link.
func giveBelow(dir *os.File, who identity) error {
	at := int(dir.Fd())
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			below := os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name))
			err := giveBelow(below, who)
			below.Close()
			if err != nil {
				return err
			}
		case unix.ENOTDIR, unix.ELOOP:
			if err := chown(at, name, who, unix.AT_SYMLINK_NOFOLLOW); err != nil && err != unix.ENOENT {
				return &os.PathError{Op: "chown", Path: filepath.Join(dir.Name(), name), Err: err}
			}
		case unix.ENOENT: // it has gone meanwhile
		default:
			return &os.PathError{Op: "open", Path: filepath.Join(dir.Name(), name), Err: err}
		}
	}
	if err := chown(at, "", who, unix.AT_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "chown", Path: dir.Name(), Err: err}
	}
	return nil
}

// chown writes nothing if there is nothing to change.
func chown(at int, name string, who identity, flags int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(at, name, &st, flags); err != nil {
		return err
	}
	if int(st.Uid) == who.uid && int(st.Gid) == who.gid {
		return nil
	}
	return unix.Fchownat(at, name, who.uid, who.gid, flags)
}
