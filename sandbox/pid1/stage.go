package pid1

import (
	"errors"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// ShowHost mounts the host's root at a directory as mountHost does, for a
// monitor that stages it.
func ShowHost(root *Root, at string) error {
	var b box
	if err := b.mountHost(root, at); err != nil {
		return err
	}
	return unix.Close(b.root)
}

// StageBind mounts the source of a bind at name in the directory dir, which it
// makes.
func StageBind(m *api.Mount, dir int, name string) error {
	o, err := parseBind(m)
	if err != nil {
		return err
	}
	source, isDir, err := openSource(m)
	if err != nil {
		return err
	}
	defer unix.Close(source)
	if isDir {
		err = unix.Mkdirat(dir, name, 0o700)
	} else {
		err = unix.Mknodat(dir, name, unix.S_IFREG|0o600, 0)
	}
	if err != nil {
		return api.Wrap("stage", m.Source, err)
	}
	tree, err := o.clone(source, m)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if m.ReadOnly || o.overlay {
		if err := sys.SetAttr(tree, sys.RDONLY, !o.writable); err != nil {
			return api.Wrap("bind", m.Source, errors.Unwrap(err))
		}
	}
	return sys.AttachAt(tree, dir, name)
}

// BindTree makes a detached copy of a bind's source as a sandbox sees it.
func BindTree(m *api.Mount) (int, error) {
	o, err := parseBind(m)
	if err != nil {
		return -1, err
	}
	source, _, err := openSource(m)
	if err != nil {
		return -1, err
	}
	defer unix.Close(source)
	tree, err := o.clone(source, m)
	if err != nil {
		return -1, err
	}
	if err := o.restrict(tree); err != nil {
		unix.Close(tree)
		return -1, api.Wrap("bind", m.Source, err)
	}
	return tree, nil
}
