package view

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"sbx/api"
)

// upperSize is how many bytes a sandbox has written: the files of its upper
// directory, each inode once. A file that goes away meanwhile counts nothing. A
// sandbox without an upper directory has written nothing.
func upperSize(box *api.Sandbox) (int64, error) {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	var total int64
	err := filepath.WalkDir(filepath.Join(box.Dir, "upper"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				st, ok := info.Sys().(*syscall.Stat_t)
				if ok && st.Nlink > 1 {
					key := inode{uint64(st.Dev), st.Ino}
					if seen[key] {
						return nil
					}
					seen[key] = true
				}
				total += info.Size()
			}
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, api.Wrap("measure", box.Config.Name, err)
	}
	return total, nil
}
