package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// topDir is FS_TOPDIR_FL of ioctl_iflags(2), chattr's T.
const topDir = 0x20000

// Spread tells ext4 that the subdirectories of dir have nothing to do with one
// another: they go to different block groups, and with them the search for free
// inodes, which is long where many were just deleted. A file system that does not
// know it refuses with an error, and loses nothing by it.
func Spread(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	flags, err := unix.IoctlGetInt(int(d.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&topDir == 0 {
		err = unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir)
	}
	if err != nil {
		return &os.PathError{Op: "ioctl FS_IOC_SETFLAGS", Path: dir, Err: err}
	}
	return nil
}
