package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	imgspecs "github.com/opencontainers/image-spec/specs-go"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/types"

	"sbx/api"
	"sbx/image"
)

// CacheLayer is a layer that goes into a build cache.
type CacheLayer struct {
	DiffID digest.Digest
	ID     string      // in the store; empty: only From has it
	Size   int64       // of the tar archive, bytes, if it is in the store
	From   *BuildCache // which lists it
}

// CacheOptions say how a build cache is written.
type CacheOptions struct {
	Compression string // of layers: gzip or zstd; empty: gzip
	Level       *int   // of the compression; nil: a good one
}

// SendBuildCache writes a build cache. The layers come first, and what names them last:
// if it is ended before, the place has what it had. A layer of another cache that is
// not there any more is left out.
func SendBuildCache(ctx context.Context, o Options, to CachePlace, steps []CacheStep, layers []CacheLayer, c CacheOptions) error {
	const op = "write cache"
	s, err := newSession(o)
	if err != nil {
		return to.explain(op, "", err)
	}
	s.limits.answer = commitTime
	defer s.board.join(s.Report)()
	defer s.board.flush()
	pack, err := newPacker(c.Compression, c.Level)
	if err != nil {
		return to.explain(op, "", err)
	}
	job := &cacheSending{sending: sending{session: s, format: formatOCI, pack: pack, strict: c.Compression != ""}, steps: steps}
	host := ""
	if to.Ref != "" {
		host, err = job.toRegistry(ctx, to, layers)
	} else {
		err = job.toLayout(ctx, to, layers)
	}
	return to.explain(op, host, err)
}

// cacheSending is a build cache on its way out.
type cacheSending struct {
	sending
	steps []CacheStep
}

