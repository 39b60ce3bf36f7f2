package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Media types.
const (
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	OCIConfig      = "application/vnd.oci.image.config.v1+json"
	OCILayer       = "application/vnd.oci.image.layer.v1.tar"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerConfig   = "application/vnd.docker.container.image.v1+json"
	DockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
)

// Descriptor points to bytes.
type Descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int64             `json:"size"`
	URLs      []string          `json:"urls,omitempty"`
	Platform  *Platform         `json:"platform,omitempty"`
	Notes     map[string]string `json:"annotations,omitempty"`
}

// Platform is what an image of a list runs on.
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// Blob is what a registry keeps by its digest.
type Blob []byte

// Digest is "sha256:" and 64 digits.
func (b Blob) Digest() string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Layer is one layer as it travels.
type Layer struct {
	Blob   Blob
	DiffID string // of the plain tar
	suffix string // of the media type
}

// NewLayer compresses a tar: "gzip", "zstd" or "" for not at all.
func NewLayer(tar []byte, compression string) (Layer, error) {
	return StreamLayer(compression, func(w io.Writer) error {
		_, err := w.Write(tar)
		return err
	})
}

// StreamLayer is NewLayer for a tar that is too big to be kept.
func StreamLayer(compression string, write func(w io.Writer) error) (Layer, error) {
	l := Layer{suffix: compression}
	var b bytes.Buffer
	var z io.WriteCloser
	var err error
	switch compression {
	case "gzip":
		z = gzip.NewWriter(&b)
	case "zstd":
		if z, err = zstd.NewWriter(&b); err != nil {
			return l, err
		}
	default:
		z = plain{&b}
	}
	sum := sha256.New()
	if err := errors.Join(write(io.MultiWriter(z, sum)), z.Close()); err != nil {
		return l, err
	}
	l.Blob, l.DiffID = b.Bytes(), "sha256:"+hex.EncodeToString(sum.Sum(nil))
	return l, nil
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// Image is an image as a registry serves it. The zero Config runs nothing.
type Image struct {
	Layers   []Layer
	Config   map[string]any // of "config": Cmd, Env, ...
	Platform Platform       // zero: linux/amd64
	Docker   bool           // schema 2, else OCI
	// Change edits the manifest and the configuration before they become bytes:
	// for those that lie.
	Change func(manifest, config map[string]any)
}

// Packed is an image as bytes.
type Packed struct {
	Manifest  Blob
	MediaType string
	Config    Blob
	Blobs     []Blob // layers
}

// ID is what sbx, Docker and podman call the image.
func (p Packed) ID() string { return p.Config.Digest() }

// Pack makes the bytes.
func (i Image) Pack() (Packed, error) {
	types := []string{OCIManifest, OCIConfig, OCILayer, "+"}
	if i.Docker {
		types = []string{DockerManifest, DockerConfig, DockerLayer, "."}
	}
	if i.Platform.OS == "" {
		i.Platform = Platform{OS: "linux", Architecture: "amd64"}
	}
	p := Packed{MediaType: types[0]}
	diffIDs, history, layers := []any{}, []any{}, []any{}
	for n, l := range i.Layers {
		diffIDs = append(diffIDs, l.DiffID)
		history = append(history, map[string]any{"created": "2001-09-09T01:46:40Z", "created_by": "layer " + string(rune('0'+n%10))})
		media := types[2]
		if l.suffix != "" {
			media += types[3] + l.suffix
		}
		layers = append(layers, Descriptor{MediaType: media, Digest: l.Blob.Digest(), Size: int64(len(l.Blob))})
		p.Blobs = append(p.Blobs, l.Blob)
	}
	config := map[string]any{
		"created": "2001-09-09T01:46:40Z", "os": i.Platform.OS, "architecture": i.Platform.Architecture,
		"config": i.Config, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}, "history": history,
	}
	if i.Platform.Variant != "" {
		config["variant"] = i.Platform.Variant
	}
	manifest := map[string]any{"schemaVersion": 2, "mediaType": types[0], "layers": layers}
	if i.Change != nil {
		i.Change(manifest, config)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return p, err
	}
	p.Config = raw
	if manifest["config"] == nil {
		manifest["config"] = Descriptor{MediaType: types[1], Digest: p.Config.Digest(), Size: int64(len(p.Config))}
	}
	p.Manifest, err = json.Marshal(manifest)
	return p, err
}

// List is an index of images for several platforms.
func List(docker bool, images ...Image) (list Packed, packed []Packed, err error) {
	list.MediaType = OCIIndex
	if docker {
		list.MediaType = DockerList
	}
	var all []Descriptor
	for _, i := range images {
		p, err := i.Pack()
		if err != nil {
			return list, nil, err
		}
		packed = append(packed, p)
		all = append(all, Descriptor{MediaType: p.MediaType, Digest: p.Manifest.Digest(), Size: int64(len(p.Manifest)), Platform: &i.Platform})
	}
	list.Manifest, err = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": list.MediaType, "manifests": all})
	return list, packed, err
}

// Layout writes images as an OCI layout, each by its tag. Only OCI manifests are
// found in one.
func Layout(dir string, images map[string]Packed) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	put := func(b Blob) error {
		return os.WriteFile(filepath.Join(blobs, b.Digest()[len("sha256:"):]), b, 0o644)
	}
	var all []Descriptor
	for tag, p := range images {
		all = append(all, Descriptor{MediaType: p.MediaType, Digest: p.Manifest.Digest(), Size: int64(len(p.Manifest)),
			Notes: map[string]string{"org.opencontainers.image.ref.name": tag}})
		for _, b := range append([]Blob{p.Manifest, p.Config}, p.Blobs...) {
			if err := put(b); err != nil {
				return err
			}
		}
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": OCIIndex, "manifests": all})
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}
