package sandbox

import (
	"errors"
	"os"
	"path/filepath"

	"sbx/internal/dirs"
)

// makeBase makes the lowest layer of all sandboxes: the places for what is mounted
// into each of them, where an image has none (Docker's "init layer"). Without it
// they would have to be made in the upper directory of every sandbox, and be a part
// of what is committed.
func (s *Supervisor) makeBase() error {
	base := s.base()
	for _, dir := range []string{"", "dev", "etc", "proc", "sys"} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return dirs.DiskError("mkdir", filepath.Join(base, dir), err)
		}
	}
	for _, name := range ownFiles {
		path := filepath.Join(base, "etc", name)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return dirs.DiskError("create", path, err)
		}
	}
	return nil
}

func (s *Supervisor) base() string { return filepath.Join(s.Dirs.Data, "base") }
