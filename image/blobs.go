package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"

	"sbx/api"
)

// blobsKey is the big data of a layer with a list of Blob.
const blobsKey = "sbx-blobs"

// Blob is a form a layer was transferred in.
type Blob struct {
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"` // bytes
	MediaType string        `json:"mediaType,omitempty"`
	Repos     []string      `json:"repos,omitempty"` // where it was seen: "host/path"
}

// Blobs are the known forms of a layer, none if it is not in the store.
func (s *Store) Blobs(diffID digest.Digest) []Blob {
	layers, err := s.store.LayersByUncompressedDigest(diffID)
	if err != nil {
		return nil
	}
	var all []Blob
	for i := range layers {
		// What was not noted, or cannot be read, costs a transfer, no more.
		list, err := s.blobsOf(&layers[i])
		if err != nil {
			continue
		}
		for _, b := range list {
			all = addBlob(all, b)
		}
	}
	return all
}

func (s *Store) blobsOf(l *storage.Layer) ([]Blob, error) {
	if !slices.Contains(l.BigDataNames, blobsKey) {
		return nil, nil
	}
	r, err := s.store.LayerBigData(l.ID, blobsKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var list []Blob
	return list, json.Unmarshal(data, &list)
}

// addBlob puts b into list, or its repositories to those of the same digest.
func addBlob(list []Blob, b Blob) []Blob {
	i := slices.IndexFunc(list, func(o Blob) bool { return o.Digest == b.Digest })
	if i < 0 {
		b.Repos = slices.Clone(b.Repos)
		return append(list, b)
	}
	for _, repo := range b.Repos {
		if !slices.Contains(list[i].Repos, repo) {
			list[i].Repos = append(list[i].Repos, repo)
		}
	}
	return list
}

// Remember notes a form of a layer of the store.
func (s *Store) Remember(diffID digest.Digest, b Blob) error {
	const op = "note blob of layer"
	if err := b.Digest.Validate(); err != nil {
		return api.Wrap(op, printable(diffID.String()), err)
	}
	s.write.Lock()
	defer s.write.Unlock()
	layers, err := s.store.LayersByUncompressedDigest(diffID)
	if err != nil {
		return api.Wrap(op, printable(diffID.String()), err)
	}
	for i := range layers {
		old, err := s.blobsOf(&layers[i])
		if err != nil {
			old = nil // written anew
		}
		next := addBlob(slices.Clone(old), b)
		data, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if was, err := json.Marshal(old); err == nil && bytes.Equal(was, data) {
			continue
		}
		if err := s.store.SetLayerBigData(layers[i].ID, blobsKey, bytes.NewReader(data)); err != nil {
			return api.Wrap(op, printable(diffID.String()), err)
		}
	}
	return nil
}

// blobData is the big data of a new layer.
func blobData(b *Blob) ([]storage.LayerBigDataOption, error) {
	if b == nil || b.Digest == "" {
		return nil, nil
	}
	data, err := json.Marshal([]Blob{*b})
	if err != nil {
		return nil, err
	}
	return []storage.LayerBigDataOption{{Key: blobsKey, Data: bytes.NewReader(data)}}, nil
}
