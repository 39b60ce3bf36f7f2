package files

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/cp"
)

// Digest is one of all that would be copied: names, types, modes, content, what
// symbolic links say, attributes, and owners where they are kept. Where it goes and
// what --chown and --chmod make of it is not in it, nor are times.
func (c *Copy) Digest(ctx context.Context) (string, error) {
	d := newDigester(ctx)
	defer d.stop()
	f, err := c.finder()
	if err != nil {
		return "", err
	}
	for i := range c.Items {
		if err := d.item(f, &c.Items[i]); err != nil {
			return "", err
		}
	}
	if err := d.settle(0); err != nil {
		return "", err
	}
	return hex.EncodeToString(d.h.Sum(nil)), nil
}

// digester makes the digest of one Copy. Files are read by goroutines; what they find
// goes into the digest in the order of the walk.
type digester struct {
	ctx     context.Context
	cancel  context.CancelFunc
	h       hash.Hash
	root    *Root
	pending []*pending
	slots   chan struct{} // one for each file that is being read
	buffers sync.Pool
}

// pending is a part of the digest.
type pending struct {
	head []byte
	done chan struct{} // nil: nothing is missing
	sum  [32]byte
	err  error
}

// mostPending bounds the parts that wait for a large file before them.
const mostPending = 1024

func newDigester(ctx context.Context) *digester {
	d := &digester{h: sha256.New(), slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	d.ctx, d.cancel = context.WithCancel(ctx)
	d.buffers.New = func() any { return new([256 << 10]byte) }
	return d
}

// stop ends the goroutines, and waits for them.
func (d *digester) stop() {
	d.cancel()
	for range cap(d.slots) {
		d.slots <- struct{}{}
	}
}

// field appends bytes such that no two lists of fields give the same.
func field(to []byte, b string) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(b)))
	return append(to, b...)
}

func number(to []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(to, n) }

// add takes the next part.
func (d *digester) add(p *pending) error {
	if p.done == nil && len(d.pending) == 0 {
		d.h.Write(p.head)
		d.h.Write(p.sum[:])
		return nil
	}
	d.pending = append(d.pending, p)
	return d.settle(mostPending)
}

// settle takes the parts that are complete, and waits until at most some are left.
func (d *digester) settle(most int) error {
	for len(d.pending) > most {
		p := d.pending[0]
		if p.done != nil {
			select {
			case <-p.done:
			case <-d.ctx.Done():
				return context.Cause(d.ctx)
			}
		}
		if p.err != nil {
			return p.err
		}
		d.h.Write(p.head)
		d.h.Write(p.sum[:])
		d.pending = d.pending[1:]
	}
	return nil
}

func (d *digester) item(f *finder, item *Item) error {
	if in := item.Inline; in != nil {
		return d.add(&pending{head: field([]byte{'i'}, in.Name), sum: sha256.Sum256(in.Data)})
	}
	how := []byte{'p', 0, 0}
	if item.Unpack {
		how[1] = 1
	}
	if item.Digest != "" {
		how[0] = 'c'
		return d.add(&pending{head: field(how, item.Digest)})
	}
	d.root = item.From
	if d.root.Owners {
		how[2] = 1
	}
	if err := d.add(&pending{head: how}); err != nil {
		return err
	}
	return f.each(d.ctx, item, func(at *found) error {
		if at.isDir() {
			if err := d.add(&pending{head: []byte("t")}); err != nil {
				return err
			}
			return f.walk(d.ctx, at, d)
		}
		return d.other(&entry{at: at.fd(), name: at.name, rel: at.base, path: at.shown(), st: at.st})
	})
}

// head is what is in the digest about any entry.
func (d *digester) head(e *entry) []byte {
	b := make([]byte, 0, 64+len(e.rel))
	b = append(b, 'e')
	b = field(b, e.rel)
	b = number(b, uint64(e.st.Mode))
	if d.root.Owners {
		b = number(number(b, uint64(e.st.Uid)), uint64(e.st.Gid))
	}
	return b
}

