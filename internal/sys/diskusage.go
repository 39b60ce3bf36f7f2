package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// BlockUnit is what stat(2) counts in, whatever the file system does.
const BlockUnit = 512

// DiskUsage is what du says of a directory: the blocks of everything in it and of
// itself, each inode once. It goes from one open directory to the next, so that
// neither a long path nor a symbolic link is in its way. What goes away meanwhile
// counts nothing, nor does what lies deeper than deepest.
func DiskUsage(dir string) (int64, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	below, err := diskBelow(f, map[inode]bool{}, 0)
	return st.Blocks*BlockUnit + below, err
}

// deepest bounds the open directories, one for each level: more than a path can
// name are made by programs that mean harm.
const deepest = 2048

type inode struct{ dev, ino uint64 }

func diskBelow(dir *os.File, seen map[inode]bool, depth int) (int64, error) {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, name := range names {
		n, err := diskEntry(dir, name, seen, depth)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func diskEntry(dir *os.File, name string, seen map[inode]bool, depth int) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	bytes := st.Blocks * BlockUnit
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		key := inode{uint64(st.Dev), st.Ino}
		if st.Nlink > 1 && seen[key] {
			return 0, nil
		}
		if st.Nlink > 1 {
			seen[key] = true
		}
		return bytes, nil
	}
	if depth == deepest {
		return bytes, nil
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: name, Err: err}
	}
	sub := os.NewFile(uintptr(fd), name)
	defer sub.Close()
	below, err := diskBelow(sub, seen, depth+1)
	return bytes + below, err
}
