package image

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
)

// DeriveOptions say what becomes of a layer on top of an image.
type DeriveOptions struct {
	Base      string // id of the image below
	Config    Config // of the new image
	Name      string // [HOST/]NAME[:TAG]; empty for an image without a name
	Author    string
	Message   string // kept in the image's history
	CreatedBy string // the command, for the history
	Source    string // for messages: what was committed
}

// Derive makes an image that has one layer more than another. It takes the layer,
// whatever happens; an empty one is left out, as Docker does. An image that has the
// name loses it.
func (s *Store) Derive(ctx context.Context, layer *Staged, o DeriveOptions) (Image, error) {
	n, err := s.derive(layer, &o)
	if err != nil {
		return Image{}, about("commit", err, s.Discard(layer), o.Source)
	}
	img, err := s.Commit(ctx, n)
	if err != nil {
		return Image{}, about("commit", err, nil, o.Source)
	}
	return img, nil
}

// CheckName refuses what cannot be the name of a new image.
func CheckName(name string) error {
	_, err := newName(name)
	return err
}

func (s *Store) derive(layer *Staged, o *DeriveOptions) (New, error) {
	base, err := s.Resolve(o.Base)
	if err != nil {
		return New{}, err
	}
	record, err := s.Record(base.ID)
	if err != nil {
		return New{}, err
	}
	var doc document
	if err := json.Unmarshal(record.Config, &doc); err != nil {
		return New{}, err
	}
	n := New{DiffIDs: record.DiffIDs, Layers: make([]*Staged, len(record.DiffIDs)), MediaType: mediaManifest}
	sizes := base.LayerSizes
	step := History{Created: time.Now().UTC(), CreatedBy: o.CreatedBy, Author: o.Author, Comment: o.Message, Empty: layer.Empty()}
	if step.Empty {
		if err := s.Discard(layer); err != nil {
			return New{}, err
		}
	} else {
		n.DiffIDs, n.Layers = append(n.DiffIDs, layer.DiffID), append(n.Layers, layer)
		sizes = append(sizes[:len(sizes):len(sizes)], layer.Size)
	}
	doc.Created, doc.Author, doc.Comment, doc.DockerVersion = step.Created, o.Author, o.Message, ""
	doc.Config = o.Config
	doc.Cache = nil
	doc.RootFS = rootFS{Type: "layers", DiffIDs: n.DiffIDs}
	doc.History = append(history(doc.History, len(record.DiffIDs)), step)
	if n.Config, err = json.Marshal(doc); err != nil {
		return New{}, err
	}
	if n.Manifest, err = plainManifest(n.Config, n.DiffIDs, sizes); err != nil {
		return New{}, err
	}
	if o.Name != "" {
		name, err := newName(o.Name)
		if err != nil {
			return New{}, err
		}
		n.Names = []string{name}
	}
	return n, nil
}

// history is the one of an image with so many layers. Where it tells of fewer, it
// is completed: other tools count.
func history(steps []History, layers int) []History {
	for _, step := range steps {
		if !step.Empty {
			layers--
		}
	}
	steps = steps[:len(steps):len(steps)]
	for range layers {
		steps = append(steps, History{Comment: "a layer without a history"})
	}
	return steps
}

// Empty says that the archive of a layer has no entries: two blocks of zeros.
func (l *Staged) Empty() bool { return l.DiffID == emptyLayer }

var emptyLayer = digest.FromBytes(make([]byte, 1024))

// plainManifest is the manifest of an image whose layers are not compressed.
func plainManifest(config []byte, diffIDs []digest.Digest, sizes []int64) ([]byte, error) {
	m := manifest{
		SchemaVersion: 2, MediaType: mediaManifest,
		Config: descriptor{mediaConfig, digest.FromBytes(config).String(), int64(len(config))},
	}
	for i, d := range diffIDs {
		m.Layers = append(m.Layers, descriptor{mediaLayer, d.String(), sizes[i]})
	}
	return json.Marshal(m)
}
