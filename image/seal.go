package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// Sealed is the upper directory of an overlay that has been read as a layer. The
// directory is where it was: others may stand on it until Adopt takes it.
type Sealed struct {
	DiffID digest.Digest // of the tar archive that the layer would be
	Size   int64         // of that, bytes

	dir, split string
}

// Empty says that nothing was changed.
func (l *Sealed) Empty() bool { return l.DiffID == emptyLayer }

// Seal finds out what the upper directory at dir is as a layer, without writing the
// archive anywhere: its digest, and the data by which it can be made again, which goes
// to the new file split. Nobody may change what is below dir any more.
//
// With u.Latest the times of the files are not those of the archive: use Stage.
func Seal(ctx context.Context, u *Upper, dir, split string) (_ *Sealed, err error) {
	if !u.Latest.IsZero() {
		return nil, errors.New("seal: the times of the files would not be those of the layer")
	}
	f, err := os.OpenFile(split, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(split))
		}
	}()
	s := newSealer(f)
	if err := packUpper(ctx, s, u, nil, s); err != nil {
		return nil, err
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	return &Sealed{DiffID: digest.NewDigest(digest.SHA256, s.hash), Size: s.size, dir: dir, split: split}, nil
}

// sealer takes the archive of a layer and keeps its digest and what tar-split needs.
type sealer struct {
	hash   hash.Hash
	size   int64
	split  *splitter
	raw    []byte // since the last body
	inBody bool
	sum    uint64 // of the body
}

func newSealer(w io.Writer) *sealer { return &sealer{hash: sha256.New(), split: newSplitter(w)} }

// Write implements io.Writer for the archive.
func (s *sealer) Write(b []byte) (int, error) {
	s.hash.Write(b)
	s.size += int64(len(b))
	if s.inBody {
		s.sum = crc(s.sum, b)
		return len(b), nil
	}
	s.raw = append(s.raw, b...)
	return len(b), nil
}

// begin says that the next bytes are those of a file.
func (s *sealer) begin() error {
	s.inBody, s.sum = true, 0
	return s.flush()
}

// end says that a file with this name in the layer has been written.
func (s *sealer) end(name string, size int64) error {
	s.inBody = false
	return s.split.file(name, size, s.sum)
}

func (s *sealer) flush() error {
	err := s.split.segment(s.raw)
	s.raw = s.raw[:0]
	return err
}

func (s *sealer) close() error { return errors.Join(s.flush(), s.split.Close()) }

// Adopt makes a sealed directory a staged layer, by a rename: it must be on the file
// system of the store. Whoever has it mounted goes on.
func (s *Store) Adopt(l *Sealed) (*Staged, error) {
	staged := &Staged{DiffID: l.DiffID, Size: l.Size, source: l.DiffID.String()}
	out, err := s.store.PrepareStagedLayer(nil, &adopter{l: l, staging: &staged.staging})
	if err != nil {
		if out != nil && out.Target != "" {
			err = errors.Join(err, s.store.CleanupStagedLayer(out))
		}
		s.litter.drop(staged.staging)
		return nil, api.Wrap("add layer", l.DiffID.String(), err)
	}
	staged.out = out
	return staged, nil
}

// adopter is how the storage library comes to the directory.
type adopter struct {
	l       *Sealed
	staging *string
}

// Close implements graphdriver.Differ.
func (a *adopter) Close() error { return nil }

// ApplyDiff implements graphdriver.Differ.
func (a *adopter) ApplyDiff(dest string, _ *archive.TarOptions, o *graphdriver.DifferOptions) (out graphdriver.DriverWithDifferOutput, err error) {
	*a.staging = o.StagingDirectory
	if err := os.Chmod(a.l.dir, 0o755); err != nil {
		return out, err
	}
	if err := os.Rename(a.l.split, filepath.Join(o.StagingDirectory, splitName)); err != nil {
		return out, err
	}
	// Not os.Rename, which has a rule of its own for directories: dest is there, and empty.
	if err := unix.Rename(a.l.dir, dest); err != nil {
		return out, &os.PathError{Op: "rename", Path: a.l.dir, Err: err}
	}
	return graphdriver.DriverWithDifferOutput{Size: a.l.Size, UncompressedDigest: a.l.DiffID}, nil
}
