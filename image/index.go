package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"go.podman.io/storage"

	"sbx/api"
)

// index is what images there are. It is replaced, never changed.
type index struct {
	ids    []string // sorted
	byID   map[string]*entry
	byName map[string]*entry
}

type entry struct {
	Image
	digest string // of the manifest
	broken error  // why it cannot be used
}

// Resolve finds an image by name, by name and digest, by id or by the beginning
// of an id that is no other's. A name without a host is looked for under docker.io
// and then under localhost. It reads the disk the first time only.
func (s *Store) Resolve(name string) (Image, error) {
	const op = "find image"
	ix, err := s.images()
	if err != nil {
		return Image{}, err
	}
	e, err := ix.find(name)
	switch {
	case err != nil:
		return Image{}, api.Wrap(op, printable(name), err)
	case e == nil:
		return Image{}, api.Errorf(op, printable(name), "there is no image of this name or id").
			WithHint("make one: sbx import ROOTFS.tar NAME; or use the host's file system: sbx run host CMD").
			WithCode(api.ExitFault)
	case e.broken != nil:
		return Image{}, api.Wrap(op, printable(name), e.broken).WithHint("import it again")
	}
	return e.Image, nil
}

// List returns all images, newest first.
func (s *Store) List() ([]Image, error) {
	ix, err := s.images()
	if err != nil {
		return nil, err
	}
	list := make([]Image, 0, len(ix.ids))
	for _, id := range ix.ids {
		list = append(list, ix.byID[id].Image)
	}
	slices.SortStableFunc(list, func(a, b Image) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// find returns nil when there is none.
func (ix *index) find(name string) (*entry, error) {
	ref, err := normalise(name)
	if err == nil {
		if e := ix.named(name, ref); e != nil {
			return e, nil
		}
	}
	prefix := strings.TrimPrefix(name, "sha256:")
	if prefix != "" && strings.Trim(prefix, "0123456789abcdef") == "" {
		return ix.abbreviated(prefix)
	}
	if err != nil {
		return nil, badName("find image", name, err.Error())
	}
	return nil, nil
}

func (ix *index) named(typed string, ref reference.Named) *entry {
	if d, ok := ref.(reference.Digested); ok {
		for _, e := range ix.byID {
			if e.digest == d.Digest().String() && slices.ContainsFunc(e.Names, func(n string) bool {
				return strings.HasPrefix(n, ref.Name()+":") || strings.HasPrefix(n, ref.Name()+"@")
			}) {
				return e
			}
		}
		return nil
	}
	if e := ix.byName[ref.String()]; e != nil {
		return e
	}
	if reference.Domain(ref) == "docker.io" && !strings.HasPrefix(typed, "docker.io/") {
		path := strings.TrimPrefix(ref.String(), "docker.io/")
		if e := ix.byName["localhost/"+path]; e != nil {
			return e
		}
		return ix.byName["localhost/"+strings.TrimPrefix(path, "library/")]
	}
	return nil
}

func (ix *index) abbreviated(prefix string) (*entry, error) {
	i, _ := slices.BinarySearch(ix.ids, prefix)
	if i == len(ix.ids) || !strings.HasPrefix(ix.ids[i], prefix) {
		return nil, nil
	}
	if i+1 < len(ix.ids) && strings.HasPrefix(ix.ids[i+1], prefix) {
		return nil, api.Errorf("find image", prefix, "more than one image id begins with this").
			WithHint("give more digits")
	}
	return ix.byID[ix.ids[i]], nil
}

// images returns the index, and reads it if need be.
func (s *Store) images() (*index, error) {
	if ix := s.index.Load(); ix != nil {
		return ix, nil
	}
	s.write.Lock()
	defer s.write.Unlock()
	if ix := s.index.Load(); ix != nil {
		return ix, nil
	}
	return s.reindex()
}

// reindex reads the store. The caller holds s.write.
func (s *Store) reindex() (*index, error) {
	fail := func(err error) (*index, error) {
		return nil, api.Wrap("read image store", s.graphRoot, err)
	}
	images, err := s.store.Images()
	if err != nil {
		return fail(err)
	}
	layers, err := s.store.Layers()
	if err != nil {
		return fail(err)
	}
	byID := make(map[string]*storage.Layer, len(layers))
	for i := range layers {
		byID[layers[i].ID] = &layers[i]
	}
	old := s.index.Load()
	ix := &index{byID: map[string]*entry{}, byName: map[string]*entry{}}
	for i := range images {
		if slices.ContainsFunc(images[i].Names, func(n string) bool { return strings.HasPrefix(n, pending) }) {
			continue
		}
		ix.add(s.entry(old, &images[i], byID))
	}
	slices.Sort(ix.ids)
	s.index.Store(ix)
	return ix, nil
}

func (ix *index) add(e *entry) {
	ix.ids = append(ix.ids, e.ID)
	ix.byID[e.ID] = e
	for _, name := range e.Names {
		ix.byName[name] = e
	}
}

// entry reads one image. All but the names follows from the id, and is taken from
// old where that has it.
func (s *Store) entry(old *index, img *storage.Image, layers map[string]*storage.Layer) *entry {
	if old != nil && old.byID[img.ID] != nil && old.byID[img.ID].broken == nil {
		e := *old.byID[img.ID]
		e.Names = slices.Clone(img.Names)
		return &e
	}
	e := &entry{digest: img.Digest.String()}
	e.ID, e.Names, e.Created = img.ID, slices.Clone(img.Names), img.Created
	e.broken = errors.Join(s.readConfig(&e.Image), s.readLayers(&e.Image, img.TopLayer, layers))
	return e
}

func (s *Store) readConfig(img *Image) error {
	data, err := s.store.ImageBigData(img.ID, "sha256:"+img.ID)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	img.Config = doc.Config
	if !doc.Created.IsZero() {
		img.Created = doc.Created
	}
	return nil
}

func (s *Store) readLayers(img *Image, top string, layers map[string]*storage.Layer) error {
	for id := top; id != ""; {
		layer := layers[id]
		if layer == nil {
			return fmt.Errorf("layer %s is missing", id)
		}
		link, err := os.ReadFile(filepath.Join(s.graphRoot, "overlay", id, "link"))
		if err != nil {
			return err
		}
		img.Layers = append(img.Layers, string(link))
		img.Size += layer.UncompressedSize
		id = layer.Parent
	}
	return nil
}
