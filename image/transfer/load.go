package transfer

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"

	"sbx/api"
	"sbx/image"
)

// Loaded is an image that came out of an archive.
type Loaded struct {
	Image image.Image
	Names []string // normalised; those it has in the archive

	digest digest.Digest
	fresh  bool
}

// Load brings all images of an archive, or of a directory, into the store, under the
// names that they have there. f may be a pipe; what it holds is seen by its content:
// docker-archive or oci-archive, plain or compressed. Directories are OCI layouts or
// what skopeo calls dir:.
func Load(ctx context.Context, o Options, f *os.File, l api.Load) ([]Loaded, error) {
	s, err := newSession(o)
	if err != nil {
		return nil, explain("load", l.Source, "", err)
	}
	defer s.board.join(s.Report)()
	defer s.board.flush()
	job := pulling{session: s, name: l.Source, want: hostPlatform()}
	if l.Platform != "" {
		job.explicit = true
		if job.want, err = parsePlatform(l.Platform); err != nil {
			return nil, explain("load", l.Source, "", err)
		}
	}
	var all []Loaded
	if l.Dir != "" {
		all, err = job.loadAnyDir(ctx, l.Dir)
	} else {
		all, err = job.loadFile(ctx, f, l.Source, nil)
	}
	return all, explain("load", l.Source, "", err)
}

func (j pulling) loadAnyDir(ctx context.Context, dir string) ([]Loaded, error) {
	if _, err := os.Stat(dir + "/index.json"); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir + "/manifest.json"); err == nil {
			return j.loadDir(ctx, dir)
		}
	}
	return j.loadLayoutDir(ctx, dir, nil)
}

// loadFile takes images of an archive: the one called *only, or all.
func (j pulling) loadFile(ctx context.Context, f *os.File, source string, only *string) (_ []Loaded, err error) {
	spooled, err := spool(ctx, f, j.Dirs.Data)
	if err != nil {
		return nil, err
	}
	in, err := openTar(spooled)
	if err != nil {
		return nil, errors.Join(notAnArchive(err), spooled.Close())
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if _, docker := in.entries[dockerIndex]; docker {
		return j.loadDocker(ctx, in, source, only)
	}
	if _, oci := in.entries["index.json"]; oci {
		return j.loadLayoutArchive(ctx, in, source, only)
	}
	return nil, notALayout("")
}

func notAnArchive(err error) error {
	return api.Errorf("read archive", "", "%s", clean(err.Error())).
		WithHint("give a tar archive as docker save, podman save or sbx save write it")
}
