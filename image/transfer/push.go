package transfer

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/archive"
	ociarchive "go.podman.io/image/v5/oci/archive"
	ocilayout "go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/types"

	"sbx/api"
	"sbx/image"
)

// commitTime is how long a registry may take to put a large blob in its place.
const commitTime = 10 * time.Minute

// Push sends an image, or with AllTags all of a repository, and returns the digest
// of the (last) manifest as it is there. What the registry has, in this repository
// or another that is known to have it, is not sent again.
func Push(ctx context.Context, o Options, p api.Push) (digest.Digest, error) {
	s, err := newSession(o)
	if err != nil {
		return "", explain("push", p.Name, "", err)
	}
	s.limits.answer = commitTime
	defer s.board.join(s.Report)()
	defer s.board.flush()
	jobs, err := s.pushes(p)
	if err != nil {
		return "", explain("push", p.Name, "", err)
	}
	var last digest.Digest
	for _, j := range jobs {
		host := ""
		if j.to.named != nil {
			host = reference.Domain(j.to.named)
		}
		if last, err = s.push(ctx, p, j); err != nil {
			return "", explain("push", j.name, host, err)
		}
		if j.to.named == nil {
			continue
		}
		if err := s.Store.NoteDigest(j.img.ID, j.to.named.Name(), last); err != nil {
			return last, err
		}
	}
	if p.DigestFile != "" {
		if err := os.WriteFile(p.DigestFile, []byte(last.String()), 0o644); err != nil {
			return last, api.Wrap("write digest", p.DigestFile, errors.Unwrap(err))
		}
	}
	return last, nil
}

// pushJob is one image and where it goes.
type pushJob struct {
	img  image.Image
	name string // for messages
	to   place
}

func (s *session) pushes(p api.Push) ([]pushJob, error) {
	if p.AllTags {
		return s.pushTags(p)
	}
	img, err := s.Store.Resolve(p.Name)
	if err != nil {
		return nil, err
	}
	dest := p.To
	if dest == "" {
		if dest, err = ownName(img, p.Name); err != nil {
			return nil, err
		}
	}
	to, err := parsePlace(dest)
	return []pushJob{{img, dest, to}}, err
}

// ownName is the name by which the user means img.
func ownName(img image.Image, typed string) (string, error) {
	named, err := parseName(typed)
	if err == nil && (slices.Contains(img.Names, named.String()) || isDigested(named)) {
		return named.String(), nil
	}
	for _, name := range img.Tags() {
		if named, err2 := parseName(strings.TrimPrefix(name, "localhost/")); err == nil && err2 == nil && strings.HasPrefix(name, "localhost/") {
			if want, _ := parseName(typed); named.String() == want.String() {
				return name, nil
			}
		}
	}
	return "", api.Errorf("push", printable(typed), "this is no name of the image, so it does not say where to push to").
		WithHint("say where: sbx push %s HOST/NAME:TAG", printable(typed))
}

// pushTags are all images with a name in the repository.
func (s *session) pushTags(p api.Push) ([]pushJob, error) {
	repo, err := reference.ParseNormalizedNamed(p.Name)
	if err != nil || !reference.IsNameOnly(repo) || p.To != "" {
		return nil, api.Errorf("push", printable(p.Name), "--all-tags wants the name of a repository, without a tag, and nothing else").
			WithHint("for example: sbx push --all-tags HOST/NAME")
	}
	images, err := s.Store.List()
	if err != nil {
		return nil, err
	}
	var jobs []pushJob
	for _, img := range images {
		for _, name := range img.Tags() {
			if base, _, _ := cutTag(name); base != repo.Name() {
				continue
			}
			to, err := parsePlace(name)
			if err != nil {
				return nil, err
			}
			jobs = append(jobs, pushJob{img, name, to})
		}
	}
	if len(jobs) == 0 {
		return nil, api.Errorf("push", printable(p.Name), "no image here has a tag in this repository").
			WithHint("give an image a name there: sbx tag IMAGE %s:TAG", printable(repo.Name()))
	}
	return jobs, nil
}

