package owners

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// tree is what the kernel knows of the directory that is shown.
type tree struct {
	root int // descriptor of the directory
	uids Map
	gids Map
	// hidden are paths below the root at which there is nothing to be seen.
	hidden []string

	mu    sync.Mutex
	nodes map[uint64]*node
	last  uint64
	// generation is part of a file's handle: one that an overlay has kept from an
	// earlier process must not fit a node of this one.
	generation uint64
}

// node is a file with a name. Two names of one file are two nodes; the kernel sees
// the same inode number.
type node struct {
	id      uint64
	parent  *node
	name    string
	below   map[string]*node
	lookups uint64 // that the kernel has not taken back
}

func newTree(root int, uids, gids Map, generation uint64) *tree {
	return &tree{
		root: root, uids: uids, gids: gids, generation: generation, last: rootNode,
		nodes: map[uint64]*node{rootNode: {id: rootNode, lookups: 1}},
	}
}

// path is where a node is below the root. The caller holds the lock.
func (n *node) path() string {
	if n.parent == nil {
		return "."
	}
	var parts []string
	for ; n.parent != nil; n = n.parent {
		parts = append(parts, n.name)
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, "/")
}

func (t *tree) pathOf(id uint64) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[id]
	if n == nil {
		return "", unix.ESTALE
	}
	return n.path(), nil
}

// remember gives a name its node, and counts the look-up.
func (t *tree) remember(parent uint64, name string) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.nodes[parent]
	if p == nil {
		return 0, unix.ESTALE
	}
	n := p.below[name]
	if n == nil {
		t.last++
		n = &node{id: t.last, parent: p, name: name}
		if p.below == nil {
			p.below = map[string]*node{}
		}
		p.below[name] = n
		t.nodes[n.id] = n
	}
	n.lookups++
	return n.id, nil
}

// forget takes look-ups back.
func (t *tree) forget(id, lookups uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[id]
	if n == nil || n.parent == nil {
		return
	}
	n.lookups -= min(lookups, n.lookups)
	// A directory may be forgotten before what is in it.
	for n.parent != nil && n.lookups == 0 && len(n.below) == 0 {
		delete(t.nodes, n.id)
		delete(n.parent.below, n.name)
		n = n.parent
	}
}

// open opens what is at a path below the root. No symbolic link is followed: the
// kernel has resolved them, and has asked for each component.
func (t *tree) open(path string, flags int) (int, error) {
	if slices.Contains(t.hidden, path) {
		return -1, unix.ENOENT
	}
	for {
		fd, err := unix.Openat2(t.root, path, &unix.OpenHow{
			Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
		})
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

func (t *tree) stat(path string, st *unix.Stat_t) error {
	fd, err := t.open(path, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fstat(fd, st)
}

// attributes appends struct fuse_attr.
func (t *tree) attributes(out []byte, st *unix.Stat_t) []byte {
	out = native.AppendUint64(out, st.Ino)
	out = native.AppendUint64(out, uint64(st.Size))
	out = native.AppendUint64(out, uint64(st.Blocks))
	for _, at := range []unix.Timespec{st.Atim, st.Mtim, st.Ctim} {
		out = native.AppendUint64(out, uint64(at.Sec))
	}
	for _, at := range []unix.Timespec{st.Atim, st.Mtim, st.Ctim} {
		out = native.AppendUint32(out, uint32(at.Nsec))
	}
	out = native.AppendUint32(out, st.Mode)
	out = native.AppendUint32(out, uint32(st.Nlink))
	out = native.AppendUint32(out, t.uids.apply(st.Uid))
	out = native.AppendUint32(out, t.gids.apply(st.Gid))
	out = native.AppendUint32(out, device(st.Rdev))
	out = native.AppendUint32(out, uint32(st.Blksize))
	return native.AppendUint32(out, 0)
}

// device is a device number as the kernel has it inside, new_encode_dev.
func device(rdev uint64) uint32 {
	major, minor := unix.Major(rdev), unix.Minor(rdev)
	return minor&0xff | major<<8 | minor&^0xff<<12
}

// errno is what the kernel is told.
func errno(err error) int32 {
	var e unix.Errno
	if errors.As(err, &e) {
		// What openat2 says of what it was told not to do is of no use to anybody.
		if e == unix.EXDEV || e == unix.ELOOP {
			return int32(unix.EIO)
		}
		return int32(e)
	}
	return int32(unix.EIO)
}

// procPath names a path below the root for calls that take no descriptor.
func (t *tree) procPath(path string) string {
	return "/proc/self/fd/" + itoa(t.root) + "/" + path
}

var pageSize = os.Getpagesize()
