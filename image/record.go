package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"

	"sbx/api"
)

// Record is what was stored of an image.
type Record struct {
	Manifest  []byte
	MediaType string        // of the manifest
	Digest    digest.Digest // of the manifest
	Config    []byte
	DiffIDs   []digest.Digest // of the layers, bottom first
}

// Record reads the manifest and the configuration of an image, which are the bytes
// they came as. The configuration's digest is the id.
func (s *Store) Record(id string) (Record, error) {
	r, err := s.record(id)
	if err != nil {
		return Record{}, api.Wrap("read image", printable(id), err).
			WithHint("remove it (sbx rmi -f %s) and get it again", printable(id))
	}
	return r, nil
}

func (s *Store) record(id string) (Record, error) {
	img, err := s.store.Image(id)
	if err != nil {
		return Record{}, err
	}
	r := Record{Digest: img.Digest, MediaType: readMetadata(img.Metadata).MediaType}
	if r.Manifest, err = s.store.ImageBigData(img.ID, storage.ImageDigestBigDataKey); err != nil {
		return Record{}, fmt.Errorf("manifest: %w", err)
	}
	conf := digest.NewDigestFromEncoded(digest.SHA256, img.ID)
	if r.Config, err = s.store.ImageBigData(img.ID, conf.String()); err != nil {
		return Record{}, fmt.Errorf("configuration: %w", err)
	}
	// A file of the store may have been damaged since.
	if digest.FromBytes(r.Config) != conf {
		return Record{}, errors.New("the configuration is not what was stored")
	}
	if r.Digest = digest.FromBytes(r.Manifest); r.Digest != img.Digest {
		return Record{}, errors.New("the manifest is not what was stored")
	}
	var doc document
	if err := json.Unmarshal(r.Config, &doc); err != nil {
		return Record{}, fmt.Errorf("configuration: %w", err)
	}
	r.DiffIDs = doc.RootFS.DiffIDs
	if r.MediaType == "" {
		var m manifest
		if err := json.Unmarshal(r.Manifest, &m); err != nil {
			return Record{}, fmt.Errorf("manifest: %w", err)
		}
		r.MediaType = m.MediaType
	}
	return r, nil
}

// describe makes the documents of an image of one layer.
func describe(layer *Staged, config Config, opts ImportOptions) (New, error) {
	now := time.Now().UTC()
	conf, err := json.Marshal(document{
		Created:      now,
		Architecture: runtime.GOARCH,
		OS:           runtime.GOOS,
		Config:       config,
		RootFS:       rootFS{Type: "layers", DiffIDs: []digest.Digest{layer.DiffID}},
		History:      []History{{Created: now, CreatedBy: "sbx import " + opts.Source, Comment: opts.Message}},
	})
	if err != nil {
		return New{}, err
	}
	man, err := plainManifest(conf, []digest.Digest{layer.DiffID}, []int64{layer.Size})
	if err != nil {
		return New{}, err
	}
	return New{
		Manifest: man, MediaType: mediaManifest, Config: conf,
		DiffIDs: []digest.Digest{layer.DiffID}, Layers: []*Staged{layer},
	}, nil
}
