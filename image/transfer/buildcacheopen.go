package transfer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	libimage "go.podman.io/image/v5/image"
	ocilayout "go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"

	"sbx/api"
	"sbx/image"
)

// BuildCache is a build cache outside the store that is open for reading. Its index
// is in memory, its layers are fetched when they are wanted. It may be used by several
// goroutines.
type BuildCache struct {
	pulling
	place  CachePlace
	src    types.ImageSource
	host   string // of the registry; empty: not one
	repo   string // HOST/PATH there
	closer func() error
	steps  map[string]CacheStep
	layers map[digest.Digest]imgspecv1.Descriptor
}

// OpenBuildCache reads the index of a cache, of a registry or a layout, or of the image
// for a platform (os/arch[/variant]) there. Where there is nothing, or an image without
// a cache, the error is ErrNoCache.
func OpenBuildCache(ctx context.Context, o Options, from CachePlace, platform string) (_ *BuildCache, err error) {
	const op = "read cache"
	c := &BuildCache{place: from, steps: map[string]CacheStep{}, layers: map[digest.Digest]imgspecv1.Descriptor{}}
	s, err := newSession(o)
	if err != nil {
		return nil, from.explain(op, "", err)
	}
	c.pulling = pulling{session: s, name: from.String(), want: hostPlatform(), explicit: true}
	if platform != "" {
		if c.want, err = parsePlatform(platform); err != nil {
			return nil, from.explain(op, "", err)
		}
	}
	if from.Ref != "" {
		err = c.inRegistry(ctx)
	} else {
		err = c.inLayout()
	}
	if err != nil {
		return nil, from.explain(op, c.host, err)
	}
	if err := c.read(ctx); err != nil {
		return nil, errors.Join(from.explain(op, c.host, err), c.Close())
	}
	return c, nil
}

// inRegistry asks the one registry that the name stands for, and no other that a short
// name might be found in: whoever answers could give any layer.
func (c *BuildCache) inRegistry(ctx context.Context) error {
	at, err := c.place.registry()
	if err != nil {
		return err
	}
	c.host, c.repo = reference.Domain(at.named), at.named.Name()
	if c.src, err = c.open(ctx, at.named); httpStatus(err) == http.StatusNotFound {
		return c.place.none()
	}
	if err == nil {
		c.closer = c.src.Close
	}
	return err
}

func (c *BuildCache) inLayout() error {
	in, err := openDir(c.place.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return c.place.none()
	}
	if err != nil {
		return err
	}
	c.closer = in.Close
	ref, err := ocilayout.NewReference(c.place.Dir, "")
	if err == nil {
		err = c.inFiles(in, ref)
	}
	if err != nil {
		return errors.Join(err, in.Close())
	}
	return nil
}

func (c *BuildCache) inFiles(in files, ref types.ImageReference) error {
	l, err := openLayout(in)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !l.titled(c.place.title()) {
		return c.place.none()
	}
	if err != nil {
		return err
	}
	entry, err := l.entry(c.place.title())
	c.src = &layoutSource{l, ref, entry}
	return err
}

// titled says that a layout has something of this name.
func (l *layout) titled(name string) bool {
	for _, d := range l.entries {
		if d.Annotations[imgspecv1.AnnotationRefName] == name {
			return true
		}
	}
	return false
}

// read reads the manifest and the index.
func (c *BuildCache) read(ctx context.Context) error {
	m, err := c.cacheManifest(ctx)
	if err != nil {
		return err
	}
	data, err := c.config(ctx, c.src, *m.Config)
	if err != nil {
		return err
	}
	index, err := parseCacheIndex(data, m)
	if err != nil {
		return err
	}
	if index == nil {
		return c.place.none()
	}
	for i, id := range index.Layers {
		c.layers[id] = m.Layers[i]
	}
	for _, s := range index.Steps {
		c.steps[s.Key] = s
		if s.Copy != "" {
			c.steps[s.Copy] = s
		}
	}
	return nil
}

// cacheManifest reads the manifest, of the image for the platform if there is a list
// of them. The policy is asked as for an image.
func (c *BuildCache) cacheManifest(ctx context.Context) (*manifest, error) {
	img := libimage.UnparsedInstance(c.src, nil)
	m, err := c.oneManifest(ctx, img)
	if err != nil {
		return nil, err
	}
	if m.list() {
		chosen, err := choose(m.Manifests, c.want)
		if err != nil {
			return nil, err
		}
		img = libimage.UnparsedInstance(c.src, &chosen.Digest)
		if m, err = c.oneManifest(ctx, img); err != nil {
			return nil, err
		}
		if err := m.is(chosen.Digest); err != nil {
			return nil, err
		}
		if m.list() {
			return nil, badManifest("it is a list of lists")
		}
	}
	wctx, _, stop := watched(ctx, c.limits)
	defer stop()
	return m, cause(wctx, c.session.policy.check(wctx, img))
}

func (c *BuildCache) oneManifest(ctx context.Context, img *libimage.UnparsedImage) (*manifest, error) {
	data, mediaType, err := c.rawManifest(ctx, img)
	if err != nil {
		return nil, err
	}
	if err := foreignCache(data); err != nil {
		return nil, err
	}
	return parseCacheManifest(data, mediaType)
}

// Find gives what the cache knows of a step, by one of its keys.
func (c *BuildCache) Find(key string) (CacheStep, bool) {
	s, ok := c.steps[key]
	return s, ok
}

// Has says whether the cache lists a layer.
func (c *BuildCache) Has(layer digest.Digest) bool {
	_, ok := c.layers[layer]
	return ok
}

// Steps is how many steps it knows of.
func (c *BuildCache) Steps() int { return len(c.steps) }

// Stage fetches a layer that the cache lists and unpacks it. It is verified as one of
// an image. The blob is the form that it came in, for image.Store.Remember.
func (c *BuildCache) Stage(ctx context.Context, layer digest.Digest, report func(api.Progress)) (*image.Staged, image.Blob, error) {
	own := *c.session
	own.board = newBoard()
	defer own.board.join(report)()
	defer own.board.flush()
	desc := c.layers[layer]
	d := delivery{session: &own, from: origin{repo: c.repo}, layers: []imgspecv1.Descriptor{desc}}
	d.conf.RootFS.DiffIDs = []digest.Digest{layer}
	d.open = func(ctx context.Context, _ int) (io.ReadCloser, imgspecv1.Descriptor, error) {
		return c.openLayer(ctx, c.src, desc, layer)
	}
	staged, blob, err := d.stageOne(ctx, 0)
	return staged, blob, explain("fetch layer", stepID(layer), c.host, err)
}

// Close ends the use of the cache.
func (c *BuildCache) Close() error { return c.closer() }
