package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	imgspecs "github.com/opencontainers/image-spec/specs-go"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image"
)

// entriesOf are the entries of index.json for an image: one for each name.
func entriesOf(sv saved, manifest []byte) []imgspecv1.Descriptor {
	d := imgspecv1.Descriptor{
		MediaType: imgspecv1.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest)),
		Platform: &imgspecv1.Platform{OS: sv.img.OS, Architecture: sv.img.Architecture, Variant: sv.img.Variant},
	}
	if len(sv.names) == 0 {
		return []imgspecv1.Descriptor{d}
	}
	var list []imgspecv1.Descriptor
	for _, name := range sv.names {
		d.Annotations = map[string]string{imgspecv1.AnnotationRefName: name}
		list = append(list, d)
	}
	return list
}

// saveTo sends the images to a sink that makes a layout.
func (s *session) saveTo(ctx context.Context, images []saved, to sink) ([]imgspecv1.Descriptor, error) {
	var entries []imgspecv1.Descriptor
	for _, sv := range images {
		job, err := s.newSending(sv.img, "oci", packer{kind: packGzip}, false)
		if err != nil {
			return nil, err
		}
		job.sink = to
		data, err := job.send(ctx)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entriesOf(sv, data)...)
	}
	return entries, nil
}

// saveLayoutDir adds images to an OCI layout that others may pull from: all files
// are readable for everybody, each appears whole, and index.json comes last. What
// the layout holds already stays; a name that it has goes to the new image.
func (s *session) saveLayoutDir(ctx context.Context, dir string, images []saved) error {
	d := &layoutDir{dir: dir}
	if err := d.make(); err != nil {
		return err
	}
	entries, err := s.saveTo(ctx, images, d)
	if err != nil {
		return err
	}
	return d.commit(ctx, entries)
}

// layoutDir is the sink of a directory.
type layoutDir struct{ dir string }

// make makes the directories, and removes what a writer that was killed has left there.
func (d *layoutDir) make() error {
	for _, dir := range []string{"", "blobs/sha256"} {
		if err := d.mkdir(dir); err != nil {
			return err
		}
	}
	return d.sweep()
}

