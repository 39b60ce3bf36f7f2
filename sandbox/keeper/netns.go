package keeper

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// keepNetns binds the network namespace that rootlesskit has made, at made, once
// more as path. Rootlesskit removes its own name for it on its end, and with
// that the mount, also for the sandboxes that are still there. The new name is on
// a file system that nobody outside sees.
func keepNetns(made, path string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err == nil && fs.Type == unix.NSFS_MAGIC {
		return nil // the namespaces of an earlier keeper
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("sbx-switch", dir, "tmpfs", flags, "mode=0700,size=64k"); err != nil {
		return &os.PathError{Op: "mount tmpfs", Path: dir, Err: err}
	}
	if err := os.WriteFile(path, nil, 0o400); err != nil {
		return err
	}
	if err := unix.Mount(made, path, "", unix.MS_BIND, ""); err != nil {
		return &os.PathError{Op: "mount --bind " + made, Path: path, Err: err}
	}
	return nil
}
