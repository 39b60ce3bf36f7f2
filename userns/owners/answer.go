package owners

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

// answer is what the kernel is told; nil: nothing. buf is used for it.
func (t *tree) answer(r *request, buf []byte) []byte {
	out := reply(buf)
	var err error
	switch r.op {
	case opInit:
		if r.uint32(0) != versionMajor {
			err = unix.EPROTO
			break
		}
		out = initReply(out, r)
	case opForget:
		t.forget(r.node, r.uint64(0))
		return nil
	case opBatchForget:
		for i := range int(r.uint32(0)) {
			t.forget(r.uint64(8+16*i), r.uint64(16+16*i))
		}
		return nil
	case opDestroy:
	case opLookup:
		out, err = t.lookup(out, r)
	case opStatfs:
		out, err = t.statfs(out)
	default:
		var path string
		if path, err = t.pathOf(r.node); err == nil {
			out, err = t.of(path, out, r)
		}
	}
	if err != nil {
		return finish(reply(buf), r.unique, errno(err))
	}
	return finish(out, r.unique, 0)
}

// of answers what is asked of one file.
func (t *tree) of(path string, out []byte, r *request) ([]byte, error) {
	switch r.op {
	case opGetattr:
		return t.getattr(path, out)
	case opReadlink:
		return t.readlink(path, out)
	case opRead:
		return t.read(path, out, int64(r.uint64(8)), int(r.uint32(16)))
	case opReaddir:
		return t.readdir(path, out, r)
	case opGetxattr:
		name, ok := r.name(8)
		if !ok {
			return nil, unix.EINVAL
		}
		return sized(out, int(r.uint32(0)), func(to []byte) (int, error) {
			n, err := unix.Lgetxattr(t.procPath(path), name, to)
			if err == nil && name == "security.capability" && len(to) >= n {
				n = t.capability(to[:n])
			}
			return n, err
		})
	case opListxattr:
		return sized(out, int(r.uint32(0)), func(to []byte) (int, error) {
			return unix.Llistxattr(t.procPath(path), to)
		})
	case opLseek:
		return t.seek(path, out, int64(r.uint64(8)), int(r.uint32(16)))
	}
	// To OPEN and OPENDIR this says that there is nothing to be asked.
	return nil, unix.ENOSYS
}

// lookup answers with struct fuse_entry_out. Node 0 means that there is nothing of
// that name, and that this will stay so.
func (t *tree) lookup(out []byte, r *request) ([]byte, error) {
	name, ok := r.name(0)
	if !ok || name == "." || name == ".." {
		return nil, unix.EINVAL
	}
	above, err := t.pathOf(r.node)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	var id uint64
	err = t.stat(above+"/"+name, &st)
	switch err {
	case nil:
		if id, err = t.remember(r.node, name); err != nil {
			return nil, err
		}
	case unix.ENOENT:
	default:
		return nil, err
	}
	out = native.AppendUint64(out, id)
	out = native.AppendUint64(out, t.generation)
	out = native.AppendUint64(out, forEver)
	out = native.AppendUint64(out, forEver)
	out = native.AppendUint64(out, 0) // nanoseconds of both
	return t.attributes(out, &st), nil
}

// getattr answers with struct fuse_attr_out.
func (t *tree) getattr(path string, out []byte) ([]byte, error) {
	var st unix.Stat_t
	if err := t.stat(path, &st); err != nil {
		return nil, err
	}
	out = native.AppendUint64(out, forEver)
	out = native.AppendUint64(out, 0)
	return t.attributes(out, &st), nil
}