// mkdir makes a directory below d.dir, which everybody may read whatever the umask.
func (d *layoutDir) mkdir(name string) error {
	path := d.dir
	for _, part := range append([]string{"."}, splitPath(name)...) {
		path = filepath.Join(path, part)
		err := os.Mkdir(path, 0o755)
		if part == "." && errors.Is(err, fs.ErrNotExist) {
			err = os.MkdirAll(path, 0o755)
		}
		if err == nil {
			err = os.Chmod(path, 0o755)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func splitPath(name string) []string {
	if name == "" {
		return nil
	}
	dir, base := filepath.Split(name)
	return append(splitPath(filepath.Clean("/" + dir)[1:]), base)
}

func (d *layoutDir) path(id digest.Digest) string { return filepath.Join(d.dir, blobPath(id)) }

func (d *layoutDir) has(_ context.Context, b image.Blob) (string, error) {
	info, err := os.Lstat(d.path(b.Digest))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() != b.Size:
		return "", nil
	}
	return api.StepPresent, nil
}

func (d *layoutDir) put(_ context.Context, r io.Reader, _ imgspecv1.Descriptor, _ bool) (digest.Digest, int64, error) {
	f, err := d.create("blobs/sha256")
	if err != nil {
		return "", 0, err
	}
	sum := digest.Canonical.Digester()
	size, err := io.Copy(io.MultiWriter(f, sum.Hash()), r)
	return sum.Digest(), size, d.place(f, d.path(sum.Digest()), err)
}

// place gives a complete file its name, while its lock is held. With an error it is
// removed.
func (d *layoutDir) place(f *os.File, path string, err error) error {
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return errors.Join(err, f.Close())
}

func (d *layoutDir) manifest(ctx context.Context, data []byte) error {
	_, _, err := d.put(ctx, bytes.NewReader(data), imgspecv1.Descriptor{}, false)
	return err
}

// commit makes the images visible. Others may do so at the same time.
func (d *layoutDir) commit(ctx context.Context, news []imgspecv1.Descriptor) (err error) {
	lock, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := flock(ctx, lock); err != nil {
		return err
	}
	index := newIndex()
	in, err := openDir(d.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	data, err := readSmall(in, imgspecv1.ImageIndexFile, maxManifest)
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &index); err != nil {
			return api.Errorf("read index.json", d.dir, "%s", clean(err.Error())).WithHint("mend it, or save to another directory")
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	index.Manifests = merge(index.Manifests, news)
	if err := d.write(imgspecv1.ImageLayoutFile, layoutVersion()); err != nil {
		return err
	}
	return d.write(imgspecv1.ImageIndexFile, index)
}

// lockTime is how long somebody else may hold the lock. Whoever can read the
// directory can take it, and keep it.
const lockTime = 30 * time.Second

func flock(ctx context.Context, f *os.File) error {
	ctx, stop := context.WithTimeout(ctx, lockTime)
	defer stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return os.NewSyscallError("flock", err)
		}
		select {
		case <-ctx.Done():
			return api.Errorf("lock", f.Name(), "another process holds it").WithHint("try again when that has ended: fuser %s", f.Name())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// merge adds entries. A name belongs to the newest; an entry that is there already
// stays one.
func merge(old, news []imgspecv1.Descriptor) []imgspecv1.Descriptor {
	for _, n := range news {
		old = slices.DeleteFunc(old, func(o imgspecv1.Descriptor) bool {
			return title(o) == title(n) && (title(n) != "" || o.Digest == n.Digest)
		})
	}
	return append(old, news...)
}

func (d *layoutDir) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := d.create(".")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return d.place(f, filepath.Join(d.dir, name), err)
}

func newIndex() imgspecv1.Index {
	return imgspecv1.Index{Versioned: imgspecs.Versioned{SchemaVersion: 2}, MediaType: imgspecv1.MediaTypeImageIndex}
}

func layoutVersion() imgspecv1.ImageLayout {
	return imgspecv1.ImageLayout{Version: imgspecv1.ImageLayoutVersion}
}

// saveLayoutArchive writes an OCI layout as a tar archive.
func (s *session) saveLayoutArchive(ctx context.Context, f *os.File, images []saved) error {
	out := &layoutTar{tarWriter: newTarWriter(ctx, f), dir: s.Dirs.Data, sizes: map[digest.Digest]int64{}}
	if err := out.text(imgspecv1.ImageLayoutFile, layoutVersion()); err != nil {
		return err
	}
	// Directories that are not in the archive skopeo makes and gives to root, which
	// an ordinary user may not.
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := out.WriteHeader(&tar.Header{Name: dir, Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
			return err
		}
	}
	entries, err := s.saveTo(ctx, images, out)
	if err != nil {
		return err
	}
	index := newIndex()
	index.Manifests = merge(nil, entries)
	if err := out.text(imgspecv1.ImageIndexFile, index); err != nil {
		return err
	}
	return out.Close()
}

// layoutTar is the sink of an archive. The size of a file comes before its content
// in tar, so that a layer is compressed to an unnamed file first.
type layoutTar struct {
	*tarWriter
	dir   string
	mu    sync.Mutex // around the archive
	sizes map[digest.Digest]int64
}

func (l *layoutTar) has(_ context.Context, b image.Blob) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if size, ok := l.sizes[b.Digest]; ok && size == b.Size {
		return api.StepPresent, nil
	}
	return "", nil
}

func (l *layoutTar) put(_ context.Context, r io.Reader, _ imgspecv1.Descriptor, _ bool) (_ digest.Digest, size int64, err error) {
	f, err := unnamed(l.dir)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := digest.Canonical.Digester()
	if size, err = io.Copy(io.MultiWriter(f, sum.Hash()), r); err != nil {
		return "", 0, err
	}
	id := sum.Digest()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sizes[id] = size
	if err := l.file(blobPath(id), size, io.NewSectionReader(f, 0, size)); err != nil {
		return "", 0, fmt.Errorf("write archive: %w", err)
	}
	return id, size, nil
}

func (l *layoutTar) manifest(ctx context.Context, data []byte) error {
	_, _, err := l.put(ctx, bytes.NewReader(data), imgspecv1.Descriptor{}, false)
	return err
}
