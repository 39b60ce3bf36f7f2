package image

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
	"go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// splitName is tar-split's data in a staging directory.
const splitName = "tar-split.gz"

// StageOptions say what a layer is, and who wants to know.
type StageOptions struct {
	Source   string               // for messages: a digest, the name of a file
	Rootfs   bool                 // a root file system somebody has packed, no layer: its rules are stricter
	Holes    bool                 // leave holes where files have blocks of zeros
	Progress func(unpacked int64) // called with the number of bytes unpacked so far; may be nil
}

// Staged is a layer that is unpacked and not yet part of the store.
type Staged struct {
	DiffID digest.Digest // of the tar archive
	Size   int64         // of the tar archive, bytes

	out     *graphdriver.DriverWithDifferOutput
	source  string
	rootSet bool // the archive has an entry for the root directory
	opaque  bool // a whiteout in it hides all that layers below have
	staging string
	done    atomic.Bool
}

// Stage unpacks one layer: a tar archive, plain or packed with gzip, zstd, bzip2 or
// xz. It may run for several layers at once. r is read to its very end, so that a
// digest the caller computes over it is complete; whether it is the right one, the
// caller has to see, and to Discard the layer if not.
//
// Errors are *api.Error with the source's name, but for those of r, which come back
// as they are; nothing is left of the layer. Ending ctx stops the unpacking; a read
// of r that waits must end for it.
func (s *Store) Stage(ctx context.Context, r io.Reader, o StageOptions) (*Staged, error) {
	s.litter.retry()
	l := &Staged{source: o.Source}
	d := &differ{s: s, ctx: ctx, r: r, o: o, l: l}
	out, err := s.store.PrepareStagedLayer(nil, d)
	if err == nil {
		l.out = out
		return l, nil
	}
	var left error
	if out != nil && out.Target != "" {
		left = s.store.CleanupStagedLayer(out)
	}
	s.litter.drop(l.staging)
	// An error of r is the caller's own.
	if source := (*readError)(nil); errors.As(err, &source) && !o.Rootfs {
		if left == nil {
			return nil, source.err
		}
		return nil, errors.Join(source.err, left)
	}
	op, hint := "unpack layer", distrust
	if o.Rootfs {
		op, hint = "import", "see that the archive is one of a whole root file system"
	}
	return nil, about(op, explain(err, hint), left, o.Source)
}

// Discard removes a layer that was not committed. It does nothing for one that was,
// or that is removed already.
func (s *Store) Discard(l *Staged) error {
	s.litter.retry()
	if l == nil || l.done.Swap(true) {
		return nil
	}
	if err := s.store.CleanupStagedLayer(l.out); err != nil {
		return api.Wrap("remove layer", printable(l.source), err)
	}
	return nil
}

// differ is how the storage library calls the unpacking: it makes the directory, and
// removes it at the next start should this process be killed.
type differ struct {
	s   *Store
	ctx context.Context
	r   io.Reader
	o   StageOptions
	l   *Staged
}

// Close implements graphdriver.Differ.
func (d *differ) Close() error { return nil }

