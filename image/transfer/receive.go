package transfer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	libimage "go.podman.io/image/v5/image"
	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/types"

	"sbx/api"
	"sbx/image"
)

// origin says where an image comes from and what it will be called.
type origin struct {
	repo   string        // HOST/PATH in a registry; empty: not from one
	names  []string      // normalised
	pinned digest.Digest // that the user asked for; empty: whatever the tag stands for
}

// receive brings one image from src into the store.
func (j pulling) receive(ctx context.Context, src types.ImageSource, from origin) (Pulled, error) {
	top, m, err := j.manifests(ctx, src)
	if err != nil {
		return Pulled{}, err
	}
	got := Pulled{Digest: top.digest()}
	if len(from.names) > 0 {
		got.Name = from.names[0]
	}
	d := delivery{
		session: j.session, from: from, manifest: m.raw, mediaType: m.mediaType, layers: m.Layers,
	}
	if top != m {
		d.digests = []digest.Digest{top.digest()}
	}
	if from.pinned != "" {
		if err := top.is(from.pinned); err != nil {
			return Pulled{}, err
		}
		if !slices.Contains([]digest.Digest{top.digest(), m.digest()}, from.pinned) {
			d.digests = append(d.digests, from.pinned)
		}
	}
	if img, ok := j.same(from, m.digest()); ok {
		got.Image, err = j.again(ctx, img, d)
		return got, err
	}
	d.config, err = j.config(ctx, src, *m.Config)
	if err != nil {
		return Pulled{}, err
	}
	if d.conf, err = parseConfiguration(d.config, len(m.Layers)); err != nil {
		return Pulled{}, err
	}
	if err := j.checkPlatform(d.conf); err != nil {
		return Pulled{}, err
	}
	d.open = func(ctx context.Context, i int) (io.ReadCloser, imgspecv1.Descriptor, error) {
		return j.openLayer(ctx, src, m.Layers[i], d.conf.RootFS.DiffIDs[i])
	}
	got.Image, got.Fresh, err = d.deliver(ctx)
	return got, err
}

// manifests reads what the name stands for, and the manifest of the one image for
// the platform, which is the same unless that is a list. The policy is asked before
// anything is believed.
func (j pulling) manifests(ctx context.Context, src types.ImageSource) (top, m *manifest, err error) {
	img := libimage.UnparsedInstance(src, nil)
	if top, err = j.manifest(ctx, img); err != nil {
		return nil, nil, err
	}
	m = top
	if top.list() {
		chosen, err := choose(top.Manifests, j.want)
		if err != nil {
			return nil, nil, err
		}
		img = libimage.UnparsedInstance(src, &chosen.Digest)
		if m, err = j.manifest(ctx, img); err != nil {
			return nil, nil, err
		}
		if err := m.is(chosen.Digest); err != nil {
			return nil, nil, err
		}
		if m.list() {
			return nil, nil, badManifest("it is a list of lists")
		}
	}
	wctx, _, stop := watched(ctx, j.limits)
	defer stop()
	return top, m, cause(wctx, j.session.policy.check(wctx, img))
}

// manifest reads and parses one.
func (j pulling) manifest(ctx context.Context, img *libimage.UnparsedImage) (*manifest, error) {
	data, mediaType, err := j.rawManifest(ctx, img)
	if err != nil {
		return nil, err
	}
	return parseManifest(data, mediaType)
}

func (s *session) rawManifest(ctx context.Context, img *libimage.UnparsedImage) (data []byte, mediaType string, err error) {
	err = s.limits.retry(ctx, func() { s.board.line("Trying again") }, func() (err error) {
		wctx, _, stop := watched(ctx, s.limits)
		defer stop()
		data, mediaType, err = img.Manifest(wctx)
		return cause(wctx, err)
	})
	return data, mediaType, err
}

// same finds the image of this very manifest in the store, under the same
// repository: then nothing has changed since it was pulled.
func (j pulling) same(from origin, d digest.Digest) (image.Image, bool) {
	if from.repo == "" {
		return image.Image{}, false
	}
	img, err := j.Store.Resolve(from.repo + "@" + d.String())
	return img, err == nil
}

