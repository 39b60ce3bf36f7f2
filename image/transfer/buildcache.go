package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
)

// A build cache outside the store is an OCI image manifest whose layers are those of
// the steps, in no order, as an image would have them. Its configuration is a
// cacheIndex. An image may carry one in its own configuration, for its own layers.
const (
	cacheMedia = "application/vnd.sbx.buildcache.v1+json"
	// buildkitCache is the configuration of one of BuildKit's.
	buildkitCache = "application/vnd.buildkit.cacheconfig.v0"
)

// maxCacheLayers is how many layers a cache may list. They are only fetched when
// steps ask for them.
const maxCacheLayers = 5000

// ErrNoCache says that there is no build cache at a place.
var ErrNoCache = errors.New("there is no build cache")

// CachePlace is where a build cache is, outside the store: in a registry or in an OCI
// layout.
type CachePlace struct {
	Ref string // [docker://]NAME; empty: in a layout

	Dir string // of the layout, absolute
	Tag string // in the layout
}

// String is for messages.
func (p CachePlace) String() string {
	if p.Ref != "" {
		return printable(p.Ref)
	}
	return printable(p.Dir)
}

// registry is the name in a registry.
func (p CachePlace) registry() (place, error) {
	at, err := parsePlace(p.Ref)
	if err == nil && at.transport != registryTransport {
		err = api.Errorf("find image", p.String(), "it is no name in a registry").WithHint("type=local,src=DIR is for a directory")
	}
	return at, err
}

// CacheStep is what a build cache knows of a step of a build.
type CacheStep struct {
	Key     string        `json:"key"`              // of the files after the step: how they have come about; 64 hex digits
	Copy    string        `json:"copy,omitempty"`   // another key to find it by: of a copy, before what is copied is read
	Layer   digest.Digest `json:"layer,omitempty"`  // what the step has changed, as a tar archive; empty: nothing
	Parent  string        `json:"parent,omitempty"` // id of the layer below, see image.LayerID; empty: there is none
	Created time.Time     `json:"created"`
}

// cacheIndex says what the layers of a cache are.
type cacheIndex struct {
	// Layers are the digests of the layers as tar archives, in the order of the manifest.
	// In the configuration of an image they are left out: its own diffIDs say it.
	Layers []digest.Digest `json:"layers,omitempty"`
	// Steps may name layers that the cache does not have: it is enough to know that such
	// a step has been carried out if only a later one is wanted.
	Steps []CacheStep `json:"steps"`
}

// InlineCache is what an image has to have in its configuration for a build to find
// its layers by.
func InlineCache(steps []CacheStep) (json.RawMessage, error) {
	return json.Marshal(cacheIndex{Steps: steps})
}

// inlineCache is the configuration of an image that carries a cache.
type inlineCache struct {
	Cache *cacheIndex `json:"sbx.buildcache.v1"`
}

// parseCacheManifest reads the manifest of a cache, or of an image that may carry one.
func parseCacheManifest(data []byte, mediaType string) (*manifest, error) {
	m := &manifest{raw: data}
	if len(data) > maxManifest {
		return nil, badManifest("it has %d bytes, more than %d", len(data), maxManifest)
	}
	// What is wrong with it parseManifest says.
	if json.Unmarshal(data, &m.parsedManifest) != nil || m.Config == nil || m.Config.MediaType != cacheMedia {
		return parseManifest(data, mediaType)
	}
	if err := ambiguous(data); err != nil {
		return nil, err
	}
	m.mediaType = m.kind(mediaType)
	switch {
	case m.mediaType != imgspecv1.MediaTypeImageManifest || m.Manifests != nil:
		return nil, badManifest("its media type %q is not that of a build cache", clean(m.mediaType))
	case m.Config.Size > maxConfig:
		return nil, badManifest("its index has %d bytes, more than %d", m.Config.Size, maxConfig)
	case len(m.Layers) > maxCacheLayers:
		return nil, badManifest("it has %d layers, more than %d", len(m.Layers), maxCacheLayers)
	}
	for _, l := range m.Layers {
		if !layerType(l.MediaType) {
			return nil, badManifest("a layer is of the type %q", clean(l.MediaType))
		}
	}
	return m, checkDescriptors(append([]imgspecv1.Descriptor{*m.Config}, m.Layers...))
}

// foreignCache says that a manifest is one of BuildKit's caches, which know their steps
// by keys of its own.
func foreignCache(data []byte) error {
	var m parsedManifest
	if json.Unmarshal(data, &m) != nil {
		return nil // parseCacheManifest says what is wrong
	}
	if m.Config != nil {
		m.Manifests = append(m.Manifests, *m.Config)
	}
	for _, d := range m.Manifests {
		if d.MediaType == buildkitCache {
			return api.Errorf("read cache", "", "it is a cache of BuildKit's, which only BuildKit can read").
				WithHint("give another name with --cache-to and --cache-from")
		}
	}
	return nil
}

// parseCacheIndex reads the configuration of a cache, or of an image; nil: the image
// carries none.
func parseCacheIndex(data []byte, m *manifest) (*cacheIndex, error) {
	x := &cacheIndex{}
	if m.Config.MediaType == cacheMedia {
		if err := json.Unmarshal(data, x); err != nil {
			return nil, badManifest("its index is not JSON of the right form: %s", clean(err.Error()))
		}
		return x, x.check(len(m.Layers))
	}
	conf, err := parseConfiguration(data, len(m.Layers))
	if err != nil {
		return nil, err
	}
	var in inlineCache
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, badManifest("its index is not JSON of the right form: %s", clean(err.Error()))
	}
	if in.Cache == nil {
		return nil, nil
	}
	in.Cache.Layers = conf.RootFS.DiffIDs
	return in.Cache, in.Cache.check(len(m.Layers))
}

// cacheKey is the form of keys and of the ids of layers.
var cacheKey = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (x *cacheIndex) check(layers int) error {
	if len(x.Layers) != layers {
		return badManifest("its manifest has %d layers, its index %d", layers, len(x.Layers))
	}
	ids := x.Layers
	for i := range x.Steps {
		s := &x.Steps[i]
		for _, key := range []string{s.Key, s.Copy, s.Parent} {
			if key != "" && !cacheKey.MatchString(key) {
				return badManifest("%q in its index is no key", clean(key))
			}
		}
		if s.Key == "" {
			return badManifest("a step in its index has no key")
		}
		if s.Layer != "" {
			ids = append(ids, s.Layer)
		}
	}
	for _, id := range ids {
		if err := id.Validate(); err != nil || id.Algorithm() != digest.SHA256 {
			return badManifest("%q in its index is not a digest", clean(id.String()))
		}
	}
	return nil
}

// title is the layout's name for the cache.
func (p CachePlace) title() string {
	if p.Tag == "" {
		return "latest"
	}
	return p.Tag
}

// explain makes err one line about the cache.
func (p CachePlace) explain(op, host string, err error) error {
	if err == nil || errors.Is(err, ErrNoCache) {
		return err
	}
	return explain(op, p.String(), host, err)
}

// none says that the cache is not there.
func (p CachePlace) none() error { return fmt.Errorf("%w at %s", ErrNoCache, p) }
