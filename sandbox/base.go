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
	return s.makeLoneBase()
}

// aptUser keeps apt from becoming another user, and from making sure that it did.
// apt.conf(5).
const (
	aptConfig = "etc/apt/apt.conf.d/00sbx-single-id"
	aptUser   = "// Only one user id is mapped in this sandbox: there is nobody else to become.\nAPT::Sandbox::User \"root\";\n"
)

// makeLoneBase adds to the base what programs need to know of a sandbox without other
// ids, for those that do not believe what is pretended.
func (s *Supervisor) makeLoneBase() error {
	path := filepath.Join(s.base(), aptConfig)
	if !s.single() {
		// Of a time when there was but one id.
		if err := os.RemoveAll(filepath.Join(s.base(), "etc/apt")); err != nil {
			return dirs.DiskError("remove", path, err)
		}
		return nil
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(aptUser), 0o644)
	}
	if err != nil {
		return dirs.DiskError("create", path, err)
	}
	return nil
}

func (s *Supervisor) base() string { return filepath.Join(s.Dirs.Data, "base") }
