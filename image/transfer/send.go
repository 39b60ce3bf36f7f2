package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"sbx/api"
	"sbx/image"
)

// parallelSends is how many layers are compressed and sent at once.
const parallelSends = 4

// sink takes the parts of an image.
type sink interface {
	// has says how the sink comes to have a blob without its being sent: one of the
	// final states of a step; empty if it does not.
	has(ctx context.Context, b image.Blob) (state string, err error)
	// put takes a blob. Its digest and size may not be known before: "" and -1.
	put(ctx context.Context, r io.Reader, d imgspecv1.Descriptor, config bool) (digest.Digest, int64, error)
	// manifest comes last.
	manifest(ctx context.Context, data []byte) error
}

// sending is an image on its way out of the store.
type sending struct {
	*session
	img    image.Image
	rec    image.Record
	sink   sink
	format format
	fixed  bool // the user wants this format and no other
	pack   packer
	strict bool   // the user wants this packing and no other
	repo   string // HOST/PATH in a registry, to be remembered; empty: not one
	serial bool   // the sink takes one blob at a time
}

func (s *session) newSending(img image.Image, f string, p packer, strict bool) (sending, error) {
	rec, err := s.Store.Record(img.ID)
	if err != nil {
		return sending{}, err
	}
	kind, err := parseFormat(f, rec.MediaType)
	if err == nil && kind == formatDocker && p.kind == packZstd {
		if f != "" {
			return sending{}, api.Errorf("compress", "", "Docker's schema 2 has no media type for zstd").
				WithHint("give --format oci, or gzip")
		}
		kind = formatOCI
	}
	return sending{session: s, img: img, rec: rec, format: kind, fixed: f != "", pack: p, strict: strict}, err
}

// send sends what is not there yet, and returns the manifest that it has there.
func (s *sending) send(ctx context.Context) ([]byte, error) {
	layers, err := s.layers(ctx, s.config)
	if err != nil {
		return nil, err
	}
	data, err := s.finish(ctx, layers)
	if err != nil {
		return nil, err
	}
	return data, s.remember(layers)
}