// enter implements visitor.
func (d *digester) enter(e *entry) error {
	p := &pending{head: d.head(e)}
	attrs, err := cp.Attributes(int(e.dir.Fd()), e.path)
	if err != nil {
		return err
	}
	p.sum = withAttributes(p.sum, attrs)
	return d.add(p)
}

// leave implements visitor.
func (d *digester) leave(*entry) error { return nil }

// other implements visitor.
func (d *digester) other(e *entry) error {
	switch e.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return d.file(e)
	case unix.S_IFLNK:
		to, err := sys.Readlink(e.at, e.name)
		if err != nil {
			return unlessGone("readlink", e.path, err)
		}
		return d.add(&pending{head: field(d.head(e), to)})
	case unix.S_IFSOCK:
		return nil // not copied
	}
	return d.add(&pending{head: number(d.head(e), uint64(e.st.Rdev))})
}

// unlessGone is nil where a name means nothing, or something else, by now.
func unlessGone(op, path string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EINVAL) && op == "readlink" {
		return nil
	}
	return api.Wrap(op, path, err)
}

// file adds a regular file, and has it read if its content is not known.
func (d *digester) file(e *entry) error {
	if sum, ok := d.root.Hashes.lookup(&e.st); ok {
		return d.add(&pending{head: d.head(e), sum: sum})
	}
	fd, err := openFile(e)
	if err != nil || fd < 0 {
		return err
	}
	p := &pending{head: d.head(e), done: make(chan struct{})}
	select {
	case d.slots <- struct{}{}:
	case <-d.ctx.Done():
		unix.Close(fd)
		return context.Cause(d.ctx)
	}
	hashes := d.root.Hashes
	go func() {
		defer func() { <-d.slots }()
		defer close(p.done)
		defer unix.Close(fd)
		p.sum, p.err = d.read(fd, e.path, hashes)
	}()
	return d.add(p)
}

// openFile opens a regular file, and says in the entry what it is now. It is -1 if there
// is none any more.
func openFile(e *entry) (int, error) {
	// Not to wait, should a named pipe have taken the file's place.
	fd, err := unix.Openat(e.at, e.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, unlessGone("open", e.path, err)
	}
	if err := unix.Fstat(fd, &e.st); err != nil {
		unix.Close(fd)
		return -1, api.Wrap("stat", e.path, err)
	}
	if e.st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

// read makes the hash of a file, with its attributes: BLAKE2b, since without the newest
// processors SHA-256 takes three times as long.
func (d *digester) read(fd int, path string, hashes *Hashes) (sum [32]byte, err error) {
	since := time.Now()
	var before, after unix.Stat_t
	if err := unix.Fstat(fd, &before); err != nil {
		return sum, api.Wrap("stat", path, err)
	}
	buf := d.buffers.Get().(*[256 << 10]byte)
	defer d.buffers.Put(buf)
	h, err := blake2b.New256(nil)
	if err != nil {
		return sum, api.Wrap("hash", path, err)
	}
	for {
		if d.ctx.Err() != nil {
			return sum, context.Cause(d.ctx)
		}
		n, err := unix.Read(fd, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return sum, api.Wrap("read", path, err)
		}
		if n == 0 {
			break
		}
		h.Write(buf[:n])
	}
	attrs, err := cp.Attributes(fd, path)
	if err != nil {
		return sum, err
	}
	sum = withAttributes([32]byte(h.Sum(nil)), attrs)
	if err := unix.Fstat(fd, &after); err != nil {
		return sum, api.Wrap("stat", path, err)
	}
	if recordOf(&before) == recordOf(&after) {
		hashes.remember(&before, since, sum)
	}
	return sum, nil
}

// withAttributes is a hash that stands for the attributes too.
func withAttributes(sum [32]byte, attrs map[string]string) [32]byte {
	if len(attrs) == 0 {
		return sum
	}
	b := sum[:]
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		b = field(field(b, name), attrs[name])
	}
	return sha256.Sum256(b)
}