func (s *cacheSending) toRegistry(ctx context.Context, to CachePlace, layers []CacheLayer) (host string, err error) {
	at, err := to.registry()
	if err != nil {
		return "", err
	}
	host = reference.Domain(at.named)
	dest, err := s.destination(ctx, at)
	if err != nil {
		return host, err
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	s.sink, s.repo = &librarySink{session: s.session, dest: dest, repo: at.named}, at.named.Name()
	s.serial = !dest.HasThreadSafePutBlob()
	if dest.DesiredLayerCompression() == types.Decompress {
		s.pack = packer{}
	}
	if _, err := s.all(ctx, layers); err != nil {
		return host, err
	}
	return host, dest.Commit(ctx, nil)
}

func (s *cacheSending) toLayout(ctx context.Context, to CachePlace, layers []CacheLayer) error {
	d := &layoutDir{dir: to.Dir}
	if err := d.make(); err != nil {
		return err
	}
	s.sink = d
	data, err := s.all(ctx, layers)
	if err != nil {
		return err
	}
	return d.commit(ctx, []imgspecv1.Descriptor{{
		MediaType: imgspecv1.MediaTypeImageManifest, Digest: digest.FromBytes(data), Size: int64(len(data)),
		Annotations: map[string]string{imgspecv1.AnnotationRefName: to.title()},
	}})
}

// all sends everything, and gives the manifest.
func (s *cacheSending) all(ctx context.Context, layers []CacheLayer) ([]byte, error) {
	var own, others []CacheLayer
	for _, l := range layers {
		if l.ID == "" {
			others = append(others, l)
			continue
		}
		own = append(own, l)
		s.rec.DiffIDs = append(s.rec.DiffIDs, l.DiffID)
		s.img.LayerIDs, s.img.LayerSizes = append(s.img.LayerIDs, l.ID), append(s.img.LayerSizes, l.Size)
	}
	var kept []CacheLayer
	var passed []imgspecv1.Descriptor
	sent, err := s.layers(ctx, func(ctx context.Context) (err error) {
		kept, passed, err = s.pass(ctx, others)
		return err
	})
	if err != nil {
		return nil, err
	}
	index := cacheIndex{Steps: s.steps}
	for _, l := range append(own, kept...) {
		index.Layers = append(index.Layers, l.DiffID)
	}
	all := append(slices.Clone(sent), passed...)
	if err := s.remember(sent); err != nil {
		return nil, err
	}
	return s.publish(ctx, index, all)
}

// publish sends the index and the manifest.
func (s *cacheSending) publish(ctx context.Context, index cacheIndex, layers []imgspecv1.Descriptor) ([]byte, error) {
	data, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	config := imgspecv1.Descriptor{MediaType: cacheMedia, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if config.Size > maxConfig || len(layers) > maxCacheLayers {
		return nil, api.Errorf("write cache", "", "%d layers and an index of %d bytes are too many: nobody would read them", len(layers), config.Size).
			WithHint("give mode=min")
	}
	s.board.line("writing config " + config.Digest.String())
	err = s.limits.retry(ctx, func() {}, func() error {
		state, err := s.sink.has(ctx, image.Blob{Digest: config.Digest, Size: config.Size, MediaType: config.MediaType})
		if err != nil || state != "" {
			return err
		}
		_, _, err = s.sink.put(ctx, bytes.NewReader(data), config, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	if layers == nil {
		layers = []imgspecv1.Descriptor{} // null is no list
	}
	m := imgspecv1.Manifest{
		Versioned: imgspecs.Versioned{SchemaVersion: 2}, MediaType: imgspecv1.MediaTypeImageManifest, Config: config, Layers: layers,
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	s.board.line("writing manifest " + digest.FromBytes(manifest).String())
	return manifest, s.sink.manifest(ctx, manifest)
}

// pass hands layers on that other caches have and the store does not. One that cannot
// be had is left out.
func (s *cacheSending) pass(ctx context.Context, layers []CacheLayer) (kept []CacheLayer, sent []imgspecv1.Descriptor, err error) {
	for _, l := range layers {
		d, err := s.passOne(ctx, l)
		var lost *unreadable
		if errors.As(err, &lost) && ctx.Err() == nil {
			s.board.line("left out: " + clean(explain("fetch layer", stepID(l.DiffID), "", lost.err).Error()))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		kept, sent = append(kept, l), append(sent, d)
	}
	return kept, sent, nil
}

func (s *cacheSending) passOne(ctx context.Context, l CacheLayer) (imgspecv1.Descriptor, error) {
	d := l.From.layers[l.DiffID]
	d = imgspecv1.Descriptor{MediaType: s.format.layerType(packingOf(d.MediaType)), Digest: d.Digest, Size: d.Size}
	step := func(state string, done int64) { s.board.set(stepID(l.DiffID), state, done, d.Size) }
	b := image.Blob{Digest: d.Digest, Size: d.Size, MediaType: d.MediaType}
	if l.From.repo != "" {
		b.Repos = []string{l.From.repo}
	}
	return d, s.limits.retry(ctx, func() { step(api.StepRetrying, 0) }, func() error {
		state, err := s.sink.has(ctx, b)
		if err != nil || state != "" {
			step(state, d.Size)
			return err
		}
		r, err := l.From.openBlob(ctx, l.From.src, d)
		if err != nil {
			return &unreadable{err}
		}
		defer r.Close()
		in := newVerifier(r, d, func(done int64) { step(api.StepPushing, done) })
		got, _, err := s.sink.put(ctx, in, d, false)
		switch {
		case in.err != nil && !errors.Is(in.err, io.EOF):
			return &unreadable{r.cause(in.err)}
		case err == nil && got != d.Digest:
			err = mismatch(d.Digest, "it is "+got.String())
		}
		if err == nil {
			step(api.StepComplete, d.Size)
		}
		return err
	})
}

// unreadable is an error of where a layer comes from, not of where it goes.
type unreadable struct{ err error }

func (e *unreadable) Error() string { return e.err.Error() }
func (e *unreadable) Unwrap() error { return e.err }