func (t *tree) readlink(path string, out []byte) ([]byte, error) {
	fd, err := t.open(path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return fill(out, unix.PathMax, func(to []byte) (int, error) { return unix.Readlinkat(fd, "", to) })
}

// fill appends what a call puts into a buffer.
func fill(out []byte, size int, call func(to []byte) (int, error)) ([]byte, error) {
	at := len(out)
	if cap(out) < at+size {
		out = append(make([]byte, 0, at+size), out...)
	}
	for {
		n, err := call(out[at : at+size])
		if err == unix.EINTR {
			continue
		}
		return out[:at+max(n, 0)], err
	}
}

// sized answers a question for data, or with size 0 for the size of it, which is
// struct fuse_getxattr_out.
func sized(out []byte, size int, call func(to []byte) (int, error)) ([]byte, error) {
	if size > 0 {
		return fill(out, min(size, 64<<10), call)
	}
	n, err := call(nil)
	if err != nil {
		return nil, err
	}
	return native.AppendUint32(native.AppendUint32(out, uint32(n)), 0), nil
}

// capability shows the capabilities of a file that root has given it without saying
// which root it was, struct vfs_ns_cap_data, if that is the one that is shown as 0. It
// gives the length.
func (t *tree) capability(value []byte) int {
	const (
		revision2, size2 = 0x02000000, 20
		revision3, size3 = 0x03000000, 24
	)
	if len(value) != size3 || binary.LittleEndian.Uint32(value)&0xff000000 != revision3 || t.uids.apply(binary.LittleEndian.Uint32(value[size2:])) != 0 {
		return len(value)
	}
	binary.LittleEndian.PutUint32(value, binary.LittleEndian.Uint32(value)&^revision3|revision2)
	return size2
}

func (t *tree) read(path string, out []byte, offset int64, size int) ([]byte, error) {
	fd, err := t.open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOATIME)
	if err == unix.EPERM { // not ours
		fd, err = t.open(path, unix.O_RDONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return fill(out, min(size, mostPages*pageSize), func(to []byte) (int, error) { return unix.Pread(fd, to, offset) })
}

// seek finds data and holes, so that a copy of a sparse file can be one.
func (t *tree) seek(path string, out []byte, offset int64, whence int) ([]byte, error) {
	fd, err := t.open(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	at, err := unix.Seek(fd, offset, whence)
	if err != nil {
		return nil, err
	}
	return native.AppendUint64(out, uint64(at)), nil
}

// readdir answers with as many struct fuse_dirent as fit, from those of getdents64.
// Offsets are the directory's own. READDIRPLUS would save questions, but not their cost:
// that is the stat of each file.
func (t *tree) readdir(path string, out []byte, r *request) ([]byte, error) {
	offset, size := int64(r.uint64(8)), min(int(r.uint32(16)), mostPages*pageSize)
	fd, err := t.open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if offset > 0 {
		if _, err := unix.Seek(fd, offset, unix.SEEK_SET); err != nil {
			return nil, err
		}
	}
	end := len(out) + size
	entries := make([]byte, max(size, 1<<10))
	n, err := unix.Getdents(fd, entries)
	if err != nil {
		return nil, err
	}
	for entries = entries[:n]; len(entries) > 0; {
		length := int(native.Uint16(entries[16:]))
		name, _, _ := bytes.Cut(entries[19:length], []byte{0})
		if len(t.hidden) > 0 && slices.Contains(t.hidden, path+"/"+string(name)) {
			entries = entries[length:]
			continue
		}
		padded := (len(name) + 7) &^ 7
		if len(out)+direntSize+padded > end {
			break // it is read again
		}
		out = append(out, entries[:16]...) // inode number and offset
		out = native.AppendUint32(out, uint32(len(name)))
		out = native.AppendUint32(out, uint32(entries[18]))
		out = append(out, name...)
		out = append(out, make([]byte, padded-len(name))...)
		entries = entries[length:]
	}
	return out, nil
}

// statfs answers with struct fuse_kstatfs.
func (t *tree) statfs(out []byte) ([]byte, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(t.root, &st); err != nil {
		return nil, err
	}
	for _, n := range []uint64{st.Blocks, st.Bfree, st.Bavail, st.Files, st.Ffree} {
		out = native.AppendUint64(out, n)
	}
	for _, n := range []uint32{uint32(st.Bsize), uint32(st.Namelen), uint32(st.Frsize)} {
		out = native.AppendUint32(out, n)
	}
	return append(out, make([]byte, 4+6*4)...), nil
}
