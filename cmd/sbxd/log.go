package main

import (
	"os"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
)

// maxLog is the size in bytes above which the log of the last starts is put
// aside as sbxd.log.1.
const maxLog = 1 << 20

// openLog makes the file at path the standard error of this process and of all
// that it starts.
func openLog(path string) error {
	const op = "open log"
	if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return dirs.DiskError(op, path, err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return dirs.DiskError(op, path, err)
	}
	defer f.Close()
	if err := unix.Dup2(int(f.Fd()), unix.Stderr); err != nil {
		return api.Wrap(op, path, err)
	}
	return nil
}