func (s *session) push(ctx context.Context, p api.Push, j pushJob) (_ digest.Digest, err error) {
	pack, err := newPacker(p.Compression, p.Level)
	if err != nil {
		return "", err
	}
	job, err := s.newSending(j.img, p.Format, pack, p.Compression != "")
	if err != nil {
		return "", err
	}
	dest, err := s.destination(ctx, j.to)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	job.sink = &librarySink{session: s, dest: dest, repo: j.to.named}
	job.serial = !dest.HasThreadSafePutBlob()
	switch dest.DesiredLayerCompression() {
	case types.Decompress, types.PreserveOriginal:
		job.pack = packer{}
	}
	if j.to.named != nil {
		job.repo = j.to.named.Name()
	}
	if takes := dest.SupportedManifestMIMETypes(); len(takes) > 0 && !slices.Contains(takes, string(job.format)) {
		if job.fixed {
			return "", api.Errorf("push", "", "%s cannot hold the format %s", j.to.transport, p.Format).WithHint("leave --format away")
		}
		job.format = job.format.other()
	}
	data, err := job.send(ctx)
	if err != nil {
		return "", err
	}
	return digest.FromBytes(data), dest.Commit(ctx, nil)
}

// destination opens a place to write to. Nothing is sent yet.
func (s *session) destination(ctx context.Context, to place) (types.ImageDestination, error) {
	var ref types.ImageReference
	var err error
	sys := &s.sys
	switch to.transport {
	case registryTransport:
		if sys, err = s.context(ctx, to.named); err == nil {
			ref, err = docker.NewReference(to.named)
		}
	case layoutTransport:
		ref, err = ocilayout.NewReference(to.path, to.image)
	case ociArchiveTransport:
		ref, err = ociarchive.NewReference(to.path, to.image)
	case dirTransport:
		if err = os.MkdirAll(to.path, 0o755); err == nil {
			ref, err = directory.NewReference(to.path)
		}
	case dockerArchiveTransport:
		ref, err = archive.ParseReference(strings.TrimSuffix(to.path+":"+to.image, ":"))
	}
	if err != nil {
		return nil, err
	}
	return ref.NewImageDestination(ctx, sys)
}

// librarySink is a destination of the library: a registry, mostly.
type librarySink struct {
	*session
	dest types.ImageDestination
	repo reference.Named // nil: not a registry
}

func (l *librarySink) has(ctx context.Context, b image.Blob) (string, error) {
	ctx, _, stop := watched(ctx, l.limits)
	defer stop()
	info := types.BlobInfo{Digest: b.Digest, Size: b.Size, MediaType: b.MediaType}
	ok, _, err := l.dest.TryReusingBlob(ctx, info, none.NoCache, false)
	if err != nil || ok {
		return api.StepPresent, cause(ctx, err)
	}
	if l.repo == nil {
		return "", nil
	}
	cache := candidates(b.Digest, b.Repos, l.repo)
	if cache == nil {
		return "", nil
	}
	ok, _, err = l.dest.TryReusingBlob(ctx, info, cache, false)
	if err != nil || !ok {
		return "", cause(ctx, err)
	}
	return api.StepMounted, nil
}

func (l *librarySink) put(ctx context.Context, r io.Reader, d imgspecv1.Descriptor, config bool) (digest.Digest, int64, error) {
	ctx, w, stop := watched(ctx, l.limits)
	defer stop()
	info := types.BlobInfo{Digest: d.Digest, Size: d.Size, MediaType: d.MediaType}
	got, err := l.dest.PutBlob(ctx, w.upload(r), info, none.NoCache, config)
	return got.Digest, got.Size, cause(ctx, err)
}

func (l *librarySink) manifest(ctx context.Context, data []byte) error {
	return l.limits.retry(ctx, func() {}, func() error {
		ctx, _, stop := watched(ctx, l.limits)
		defer stop()
		return cause(ctx, l.dest.PutManifest(ctx, data, nil))
	})
}

// rejected says that a sink does not take the format of a manifest.
func rejected(err error) bool {
	var other types.ManifestTypeRejectedError
	return errors.As(err, &other)
}
