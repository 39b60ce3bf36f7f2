package fuseoverlay

import (
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Kind is how a file has changed, in Docker's letters.
type Kind byte

// The kinds of change.
const (
	Modify Kind = 'C'
	Add    Kind = 'A'
	Delete Kind = 'D'
)

// Change is one line of diff.
type Change struct {
	Kind Kind
	Path string // absolute, as the sandbox sees it
}

// pathMax is how long a path can be, and so how deep directories are followed: each
// level takes two descriptors.
const pathMax = 4095

// Diff says what the upper directory of an overlay changes of what is below, which
// is one directory too: an overlay of all layers but the upper. Both are open, upper
// for reading.
//
// The result is sorted, directories before what is in them, and is what podman says
// of the same change:
//
//   - What the layers below have is changed, even if only its owner is. Of directories
//     this is told by mode, owner and, of the kernel's overlays, time: those on the way
//     to a changed file are there too, and are not named for it.
//   - A directory in which something appears or goes away is changed.
//   - Of what is deleted only the top is named.
//   - A directory that was deleted and made again is deleted, and what is in it is
//     compared with what was there.
//
// The upper directory may be in use: what goes away meanwhile is left out.
func (m Marks) Diff(ctx context.Context, upper, lower *os.File) ([]Change, error) {
	d := &differ{marks: m, ctx: ctx, buf: make([]byte, 64<<10)}
	if _, err := d.below(upper, int(lower.Fd()), ""); err != nil {
		return nil, err
	}
	return d.changes, nil
}

type differ struct {
	marks   Marks
	hidden  int // how many of the directories above hide all that is below them
	ctx     context.Context
	changes []Change
	buf     []byte
}

// below compares what is in the directory at path, "" for the root. lower is its
// counterpart, -1 for none. It says whether anything has appeared or gone away there.
func (d *differ) below(dir *os.File, lower int, path string) (moved bool, err error) {
	if err := d.ctx.Err(); err != nil {
		return false, err
	}
	list, err := entries(dir, d.buf, d.marks)
	if err != nil {
		return false, err
	}
	kind, err := opacity(dir, opaqueAttr)
	if err != nil {
		return false, err
	}
	for _, e := range list {
		m, err := d.entry(dir, lower, path, e, kind == opaqueMarks)
		if err != nil && !gone(err) {
			return false, err
		}
		moved = moved || m
	}
	return moved, nil
}

// gone says that something else has the name by now, or nothing.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR)
}

// entry compares one name. marks says that regular files may be whiteouts.
func (d *differ) entry(dir *os.File, lower int, above string, e entry, marks bool) (moved bool, err error) {
	if len(above)+1+len(e.name) > pathMax {
		return false, api.Errorf("read directory", above[:60]+"...", "a name of more than %d bytes", pathMax).
			WithHint("the directories are too deep: remove them")
	}
	path := above + "/" + e.name
	if e.deleted {
		return d.deleted(lower, path, e.name)
	}
	if e.kind == unix.DT_DIR {
		return d.directory(dir, lower, path, e.name)
	}
	if e.kind == unix.DT_UNKNOWN || e.kind == unix.DT_CHR || e.kind == unix.DT_REG && marks {
		var st unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), e.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return false, &os.PathError{Op: "stat", Path: path, Err: err}
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return d.directory(dir, lower, path, e.name)
		}
		_, deleted, err := d.marks.Deleted(dir, e.name, &st)
		if err != nil {
			return false, err
		}
		if deleted {
			return d.deleted(lower, path, e.name)
		}
	}
	old, err := stat(lower, e.name, path)
	if err != nil {
		return false, err
	}
	if old != nil {
		d.add(Modify, path)
		return false, nil
	}
	d.add(Add, path)
	return true, nil
}

// deleted names what the layers below have, and this one hides.
func (d *differ) deleted(lower int, path, name string) (moved bool, err error) {
	old, err := stat(lower, name, path)
	if err == nil && old != nil {
		d.add(Delete, path)
	}
	return old != nil, err
}

// stat is what the layers below have under a name; nil for nothing.
func stat(lower int, name, path string) (*unix.Stat_t, error) {
	if lower < 0 {
		return nil, nil
	}
	var st unix.Stat_t
	err := unix.Fstatat(lower, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return &st, nil
}

func (d *differ) add(kind Kind, path string) {
	d.changes = append(d.changes, Change{kind, path})
}

// directory compares a directory and what is in it.
func (d *differ) directory(above *os.File, lower int, path, name string) (moved bool, err error) {
	fd, err := unix.Openat(int(above.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	old, err := stat(lower, name, path)
	if err != nil {
		return false, err
	}
	counterpart := -1
	if old != nil && old.Mode&unix.S_IFMT == unix.S_IFDIR {
		counterpart, err = unix.Openat(lower, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return false, &os.PathError{Op: "open", Path: path, Err: err}
		}
		defer unix.Close(counterpart)
	}
	kind, err := d.itself(dir, old)
	if err != nil {
		return false, err
	}
	if kind == Delete {
		d.hidden++
		defer func() { d.hidden-- }()
	}
	at := len(d.changes)
	if kind != 0 {
		d.add(kind, path)
	}
	inside, err := d.below(dir, counterpart, path)
	if err != nil {
		return false, err
	}
	if kind == 0 && inside {
		d.changes = slices.Insert(d.changes, at, Change{Modify, path})
	}
	return inside || kind == Add || kind == Delete, nil
}

// itself says how a directory has changed, 0 for not at all. old is what was there.
func (d *differ) itself(dir *os.File, old *unix.Stat_t) (Kind, error) {
	if old == nil {
		return Add, nil
	}
	// fuse-overlayfs says of all new directories that they hide what is below, the
	// kernel only of the top.
	opaque, err := d.marks.Opaque(dir)
	switch {
	case err != nil:
		return 0, err
	case opaque && d.hidden == 0:
		return Delete, nil
	case opaque:
		return Modify, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: dir.Name(), Err: err}
	}
	// Directories on the way to a changed file get another time from fuse-overlayfs.
	sameTime := d.marks == FUSE || sameTime(st.Mtim, old.Mtim)
	if st.Mode == old.Mode && st.Uid == old.Uid && st.Gid == old.Gid && sameTime {
		return 0, nil
	}
	return Modify, nil
}

// sameTime takes a time for the same whose parts of a second are lost: archives of
// layers have none.
func sameTime(a, b unix.Timespec) bool {
	return a.Sec == b.Sec && (a.Nsec == b.Nsec || a.Nsec == 0 || b.Nsec == 0)
}