// ApplyDiff implements graphdriver.Differ.
func (d *differ) ApplyDiff(dest string, _ *archive.TarOptions, opts *graphdriver.DifferOptions) (out graphdriver.DriverWithDifferOutput, err error) {
	d.l.staging = opts.StagingDirectory
	free, err := roomAt(d.s.graphRoot)
	if err != nil {
		return out, err
	}
	check := newChecker(d.o.Rootfs)
	check.uids, check.gids, check.squash, check.room = d.s.uids, d.s.gids, d.s.squash(), free
	if err := unix.Chmod(dest, 0o755); err != nil {
		return out, &os.PathError{Op: "chmod", Path: dest, Err: err}
	}
	record, err := os.OpenFile(filepath.Join(opts.StagingDirectory, splitName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	window := uint64(layerWindow)
	if d.o.Rootfs {
		window = importWindow
	}
	feed := newFeed(d.ctx, d.r, window)
	defer feed.Close()
	split := newSplitter(record)
	u := &unpacker{
		in: newStream(feed, check, split, d.o.Progress), split: split,
		umask: d.s.umask, squash: check.squash, rootfs: d.o.Rootfs, holes: d.o.Holes,
		old: replaced{path: filepath.Join(opts.StagingDirectory, "replaced")}, program: d.s.program,
	}
	if u.dirs, err = openDirs(dest, d.s.umask); err != nil {
		return out, err
	}
	defer u.dirs.Close()
	defer func() { err = errors.Join(err, u.old.Close()) }()
	if err := u.run(); err != nil {
		return out, err
	}
	if len(u.stood) > 0 {
		if err := d.s.noteNamed(); err != nil {
			return out, err
		}
	}
	if err := u.seal(record); err != nil {
		return out, err
	}
	d.l.DiffID, d.l.Size = feed.digest(), u.in.total
	d.l.rootSet, d.l.opaque = u.rootSet, u.opaque
	return graphdriver.DriverWithDifferOutput{
		Size: d.l.Size, UncompressedDigest: d.l.DiffID,
	}, nil
}

// seal completes tar-split's data.
func (u *unpacker) seal(record *os.File) error {
	if err := u.split.Close(); err != nil {
		return err
	}
	if u.old.count == 0 {
		return nil
	}
	next, err := os.OpenFile(record.Name()+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer next.Close()
	split := newSplitter(next)
	if err := merge(split, record, u.old.find); err != nil {
		return err
	}
	if err := errors.Join(split.Close(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), record.Name())
}

// chainID is the name of a layer in the store, as the other libraries give it: it
// says what is in it and in all the layers below.
func chainID(parent string, diffID digest.Digest) string {
	if parent == "" {
		return diffID.Encoded()
	}
	return digest.FromString(parent + "+" + diffID.Encoded()).Encoded()
}

// Chain says how many of the layers with these digests, counted from the bottom, the
// store has, each on top of the ones before.
func (s *Store) Chain(diffIDs []digest.Digest) int {
	parent := ""
	for i, d := range diffIDs {
		if d.Validate() != nil {
			return i
		}
		parent = chainID(parent, d)
		if _, err := s.store.Layer(parent); err != nil {
			return i
		}
	}
	return len(diffIDs)
}

// sync writes everything of the store's file system to the disk.
func (s *Store) sync() error {
	fd, err := unix.Open(s.graphRoot, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: s.graphRoot, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Syncfs(fd); err != nil {
		return &os.PathError{Op: "syncfs", Path: s.graphRoot, Err: err}
	}
	return nil
}

// layerDir is where the storage library has the files of a layer.
func (s *Store) layerDir(id string) string { return filepath.Join(s.graphRoot, "overlay", id, "diff") }

// Where it looks for tar-split's data.
const splitDir, splitSuffix = "overlay-layers", ".tar-split.gz"

func (s *Store) splitPath(id string) string {
	return filepath.Join(s.graphRoot, splitDir, id+splitSuffix)
}

// apply makes a staged layer one of the store, on top of parent.
func (s *Store) apply(l *Staged, parent string, blobs []storage.LayerBigDataOption) (err error) {
	id := chainID(parent, l.DiffID)
	if l.done.Swap(true) {
		return api.Errorf("add layer", printable(l.source), "it is in the store, or removed, already")
	}
	staging := filepath.Dir(l.out.Target)
	defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
	if parent != "" && l.opaque {
		if err := s.hideBelow(l.out.Target, parent); err != nil {
			return err
		}
	}
	if l.rootSet {
		st, err := os.Stat(l.out.Target)
		if err != nil {
			return err
		}
		mode := st.Mode()
		l.out.RootDirMode = &mode
	}
	_, err = s.store.ApplyStagedLayer(storage.ApplyStagedLayerOptions{
		ID: id, ParentLayer: parent, DiffOutput: l.out,
		LayerOptions: &storage.LayerOptions{BigData: blobs},
	})
	if err != nil {
		return errors.Join(err, s.store.CleanupStagedLayer(l.out))
	}
	if err := os.Rename(filepath.Join(staging, splitName), s.splitPath(id)); err != nil {
		return errors.Join(err, s.deleteLayer(id))
	}
	return nil
}
