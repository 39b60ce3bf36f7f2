package image

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Parts are what an image is put together from.
type Parts struct {
	Top     string // id of the highest layer, in the store; empty: there is none
	Config  Config
	History []History // bottom first; a step for each layer that is not Empty
	Created time.Time
	Author  string

	Architecture, Variant, OS, OSVersion string

	Cache json.RawMessage // of the build: what a later one finds the layers by; nil: nothing

	Names  []string // as typed; another image loses what it has of them
	Docker bool     // manifest of Docker's kind, and not of OCI's
}

// Media types of Docker's image manifest, version 2, schema 2.
const (
	mediaDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerConfig   = "application/vnd.docker.container.image.v1+json"
	mediaDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
)

// Assemble makes an image of layers that are in the store.
func (s *Store) Assemble(ctx context.Context, p Parts) (Image, error) {
	n := New{MediaType: mediaManifest, Bare: true}
	what := firstOf(p.Names, "image")
	var sizes []int64
	for id := p.Top; id != ""; {
		l, ok, err := s.Layer(id)
		if err == nil && !ok {
			err = refuse("build it again", "a layer was removed in the meantime")
		}
		if err != nil {
			return Image{}, about("record image", err, nil, what)
		}
		n.DiffIDs, sizes = append(n.DiffIDs, l.DiffID), append(sizes, l.Size)
		id = l.Parent
	}
	slices.Reverse(n.DiffIDs)
	slices.Reverse(sizes)
	n.Layers = make([]*Staged, len(n.DiffIDs))
	for _, typed := range p.Names {
		name, err := newName(typed)
		if err != nil {
			return Image{}, err
		}
		n.Names = append(n.Names, name)
	}
	diffIDs := n.DiffIDs
	if diffIDs == nil {
		diffIDs = []digest.Digest{} // null is no list
	}
	doc := document{
		Created: p.Created.UTC(), Author: p.Author, Architecture: p.Architecture, Variant: p.Variant, OS: p.OS, OSVersion: p.OSVersion,
		Config: p.Config, RootFS: rootFS{Type: "layers", DiffIDs: diffIDs}, History: history(p.History, len(n.DiffIDs)), Cache: p.Cache,
	}
	var err error
	if n.Config, err = json.Marshal(doc); err != nil {
		return Image{}, err
	}
	if n.Manifest, err = plainManifest(n.Config, n.DiffIDs, sizes); err != nil {
		return Image{}, err
	}
	if p.Docker {
		n.MediaType = mediaDockerManifest
		if n.Manifest, err = dockerManifest(n.Config, n.DiffIDs, sizes); err != nil {
			return Image{}, err
		}
	}
	if img, ok := s.same(&n); ok {
		return img, nil
	}
	return s.Commit(ctx, n)
}

// same finds an image that is in the store as it is to be, names and all, so that
// nothing has to be written.
func (s *Store) same(n *New) (Image, bool) {
	ix, err := s.images()
	if err != nil {
		return Image{}, false
	}
	e := ix.byID[digest.FromBytes(n.Config).Encoded()]
	if e == nil || e.broken != nil || e.Digest != digest.FromBytes(n.Manifest).String() {
		return Image{}, false
	}
	for _, name := range n.Names {
		if !slices.Contains(e.Names, name) {
			return Image{}, false
		}
	}
	return e.Image, true
}

// dockerManifest is plainManifest in Docker's words.
func dockerManifest(config []byte, diffIDs []digest.Digest, sizes []int64) ([]byte, error) {
	m := manifest{
		SchemaVersion: 2, MediaType: mediaDockerManifest,
		Config: descriptor{mediaDockerConfig, digest.FromBytes(config).String(), int64(len(config))},
		Layers: []descriptor{},
	}
	for i, d := range diffIDs {
		m.Layers = append(m.Layers, descriptor{mediaDockerLayer, d.String(), sizes[i]})
	}
	return json.Marshal(m)
}