// again gives an image of the store the names and digests that it does not have
// yet.
func (j pulling) again(ctx context.Context, img image.Image, d delivery) (image.Image, error) {
	for _, l := range d.layers {
		j.board.set(stepID(l.Digest), api.StepPresent, l.Size, l.Size)
	}
	news := slices.ContainsFunc(d.from.names, func(name string) bool { return !slices.Contains(img.Names, name) })
	for _, list := range d.digests {
		known, err := j.Store.Resolve(d.from.repo + "@" + list.String())
		news = news || err != nil || known.ID != img.ID
	}
	if !news {
		return img, nil
	}
	r, err := j.Store.Record(img.ID)
	if err != nil {
		return img, err
	}
	return j.Store.Commit(ctx, image.New{
		Manifest: d.manifest, MediaType: d.mediaType, Config: r.Config, DiffIDs: r.DiffIDs,
		Layers: make([]*image.Staged, len(r.DiffIDs)), Blobs: make([]image.Blob, len(r.DiffIDs)),
		Names: d.from.names, Digests: d.digests,
	})
}

// config reads the configuration and verifies it.
func (j pulling) config(ctx context.Context, src types.ImageSource, want imgspecv1.Descriptor) (data []byte, err error) {
	if data := j.shared.small(want, maxConfig); data != nil {
		return data, nil
	}
	err = j.limits.retry(ctx, func() { j.board.line("Trying again") }, func() error {
		r, err := j.openBlob(ctx, src, want)
		if err != nil {
			return err
		}
		defer r.Close()
		data, err = readBlob(r, want, maxConfig)
		return r.cause(err)
	})
	return data, err
}

func (j pulling) checkPlatform(c configuration) error {
	if c.OS == "" && c.Architecture == "" || c.platform().rank(j.want) >= 0 {
		return nil
	}
	if j.explicit {
		_, err := choose([]imgspecv1.Descriptor{{Platform: &imgspecv1.Platform{
			OS: c.OS, Architecture: c.Architecture, Variant: c.Variant,
		}}, {}}, j.want)
		return err
	}
	j.board.line(fmt.Sprintf("the image is made for %s, which is not this machine's platform, %s",
		clean(c.platform().String()), j.want))
	return nil
}

// openLayer opens a layer: of a shared directory, else of the source.
func (j pulling) openLayer(ctx context.Context, src types.ImageSource, want imgspecv1.Descriptor, diffID digest.Digest) (io.ReadCloser, imgspecv1.Descriptor, error) {
	if r, d, ok := j.shared.layer(want, diffID); ok {
		return r, d, nil
	}
	r, err := j.openBlob(ctx, src, want)
	return r, want, err
}

// blob is a body that is being read, watched over.
type blob struct {
	io.Reader
	body io.Closer
	ctx  context.Context
	stop func()
}

// Close implements io.Closer.
func (b *blob) Close() error {
	err := b.body.Close()
	b.stop()
	return err
}

// cause is what a read error is due to.
func (b *blob) cause(err error) error { return cause(b.ctx, err) }

// openBlob asks for a blob. Addresses in the manifest (foreign layers) are not
// passed on: only the registry that the user named is asked (CVE-2020-15157).
func (j pulling) openBlob(ctx context.Context, src types.ImageSource, want imgspecv1.Descriptor) (*blob, error) {
	wctx, w, stop := watched(ctx, j.limits)
	r, _, err := src.GetBlob(wctx, types.BlobInfo{Digest: want.Digest, Size: want.Size, MediaType: want.MediaType}, none.NoCache)
	if err != nil {
		err = cause(wctx, err)
		stop()
		if httpStatus(err) == http.StatusNotFound {
			// The manifest is there, or we would not ask: it is not the name that is wrong.
			return nil, api.Errorf("fetch", want.Digest.String(), "the registry does not have it, though the manifest names it: %s", registryText(err)).
				WithHint("the image is incomplete there: tell whoever published it")
		}
		return nil, err
	}
	return &blob{w.body(r), r, wctx, stop}, nil
}
