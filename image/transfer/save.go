package transfer

import (
	"context"
	"errors"
	"os"
	"slices"

	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/types"

	"sbx/api"
	"sbx/image"
)

// saved is an image to be saved, under these names.
type saved struct {
	img   image.Image
	names []string // normalised; none: it was named by its id
}

// Save writes images to f, or to a directory. f may be a pipe.
func Save(ctx context.Context, o Options, f *os.File, p api.Save) error {
	what := p.Dir
	if len(p.Names) == 1 {
		what = p.Names[0]
	}
	s, err := newSession(o)
	if err != nil {
		return explain("save", what, "", err)
	}
	defer s.board.join(s.Report)()
	defer s.board.flush()
	images, err := s.toSave(p.Names)
	if err != nil {
		return explain("save", what, "", err)
	}
	inDir := p.Format == api.OCIDir || p.Format == api.DockerDir
	if inDir && p.Dir == "" || !inDir && f == nil {
		return api.Errorf("save", what, "it is not said where to").WithHint("give a file, or a directory, with -o")
	}
	switch p.Format {
	case "", api.DockerArchive:
		err = s.saveDocker(ctx, f, images)
	case api.OCIArchive:
		err = s.saveLayoutArchive(ctx, f, images)
	case api.OCIDir:
		err = s.saveLayoutDir(ctx, p.Dir, images)
	case api.DockerDir:
		err = s.saveDir(ctx, p.Dir, images)
	default:
		err = api.Errorf("save", what, "%s is no format", printable(p.Format)).
			WithHint("give docker-archive, oci-archive, oci-dir or docker-dir")
	}
	return explain("save", what, "", err)
}

// toSave finds the images. An image that is named twice is saved once, with both
// names.
func (s *session) toSave(names []string) ([]saved, error) {
	var list []saved
	for _, name := range names {
		img, err := s.Store.Resolve(name)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(list, func(o saved) bool { return o.img.ID == img.ID })
		if at < 0 {
			at = len(list)
			list = append(list, saved{img: img})
		}
		if own, err := ownName(img, name); err == nil {
			if named, err := parseName(own); err == nil && !isDigested(named) && !slices.Contains(list[at].names, own) {
				list[at].names = append(list[at].names, own)
			}
		}
	}
	return list, nil
}

// saveDir writes the one image of a dir: directory, as skopeo has it.
func (s *session) saveDir(ctx context.Context, dir string, images []saved) (err error) {
	if len(images) != 1 {
		return api.Errorf("save", dir, "a docker-dir holds one image").WithHint("save the others to directories of their own")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ref, err := directory.NewReference(dir)
	if err != nil {
		return err
	}
	var dest types.ImageDestination
	if dest, err = ref.NewImageDestination(ctx, &s.sys); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	job, err := s.newSending(images[0].img, "v2s2", packer{}, true)
	if err != nil {
		return err
	}
	job.sink = &librarySink{session: s, dest: dest}
	job.serial = !dest.HasThreadSafePutBlob()
	if _, err := job.send(ctx); err != nil {
		return err
	}
	return dest.Commit(ctx, nil)
}