// layers sends the layers side by side, and with them what another function sends.
func (s *sending) layers(ctx context.Context, more func(context.Context) error) ([]imgspecv1.Descriptor, error) {
	layers := make([]imgspecv1.Descriptor, len(s.rec.DiffIDs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelSends)
	if s.serial {
		g.SetLimit(1)
	}
	for i, id := range s.rec.DiffIDs {
		s.board.set(stepID(id), api.StepWaiting, 0, s.img.LayerSizes[i])
	}
	for i := range layers {
		g.Go(func() (err error) {
			layers[i], err = s.layer(gctx, i)
			return err
		})
	}
	g.Go(func() error { return more(gctx) })
	return layers, g.Wait()
}

// remember notes the forms that the layers have been sent in.
func (s *sending) remember(layers []imgspecv1.Descriptor) error {
	if s.pack.kind == packNone {
		return nil // they are known by their diffIDs anyway
	}
	for i, l := range layers {
		b := image.Blob{Digest: l.Digest, Size: l.Size, MediaType: l.MediaType}
		if s.repo != "" {
			b.Repos = []string{s.repo}
		}
		if err := s.Store.Remember(s.rec.DiffIDs[i], b); err != nil {
			return err
		}
	}
	return nil
}

// finish sends the manifest, in the other format if this one is not taken and the
// user did not insist.
func (s *sending) finish(ctx context.Context, layers []imgspecv1.Descriptor) ([]byte, error) {
	data, err := s.format.build(s.rec, layers)
	if err != nil {
		return nil, err
	}
	err = s.sink.manifest(ctx, data)
	if err == nil || s.fixed || !rejected(err) {
		return data, err
	}
	f := s.format.other()
	for i := range layers {
		pack := packingOf(layers[i].MediaType)
		if f == formatDocker && pack == packZstd {
			return nil, err
		}
		layers[i].MediaType = f.layerType(pack)
	}
	if data, err = f.build(s.rec, layers); err != nil {
		return nil, err
	}
	return data, s.sink.manifest(ctx, data)
}

func (s *sending) config(ctx context.Context) error {
	d := imgspecv1.Descriptor{MediaType: s.format.configType(), Digest: digest.FromBytes(s.rec.Config), Size: int64(len(s.rec.Config))}
	return s.limits.retry(ctx, func() {}, func() error {
		state, err := s.sink.has(ctx, image.Blob{Digest: d.Digest, Size: d.Size, MediaType: d.MediaType})
		if err != nil || state != "" {
			return err
		}
		_, _, err = s.sink.put(ctx, bytes.NewReader(s.rec.Config), d, true)
		return err
	})
}

// layer makes sure that the sink has layer i, and returns its descriptor.
func (s *sending) layer(ctx context.Context, i int) (d imgspecv1.Descriptor, err error) {
	id, size := s.rec.DiffIDs[i], s.img.LayerSizes[i]
	step := func(state string, done int64) { s.board.set(stepID(id), state, done, size) }
	err = s.limits.retry(ctx, func() { step(api.StepRetrying, 0) }, func() error {
		for _, b := range s.known(i) {
			state, err := s.sink.has(ctx, b)
			if err != nil {
				return err
			}
			if state != "" {
				d = s.descriptor(b)
				step(state, size)
				return nil
			}
		}
		b, err := s.upload(ctx, i, func(done int64) { step(api.StepPushing, done) })
		if err == nil {
			d = s.descriptor(b)
			step(api.StepComplete, size)
		}
		return err
	})
	return d, err
}

func (s *sending) descriptor(b image.Blob) imgspecv1.Descriptor {
	return imgspecv1.Descriptor{MediaType: s.format.layerType(packingOf(b.MediaType)), Digest: b.Digest, Size: b.Size}
}

// known are the forms of layer i that the sink may have already, and may keep: what
// the manifest has first.
func (s *sending) known(i int) []image.Blob {
	id := s.rec.DiffIDs[i]
	var all []image.Blob
	if m, err := parseManifest(s.rec.Manifest, s.rec.MediaType); err == nil && len(m.Layers) == len(s.rec.DiffIDs) {
		l := m.Layers[i]
		if l.Digest == id {
			// Manifests made of docker-archives say gzip of what is not packed.
			l.MediaType = s.format.layerType(packNone)
		}
		all = append(all, image.Blob{Digest: l.Digest, Size: l.Size, MediaType: l.MediaType})
	}
	for _, b := range s.Store.Blobs(id) {
		if at := slices.IndexFunc(all, func(o image.Blob) bool { return o.Digest == b.Digest }); at >= 0 {
			all[at].Repos = b.Repos
		} else {
			all = append(all, b)
		}
	}
	return slices.DeleteFunc(all, func(b image.Blob) bool { return !s.fits(packingOf(b.MediaType)) })
}

// fits says whether a layer packed so may stay as it is.
func (s *sending) fits(p packing) bool {
	switch {
	case s.pack.kind == packNone || p == packNone || s.strict:
		return p == s.pack.kind
	}
	return p != packZstd || s.format == formatOCI
}

// upload sends layer i.
func (s *sending) upload(ctx context.Context, i int, moved func(int64)) (_ image.Blob, err error) {
	r, err := s.Store.OpenLayer(s.img, i)
	if err != nil {
		return image.Blob{}, err
	}
	packed := s.pack.stream(ctx, r, moved)
	defer func() { err = errors.Join(err, packed.Close()) }()
	d := imgspecv1.Descriptor{MediaType: s.format.layerType(s.pack.kind), Size: -1}
	if s.pack.kind == packNone {
		d.Digest, d.Size = s.rec.DiffIDs[i], s.img.LayerSizes[i]
	}
	got, size, err := s.sink.put(ctx, packed, d, false)
	return image.Blob{Digest: got, Size: size, MediaType: d.MediaType}, err
}
