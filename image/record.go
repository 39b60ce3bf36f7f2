package image

import (
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
)

// putImage records an image of one layer the way image/v5 does, so that a later
// push or save finds the manifest under its digest, and the configuration.
func (s *Store) putImage(layer *storage.Layer, config Config, name string, opts ImportOptions) (Image, error) {
	now := time.Now().UTC()
	doc := document{
		Created:      now,
		Architecture: runtime.GOARCH,
		OS:           runtime.GOOS,
		Config:       config,
		RootFS:       rootFS{Type: "layers", DiffIDs: []string{layer.UncompressedDigest.String()}},
		History:      []history{{Created: now, CreatedBy: "sbx import " + opts.Source, Comment: opts.Message}},
	}
	conf, err := json.Marshal(doc)
	if err != nil {
		return Image{}, err
	}
	confDigest := digest.FromBytes(conf)
	man, err := json.Marshal(manifest{
		SchemaVersion: 2,
		MediaType:     mediaManifest,
		Config:        descriptor{mediaConfig, confDigest.String(), int64(len(conf))},
		Layers:        []descriptor{{mediaLayer, layer.UncompressedDigest.String(), layer.UncompressedSize}},
	})
	if err != nil {
		return Image{}, err
	}
	manDigest := digest.FromBytes(man)
	id := confDigest.Encoded()
	return s.commit(id, layer.ID, name, &storage.ImageOptions{
		CreationDate: now,
		Digest:       manDigest,
		Metadata:     "{}",
		BigData: []storage.ImageBigDataOption{
			{Key: confDigest.String(), Data: conf, Digest: confDigest},
			{Key: storage.ImageDigestManifestBigDataNamePrefix + "-" + manDigest.String(), Data: man, Digest: manDigest},
			{Key: storage.ImageDigestBigDataKey, Data: man, Digest: manDigest},
		},
	})
}

// commit makes the image under a name that Open removes, because its parts are
// written one after the other. Giving it the real name is one write, which takes
// the name from another image as well.
func (s *Store) commit(id, layer, name string, opts *storage.ImageOptions) (img Image, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	if _, err := s.store.CreateImage(id, []string{pending + id}, layer, "", opts); err != nil {
		return Image{}, explain(err)
	}
	var names []string
	if name != "" {
		names = []string{name}
	}
	err = s.store.SetNames(id, names)
	if err == nil {
		var ix *index
		if ix, err = s.reindex(); err == nil {
			e := ix.byID[id]
			if e.broken == nil {
				return e.Image, nil
			}
			err = e.broken
		}
	}
	if _, err2 := s.store.DeleteImage(id, true); err2 != nil {
		return Image{}, fmt.Errorf("%w; and the unfinished image %s stays: %w", err, id, err2)
	}
	return Image{}, explain(err)
}
