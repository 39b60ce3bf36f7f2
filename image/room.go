package image

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// Part of what is free stays free, so that the import that fills a disk is
	// refused before the rest of the system notices: a twentieth, at most this.
	maxReserve = 256 << 20
	// No archive of this ratio beyond this size is a root file system. A file of
	// zeros reaches 1030 with gzip and far more with the others.
	maxRatio   = 1000
	ratioFrom  = 1 << 30
	maxEntries = 4 << 20
	// The names of directories and of symbolic links are kept until the end.
	maxHeaders = 512 << 20
	// Between two entries there is at most a long name, a long link name and a
	// PAX header, 1 MiB each.
	maxGap = 4 << 20
	// block is the usual unit of allocation: a file of one byte takes this much.
	block = 4096
)

// room is what an import may take of the file system.
type room struct {
	bytes  int64
	inodes int64 // negative: the file system makes them as needed (btrfs)
}

// roomAt asks the file system of dir, statfs(2).
func roomAt(dir string) (room, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return room{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	unit := st.Frsize
	if unit == 0 {
		unit = st.Bsize
	}
	r := room{bytes: int64(st.Bavail) * unit, inodes: -1}
	r.bytes -= min(maxReserve, r.bytes/20)
	if st.Files != 0 {
		r.inodes = int64(st.Ffree)
	}
	return r, nil
}

func human(n int64) string {
	switch {
	case n >= 1<<60:
		return fmt.Sprintf("%.1f EiB", float64(n)/(1<<60))
	case n >= 1<<40:
		return fmt.Sprintf("%.1f TiB", float64(n)/(1<<40))
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
