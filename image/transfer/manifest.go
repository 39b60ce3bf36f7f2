package transfer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
)

// Bounds of what is read into memory, and of what overlay can mount.
const (
	maxManifest = 4 << 20
	maxConfig   = 16 << 20
	maxLayers   = 500
)

// Docker's media types. OCI's are in imgspecv1.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
	dockerForeign  = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	dockerSchema1  = "application/vnd.docker.distribution.manifest.v1"
)

// manifest is a manifest or a list of them, of either kind.
type manifest struct {
	raw       []byte
	mediaType string // one of the four known
	parsedManifest
}

type parsedManifest struct {
	SchemaVersion int                    `json:"schemaVersion"`
	MediaType     string                 `json:"mediaType"`
	ArtifactType  string                 `json:"artifactType"`
	Config        *imgspecv1.Descriptor  `json:"config"`
	Layers        []imgspecv1.Descriptor `json:"layers"`
	Manifests     []imgspecv1.Descriptor `json:"manifests"`
	FSLayers      json.RawMessage        `json:"fsLayers"`
}

func (m *manifest) list() bool {
	return m.mediaType == imgspecv1.MediaTypeImageIndex || m.mediaType == dockerList
}

func (m *manifest) digest() digest.Digest { return digest.FromBytes(m.raw) }

// is refuses a manifest with another digest, of whatever kind. The library has seen
// to it already, in its own way: of what it takes for schema 1 it leaves out a part.
func (m *manifest) is(want digest.Digest) error {
	if got := want.Algorithm().FromBytes(m.raw); got != want {
		return mismatch(want, "it is "+got.String())
	}
	return nil
}

// badManifest is what a manifest is refused for.
func badManifest(format string, args ...any) error {
	return api.Errorf("read manifest", "", format, args...).
		WithHint("the image is broken, or made to deceive: tell its maker")
}

// parseManifest reads data, which was sent as mediaType. A manifest that can be
// read in two ways is refused: what was signed or scanned in one could be run in
// the other (CVE-2021-41190).
func parseManifest(data []byte, mediaType string) (*manifest, error) {
	if len(data) > maxManifest {
		return nil, badManifest("it has %d bytes, more than %d", len(data), maxManifest)
	}
	m := &manifest{raw: data}
	if err := json.Unmarshal(data, &m.parsedManifest); err != nil {
		return nil, badManifest("it is not JSON of the right form: %s", clean(err.Error()))
	}
	if err := ambiguous(data); err != nil {
		return nil, err
	}
	switch m.mediaType = m.kind(mediaType); {
	case m.FSLayers != nil || m.SchemaVersion == 1 || strings.HasPrefix(m.mediaType, dockerSchema1):
		return nil, api.Errorf("read manifest", "", "it is of Docker's schema 1, which cannot be verified").
			WithHint("ask for the image to be pushed again with a docker or podman younger than 2017")
	case m.list():
		if m.Config != nil || m.Layers != nil {
			return nil, badManifest("it is a list of images, and an image as well")
		}
	case m.mediaType == imgspecv1.MediaTypeImageManifest || m.mediaType == dockerManifest:
		if m.Manifests != nil {
			return nil, badManifest("it is an image, and a list of images as well")
		}
		return m, m.checkImage()
	default:
		return nil, badManifest("its media type %q is not that of an image", clean(m.mediaType))
	}
	return m, checkDescriptors(m.Manifests)
}

// kind is the media type to go by: the one inside, which the digest covers, else
// the one that it was sent with, else what it looks like.
func (m *manifest) kind(sent string) string {
	sent, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(sent)), ";")
	known := []string{imgspecv1.MediaTypeImageIndex, imgspecv1.MediaTypeImageManifest, dockerManifest, dockerList}
	switch {
	case m.MediaType != "":
		if slices.Contains(known, sent) && sent != m.MediaType {
			return fmt.Sprintf("%s, sent as %s,", m.MediaType, sent)
		}
		return m.MediaType
	case slices.Contains(known, sent) || strings.HasPrefix(sent, dockerSchema1):
		return sent
	case m.Manifests != nil:
		return imgspecv1.MediaTypeImageIndex
	case m.Config != nil:
		return imgspecv1.MediaTypeImageManifest
	}
	return sent
}

// ambiguous refuses fields that are there twice, also in another case: Go takes the
// last of them, and puts objects together; other programs take another.
func ambiguous(data []byte) error {
	in := json.NewDecoder(bytes.NewReader(data))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return badManifest("it is not a JSON object")
	}
	seen := map[string]string{}
	for in.More() {
		t, err := in.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err == nil && ok {
			err = in.Decode(&value)
		}
		if err != nil || !ok {
			return badManifest("it is not a JSON object")
		}
		lower := strings.ToLower(name)
		if other, twice := seen[lower]; twice {
			return badManifest("it has both %q and %q", clean(name), clean(other))
		}
		seen[lower] = name
	}
	return nil
}

func (m *manifest) checkImage() error {
	switch {
	case m.Config == nil:
		return badManifest("it has no configuration")
	case m.Config.MediaType != imgspecv1.MediaTypeImageConfig && m.Config.MediaType != dockerConfig:
		return api.Errorf("read manifest", "", "it is not a container image, but of the type %q", clean(m.Config.MediaType)).
			WithHint("take it with the program it was made for")
	case m.Config.Size > maxConfig:
		return badManifest("its configuration has %d bytes, more than %d", m.Config.Size, maxConfig)
	case len(m.Layers) > maxLayers:
		return badManifest("it has %d layers, more than %d", len(m.Layers), maxLayers)
	}
	for _, l := range m.Layers {
		if !layerType(l.MediaType) {
			return api.Errorf("read manifest", "", "a layer is of the type %q, which cannot be unpacked", clean(l.MediaType)).
				WithHint("push it with gzip or zstd layers, and not encrypted")
		}
	}
	return checkDescriptors(append([]imgspecv1.Descriptor{*m.Config}, m.Layers...))
}

func layerType(t string) bool {
	for _, base := range []string{
		imgspecv1.MediaTypeImageLayer, dockerLayer, dockerForeign,
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
	} {
		switch t {
		case base, base + "+gzip", base + "+zstd", base + ".gzip", base + ".zstd":
			return true
		}
	}
	return false
}

func checkDescriptors(list []imgspecv1.Descriptor) error {
	for _, d := range list {
		if err := d.Digest.Validate(); err != nil {
			return badManifest("%q is not a digest", clean(d.Digest.String()))
		}
		if d.Size < 0 {
			return badManifest("the size of %s is negative", d.Digest)
		}
	}
	return nil
}

// configuration is what of an image's configuration is needed to move it.
type configuration struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	RootFS       struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

func parseConfiguration(data []byte, layers int) (configuration, error) {
	var c configuration
	if err := json.Unmarshal(data, &c); err != nil {
		return c, badManifest("the configuration is not JSON of the right form: %s", clean(err.Error()))
	}
	if len(c.RootFS.DiffIDs) != layers {
		return c, badManifest("the manifest has %d layers, the configuration %d", layers, len(c.RootFS.DiffIDs))
	}
	for _, id := range c.RootFS.DiffIDs {
		if err := id.Validate(); err != nil {
			return c, badManifest("%q in the configuration is not a digest", clean(id.String()))
		}
	}
	return c, nil
}

func (c configuration) platform() platform {
	return platform{c.OS, c.Architecture, c.Variant}
}
