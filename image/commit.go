package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"

	"sbx/internal/undo"
)

// New is an image to be recorded.
type New struct {
	Manifest  []byte // exactly as it came
	MediaType string // of the manifest
	Config    []byte // exactly as it came; its digest is the image's id
	DiffIDs   []digest.Digest
	Layers    []*Staged       // parallel to DiffIDs; nil where the store has the layer, see Chain
	Blobs     []Blob          // parallel to DiffIDs: the form the layer came in; empty: none is known
	Names     []string        // normalised
	Digests   []digest.Digest // of manifest lists it was chosen from, so that NAME@DIGEST finds it
	Bare      bool            // it may have no layers: somebody has described it so, and nothing is missing
}

// Commit makes an image visible, in one write, under its names, which other images
// lose. If the store has it already, it gets the names and digests. The layers
// belong to the store from now on, whatever happens: those that are not needed, and
// all after an error, are removed.
//
// When Commit returns without an error, the image is on the disk.
func (s *Store) Commit(ctx context.Context, n New) (img Image, err error) {
	const op = "record image"
	what := firstOf(n.Names, digest.FromBytes(n.Config).Encoded())
	defer func() {
		for _, l := range n.Layers {
			err = errors.Join(err, s.Discard(l))
		}
		if err != nil {
			img, err = Image{}, about(op, explain(err, "get it once more"), nil, what)
		}
	}()
	if err := n.check(); err != nil {
		return Image{}, err
	}
	// The bulk of the data is written before anybody has to wait for the lock.
	if slices.ContainsFunc(n.Layers, func(l *Staged) bool { return l != nil }) {
		if err := s.sync(); err != nil {
			return Image{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return Image{}, err
	}
	s.write.Lock()
	defer s.write.Unlock()
	id := digest.FromBytes(n.Config).Encoded()
	known, err := s.known(id)
	if err != nil {
		return Image{}, err
	}
	if known != nil {
		return s.extend(known, &n)
	}
	return s.add(id, &n)
}

func firstOf(names []string, other string) string {
	if len(names) > 0 {
		return names[0]
	}
	return other
}

// check sees that the parts of a new image belong together.
func (n *New) check() error {
	var doc document
	if err := json.Unmarshal(n.Config, &doc); err != nil {
		return refuse(distrust, "its configuration is no JSON object of an image: %v", err)
	}
	if !slices.Equal(doc.RootFS.DiffIDs, n.DiffIDs) || len(n.Layers) != len(n.DiffIDs) {
		return refuse(distrust, "it has %d layers, its configuration names %d others", len(n.Layers), len(doc.RootFS.DiffIDs))
	}
	if len(n.Blobs) != 0 && len(n.Blobs) != len(n.DiffIDs) {
		return fmt.Errorf("%d blobs for %d layers", len(n.Blobs), len(n.DiffIDs))
	}
	if len(n.DiffIDs) == 0 && !n.Bare {
		return refuse(distrust, "it has no layers")
	}
	for i, d := range n.DiffIDs {
		if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
			return refuse(distrust, "%q is no digest of a layer", d)
		}
		if l := n.Layers[i]; l != nil && l.DiffID != d {
			return refuse(distrust, "layer %d unpacks to %s, the configuration says %s", i+1, l.DiffID, d)
		}
	}
	return n.checkNames()
}

// checkNames refuses a name with a digest that is not the image's: names may come
// out of an archive, and NAME@DIGEST is how a user says that he wants this image and
// no other. A name of an unfinished image would hide this one.
func (n *New) checkNames() error {
	for _, name := range n.Names {
		if use := ours(name); use != "" {
			return refuse("give it another name", "the name %s is for %s", printable(name), use)
		}
		_, text, digested := strings.Cut(name, "@")
		if !digested {
			continue
		}
		d, err := digest.Parse(text)
		if err != nil || d.Algorithm().FromBytes(n.Manifest) != d && !slices.Contains(n.Digests, d) {
			return refuse(distrust, "it is called %s, but has another digest", printable(name))
		}
	}
	return nil
}

// known is the record of an image that is in the store and whole. One that is
// damaged is removed, to be made again. The caller holds s.write.
func (s *Store) known(id string) (*storage.Image, error) {
	img, err := s.store.Image(id)
	if errors.Is(err, storage.ErrImageUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ix, err := s.reindex()
	if err != nil {
		return nil, err
	}
	if e := ix.byID[id]; e != nil && e.broken == nil {
		return img, nil
	}
	_, err = s.store.DeleteImage(id, true)
	return nil, err
}

// extend gives an image what a new one that is the same brings along. Another
// manifest only makes it known under one more digest. Names come last: they make it
// visible.
func (s *Store) extend(img *storage.Image, n *New) (Image, error) {
	man := n.manifests()[0]
	err := s.store.SetImageBigData(img.ID, man.Key, man.Data, func([]byte) (digest.Digest, error) { return man.Digest, nil })
	if err != nil {
		return Image{}, err
	}
	meta, err := n.metadata(img.Metadata)
	if err != nil {
		return Image{}, err
	}
	if meta != img.Metadata {
		if err := s.store.SetMetadata(img.ID, meta); err != nil {
			return Image{}, err
		}
	}
	if len(n.Names) > 0 {
		if err := s.store.AddNames(img.ID, n.Names); err != nil {
			return Image{}, err
		}
	}
	return s.reread(img.ID)
}

// add records an image that was not there. The caller holds s.write.
func (s *Store) add(id string, n *New) (_ Image, err error) {
	var undo undo.Stack
	defer undo.Unwind(&err)
	top := ""
	for i, d := range n.DiffIDs {
		parent := top
		top = chainID(parent, d)
		if _, err := s.store.Layer(top); err == nil {
			continue
		}
		l := n.Layers[i]
		if l == nil {
			return Image{}, refuse("get it once more", "layer %d was removed in the meantime", i+1)
		}
		var blob *Blob
		if len(n.Blobs) > 0 {
			blob = &n.Blobs[i]
		}
		data, err := blobData(blob)
		if err != nil {
			return Image{}, err
		}
		if err := s.apply(l, parent, data); err != nil {
			return Image{}, err
		}
		undo.Add("add layer", func() error { return s.deleteLayer(chainID(parent, d)) })
	}
	// What the record names is on the disk before the record is.
	if err := s.sync(); err != nil {
		return Image{}, err
	}
	return s.publish(id, top, n)
}

// publish makes the image under a name that Open removes, because its parts are
// written one after the other. Giving it the real names is one write, which takes
// the names from other images as well.
func (s *Store) publish(id, top string, n *New) (_ Image, err error) {
	conf := digest.FromBytes(n.Config)
	meta, err := n.metadata("")
	if err != nil {
		return Image{}, err
	}
	_, err = s.store.CreateImage(id, []string{pending + id}, top, meta, &storage.ImageOptions{
		CreationDate: time.Now().UTC(),
		Digest:       digest.FromBytes(n.Manifest),
		Metadata:     meta,
		BigData:      append(n.manifests(), storage.ImageBigDataOption{Key: conf.String(), Data: n.Config, Digest: conf}),
	})
	if err != nil {
		return Image{}, err
	}
	err = s.store.SetNames(id, n.Names)
	if err == nil {
		var img Image
		if img, err = s.reread(id); err == nil {
			return img, nil
		}
	}
	// The layers go with the image; what undoes them finds nothing more.
	if _, err2 := s.store.DeleteImage(id, true); err2 != nil {
		return Image{}, fmt.Errorf("%w; and the unfinished image %s stays: %w", err, id, err2)
	}
	_, err2 := s.reindex()
	return Image{}, errors.Join(err, err2)
}

// reread is the image as the index has it after a change.
func (s *Store) reread(id string) (Image, error) {
	ix, err := s.reindex()
	if err != nil {
		return Image{}, err
	}
	e := ix.byID[id]
	if e.broken != nil {
		return Image{}, e.broken
	}
	return e.Image, nil
}

// manifests is the manifest under the keys where image/v5 looks for it.
func (n *New) manifests() []storage.ImageBigDataOption {
	d := digest.FromBytes(n.Manifest)
	return []storage.ImageBigDataOption{
		{Key: storage.ImageDigestManifestBigDataNamePrefix + "-" + d.String(), Data: n.Manifest, Digest: d},
		{Key: storage.ImageDigestBigDataKey, Data: n.Manifest, Digest: d},
	}
}

// metadata adds the facts about the image to those there are.
func (n *New) metadata(text string) (string, error) {
	m := readMetadata(text)
	if text == "" {
		m.MediaType = n.MediaType
	}
	for _, d := range n.Digests {
		if !slices.Contains(m.Digests, d) {
			m.Digests = append(m.Digests, d)
		}
	}
	return m.update(text)
}

// deleteLayer deletes a layer that may be gone already, with the image on it.
func (s *Store) deleteLayer(id string) error {
	if err := s.store.DeleteLayer(id); !errors.Is(err, storage.ErrLayerUnknown) {
		return err
	}
	return nil
}
