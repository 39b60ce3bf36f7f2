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
	ids      []string // sorted
	byID     map[string]*entry
	byName   map[string]*entry // a tag
	byDigest map[string]*entry // HOST/NAME@DIGEST
}

type entry struct {
	Image
	digested []string // HOST/NAME@DIGEST of all digests that stand for it
	broken   error    // why it cannot be used
}

// Resolve finds an image by name, by name and digest, by id or by the beginning
// of an id that is no other's. A name without a host is looked for under docker.io
// and then under localhost. It reads the disk the first time only.
func (s *Store) Resolve(name string) (Image, error) {
	e, err := s.lookup("find image", name)
	if err != nil {
		return Image{}, err
	}
	if e.broken != nil {
		return Image{}, api.Wrap("find image", printable(name), e.broken).
			WithHint("remove it (sbx rmi %s) and get it again", shortID(e.ID))
	}
	return e.Image, nil
}

// ErrUnknown is what errors.Is finds in the error about an image that is not there.
var ErrUnknown = errors.New("there is no image of this name or id")

// unknownError is ErrUnknown as the user sees it.
type unknownError struct{ shown *api.Error }

func (e unknownError) Error() string        { return e.shown.Error() }
func (e unknownError) Unwrap() error        { return e.shown }
func (e unknownError) Is(target error) bool { return target == ErrUnknown }

// lookup finds an image that may be broken.
func (s *Store) lookup(op, name string) (*entry, error) {
	ix, err := s.images()
	if err != nil {
		return nil, err
	}
	e, _, err := ix.find(name)
	switch {
	case err != nil:
		return nil, api.Wrap(op, printable(name), err)
	case e == nil:
		return nil, unknownError{api.Errorf(op, printable(name), "%v", ErrUnknown).
			WithHint("fetch it: sbx pull NAME; make one: sbx import ROOTFS.tar NAME; or use the host's file system: sbx run host CMD").
			WithCode(api.ExitFault)}
	}
	return e, nil
}

// Has says whether an image can be used at this moment. One that is being removed
// cannot: whoever has found an image asks again once he is known as its user.
func (s *Store) Has(id string) bool {
	ix, err := s.images()
	return err == nil && ix.byID[id] != nil
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

// find returns nil when there is none. The reference is what the image is known
// by under this name: HOST/NAME:TAG, HOST/NAME@DIGEST, or "" for an id.
func (ix *index) find(name string) (e *entry, ref string, err error) {
	parsed, err := normalise(name)
	if err == nil {
		if e, ref := ix.named(name, parsed); e != nil {
			return e, ref, nil
		}
	}
	prefix := strings.TrimPrefix(name, "sha256:")
	if prefix != "" && strings.Trim(prefix, "0123456789abcdef") == "" {
		e, err := ix.abbreviated(prefix)
		return e, "", err
	}
	if err != nil {
		return nil, "", badName("find image", name, err.Error())
	}
	return nil, "", nil
}

// named finds an image by a complete name. What the user has typed says whether it
// may be one of localhost.
func (ix *index) named(typed string, ref reference.Named) (*entry, string) {
	if e, full := ix.at(ref.Name(), ref); e != nil {
		return e, full
	}
	path, ok := strings.CutPrefix(ref.Name(), "docker.io/")
	if !ok || strings.HasPrefix(typed, "docker.io/") || strings.HasPrefix(typed, "index.docker.io/") {
		return nil, ""
	}
	if e, full := ix.at("localhost/"+path, ref); e != nil {
		return e, full
	}
	return ix.at("localhost/"+strings.TrimPrefix(path, "library/"), ref)
}

// at looks in a repository for the digest of ref, which counts more than its tag,
// or for the tag.
func (ix *index) at(repo string, ref reference.Named) (*entry, string) {
	full, in := "", ix.byName
	switch ref := ref.(type) {
	case reference.Digested:
		full, in = repo+"@"+ref.Digest().String(), ix.byDigest
	case reference.Tagged:
		full = repo + ":" + ref.Tag()
	}
	return in[full], full
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
	ix := &index{byID: map[string]*entry{}, byName: map[string]*entry{}, byDigest: map[string]*entry{}}
	for i := range images {
		if isPending(images[i].Names) || isHeld(images[i].Names) || s.removing[images[i].ID] {
			continue
		}
		ix.add(s.entry(old, &images[i], byID))
	}
	slices.Sort(ix.ids)
	s.index.Store(ix)
	return ix, nil
}

// isPending says that an image is not complete.
func isPending(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, pending) })
}

func (ix *index) add(e *entry) {
	ix.ids = append(ix.ids, e.ID)
	ix.byID[e.ID] = e
	for _, name := range e.Names {
		if !strings.Contains(name, "@") {
			ix.byName[name] = e
		}
	}
	for _, name := range e.digested {
		ix.byDigest[name] = e
	}
}

// entry reads one image. All but the names follows from the id, and is taken from
// old where that has it.
func (s *Store) entry(old *index, img *storage.Image, layers map[string]*storage.Layer) *entry {
	e := &entry{}
	if old != nil && old.byID[img.ID] != nil && old.byID[img.ID].broken == nil {
		*e = *old.byID[img.ID]
	} else {
		e.ID, e.Created = img.ID, img.Created
		e.broken = errors.Join(s.readConfig(&e.Image), s.readLayers(&e.Image, img.TopLayer, layers))
	}
	meta := readMetadata(img.Metadata)
	e.Digest, e.Tagged = img.Digest.String(), meta.Tagged
	e.Names = slices.Clone(img.Names)
	slices.Sort(e.Names)
	e.RepoDigests, e.digested = repoDigests(e.Names, digestsOf(img, meta))
	return e
}

// digestsOf are all digests that stand for an image.
func digestsOf(img *storage.Image, meta metadata) []string {
	var list []string
	for _, d := range img.Digests {
		list = append(list, d.String())
	}
	for _, d := range meta.Digests {
		list = append(list, d.String())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// repoDigests joins the repositories of the names with the digests. Of a repository
// whose digest is known, since the image was pulled by it or pushed there, only
// that one is shown, but all are found.
func repoDigests(names, digests []string) (shown, found []string) {
	exact := map[string]bool{}
	for _, name := range names {
		if strings.Contains(name, "@") {
			exact[repository(name)] = true
			shown = append(shown, name)
		}
	}
	found = slices.Clone(shown)
	for _, name := range names {
		repo := repository(name)
		if strings.Contains(name, "@") {
			continue
		}
		for _, d := range digests {
			found = append(found, repo+"@"+d)
			if !exact[repo] {
				shown = append(shown, repo+"@"+d)
			}
		}
	}
	slices.Sort(shown)
	slices.Sort(found)
	return slices.Compact(shown), slices.Compact(found)
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
	img.Architecture, img.Variant, img.OS, img.OSVersion = doc.Architecture, doc.Variant, doc.OS, doc.OSVersion
	img.Author, img.Comment, img.DockerVersion, img.History = doc.Author, doc.Comment, doc.DockerVersion, doc.History
	img.DiffIDs = doc.RootFS.DiffIDs
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
		img.LayerIDs = append(img.LayerIDs, id)
		img.LayerSizes = append(img.LayerSizes, layer.UncompressedSize)
		id = layer.Parent
	}
	slices.Reverse(img.LayerIDs)
	slices.Reverse(img.LayerSizes)
	if len(img.DiffIDs) != len(img.LayerIDs) {
		return fmt.Errorf("the configuration names %d layers, the store has %d", len(img.DiffIDs), len(img.LayerIDs))
	}
	return nil
}
