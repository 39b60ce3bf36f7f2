package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"

	"sbx/api"
)

// Layer is one layer of the store.
type Layer struct {
	ID     string // of it and all layers below
	Parent string // empty: it is the lowest one
	DiffID digest.Digest
	Size   int64  // of the tar archive, bytes
	Link   string // its name in overlay/l, see Image.Layers
}

// Layer gives a layer by its id. An error is one of the store; false says that there
// is no such layer, or none that is whole.
func (s *Store) Layer(id string) (Layer, bool, error) {
	l, err := s.store.Layer(id)
	if errors.Is(err, storage.ErrLayerUnknown) {
		return Layer{}, false, nil
	}
	if err != nil {
		return Layer{}, false, api.Wrap("find layer", shortID(id), err)
	}
	link, err := os.ReadFile(filepath.Join(s.graphRoot, "overlay", id, "link"))
	if errors.Is(err, os.ErrNotExist) {
		return Layer{}, false, nil
	}
	if err != nil {
		return Layer{}, false, err
	}
	return Layer{ID: l.ID, Parent: l.Parent, DiffID: l.UncompressedDigest, Size: l.UncompressedSize, Link: string(link)}, true, nil
}

// LayerID is the id that a layer has, or would have, on top of another one.
func LayerID(parent string, diffID digest.Digest) string { return chainID(parent, diffID) }

// AddLayer makes a staged layer one of the store, on top of parent, though no image
// has it: hold it, or whoever next opens the store removes it. It takes the layer,
// whatever happens. Whether it is on the disk, Sync sees to.
func (s *Store) AddLayer(l *Staged, parent string) (string, error) {
	id := chainID(parent, l.DiffID)
	s.write.Lock()
	defer s.write.Unlock()
	if _, err := s.store.Layer(id); err == nil {
		return id, s.Discard(l)
	}
	if err := s.apply(l, parent, nil); err != nil {
		return "", api.Wrap("add layer", shortID(id), explain(err, "try again"))
	}
	return id, nil
}

// Sync returns when all that has been written to the store is on the disk.
func (s *Store) Sync() error { return s.sync() }

// held is the prefix of the names of records that are no images: each keeps the
// layers up to one, which some cache wants.
const held = "localhost/sbx-held/"

// isHeld says that a record holds a layer.
func isHeld(names []string) bool { return len(names) == 1 && strings.HasPrefix(names[0], held) }

// Hold keeps a layer and those below it until Release, whatever becomes of the images
// that have it.
func (s *Store) Hold(layer string) error {
	s.write.Lock()
	defer s.write.Unlock()
	_, err := s.store.CreateImage(holdID(layer), []string{held + layer}, layer, "", nil)
	if err != nil && !errors.Is(err, storage.ErrDuplicateID) && !errors.Is(err, storage.ErrDuplicateName) {
		return api.Wrap("hold layer", shortID(layer), err)
	}
	return nil
}

func holdID(layer string) string { return digest.FromString("hold " + layer).Encoded() }

// Held are the layers that are held.
func (s *Store) Held() ([]string, error) {
	images, err := s.store.Images()
	if err != nil {
		return nil, api.Wrap("read image store", s.graphRoot, err)
	}
	var list []string
	for i := range images {
		if isHeld(images[i].Names) {
			list = append(list, images[i].TopLayer)
		}
	}
	return list, nil
}

// Release gives up a layer that was held. If no image has it, and nobody holds it or
// one above, it goes, and so do those below. The result is how many bytes on the disk
// that has freed.
func (s *Store) Release(layer string) (freed int64, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	sizes := map[string]int64{}
	for id := layer; id != ""; {
		l, err := s.store.Layer(id)
		if err != nil {
			break // one that is damaged is removed all the same
		}
		if sizes[id], err = s.layerDisk(id); err != nil {
			return 0, err
		}
		id = l.Parent
	}
	gone, err := s.store.DeleteImage(holdID(layer), true)
	if err != nil && !errors.Is(err, storage.ErrImageUnknown) && !errors.Is(err, storage.ErrNotAnImage) {
		return 0, api.Wrap("release layer", shortID(layer), err)
	}
	for _, id := range gone {
		freed += sizes[id]
		s.disk.forget(id)
	}
	return freed, nil
}

// LayerDisk is what a layer takes on the disk, bytes.
func (s *Store) LayerDisk(id string) (int64, error) { return s.layerDisk(id) }
