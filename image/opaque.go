package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hideBelow makes a layer in dir hide everything that the layers up to parent have
// in their root directories. Overlay takes no notice of the attribute that does it
// for other directories: the root is always merged.
func (s *Store) hideBelow(dir, parent string) error {
	top, err := openDirs(dir, s.umask)
	if err != nil {
		return err
	}
	defer top.Close()
	for parent != "" {
		names, err := os.ReadDir(s.layerDir(parent))
		if err != nil {
			return err
		}
		for _, e := range names {
			if s.program && strings.HasPrefix(e.Name(), whiteout) {
				continue
			}
			if err := s.hide(top.root, e.Name()); err != nil {
				return err
			}
		}
		layer, err := s.store.Layer(parent)
		if err != nil {
			return err
		}
		parent = layer.Parent
	}
	return nil
}

func (s *Store) hide(root *openDir, name string) error {
	if filepath.Base(name) != name {
		return &os.PathError{Op: "hide", Path: name, Err: unix.EINVAL}
	}
	stood, err := makeWhiteout(root.fd, name, s.program)
	if err == nil && stood {
		err = errors.Join(s.noteNamed(), nameWhiteout(root.fd, name))
	}
	if !errors.Is(err, unix.EEXIST) {
		return named("mknod", name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(root.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return named("stat", name, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return setOpaque(root, name)
	}
	return nil
}
