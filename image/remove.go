package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"

	"sbx/api"
)

// RemoveOptions say what may be removed.
type RemoveOptions struct {
	Force bool
	// InUse names the sandboxes made from an image, and says whether one of them
	// runs. An image that has any is never deleted.
	InUse func(id string) (names []string, running bool)
}

// Removed is one thing that is gone: a name, or an image or a layer by digest.
type Removed struct {
	Untagged string // as Docker shows names: debian:13
	Deleted  string // sha256:...
	Layer    bool   // that is a layer, not an image
}

// Remove removes a name of an image, and with its last name the image and the
// layers that no other image has. An image given by its id goes with all names; if
// they are of several repositories only by force. Force also takes the names of
// an image that a stopped sandbox uses.
//
// An image that was refused is as it was.
func (s *Store) Remove(name string, o RemoveOptions) ([]Removed, error) {
	s.write.Lock()
	defer s.write.Unlock()
	e, err := s.lookupLocked(opRemove, name)
	if err != nil {
		return nil, err
	}
	_, ref, err := s.index.Load().find(name)
	if err != nil {
		return nil, err
	}
	out, err := e.plan(name, ref, o)
	if err != nil {
		return nil, err
	}
	if len(out.keep) == 0 && !out.inUse {
		removed, _, err := s.remove(e, o)
		return removed, err
	}
	if err := s.store.SetNames(e.ID, out.keep); err != nil {
		return nil, api.Wrap(opRemove, printable(name), err)
	}
	if _, err := s.reindex(); err != nil {
		return nil, err
	}
	return untagged(out.lost), nil
}

const opRemove = "remove image"

// removal is what becomes of the names of an image.
type removal struct {
	keep, lost []string
	inUse      bool
}

// plan applies Docker's rules: ref is the name that was given, or "" for an id.
// moby daemon/images/image_delete.go, ImageDelete.
func (e *entry) plan(name, ref string, o RemoveOptions) (removal, error) {
	users, running := o.InUse(e.ID)
	out := removal{lost: e.all(), inUse: len(users) > 0}
	if ref != "" {
		named := slices.Contains(e.Names, ref)
		if tag := e.tagged(ref); !named && tag != "" && !o.Force {
			return out, conflict(name, "the image has the name "+familiar(tag)+" too, which stands for this digest").
				WithHint("remove that name, or use -f")
		}
		if keep := e.without(ref); named && len(keep) > 0 {
			return removal{keep: keep, lost: lost(e.all(), keep, e.Names)}, nil
		}
	}
	switch {
	case running:
		return out, conflict(name, "sandbox "+strings.Join(users, ", ")+" uses it and is running").
			WithHint("remove the sandbox first: sbx rm -f %s", strings.Join(users, " "))
	case ref == "" && !single(e.Names) && !o.Force:
		return out, conflict(name, "the image has names in more than one repository, or several tags: "+strings.Join(familiars(e.Names), ", ")).
			WithHint("remove the names one by one, or use -f")
	case len(users) > 0 && len(e.Names) == 0:
		return out, conflict(name, "sandbox "+strings.Join(users, ", ")+" uses it").
			WithHint("remove the sandbox first: sbx rm %s", strings.Join(users, " "))
	case len(users) > 0 && !o.Force:
		return out, conflict(name, "the stopped sandbox "+strings.Join(users, ", ")+" uses it").
			WithHint("remove the sandbox first (sbx rm %s), or use -f to remove the names only", strings.Join(users, " "))
	}
	return out, nil
}

func conflict(name, why string) *api.Error {
	return api.Errorf(opRemove, printable(name), "conflict: %s", plain(why)).WithCode(1)
}

// all are the names and the digests that go with them.
func (e *entry) all() []string {
	var list []string
	for _, n := range e.Names {
		if !strings.Contains(n, "@") {
			list = append(list, n)
		}
	}
	return append(list, e.RepoDigests...)
}

// tagged is a tag in the repository of a name, if there is one.
func (e *entry) tagged(ref string) string {
	repo := repository(ref)
	for _, n := range e.Names {
		if repository(n) == repo && !strings.Contains(n, "@") {
			return n
		}
	}
	return ""
}

// without are the names that are left when ref is taken away. With the last tag of
// a repository its digests go, too.
func (e *entry) without(ref string) []string {
	keep := slices.DeleteFunc(slices.Clone(e.Names), func(n string) bool { return n == ref })
	if strings.Contains(ref, "@") {
		return keep
	}
	left := func(n string) bool { return repository(n) == repository(ref) && !strings.Contains(n, "@") }
	if slices.ContainsFunc(keep, left) {
		return keep
	}
	return slices.DeleteFunc(keep, func(n string) bool { return repository(n) == repository(ref) })
}

// lost are the names and digests of all that do not go with the names to keep: a
// tag keeps the digests of its repository.
func lost(all, keep, names []string) []string {
	repos := map[string]bool{}
	for _, n := range keep {
		repos[repository(n)] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(n string) bool {
		return slices.Contains(keep, n) || !slices.Contains(names, n) && repos[repository(n)]
	})
}

// repository is HOST/NAME of a stored name.
func repository(name string) string {
	if repo, _, ok := strings.Cut(name, "@"); ok {
		return repo
	}
	return name[:max(strings.LastIndexByte(name, ':'), 0)]
}

// single says that the names are of one repository, with one tag at most.
func single(names []string) bool {
	tags := 0
	for _, n := range names {
		if repository(n) != repository(names[0]) {
			return false
		}
		if !strings.Contains(n, "@") {
			tags++
		}
	}
	return tags <= 1
}

func untagged(names []string) []Removed {
	var list []Removed
	for _, n := range familiars(names) {
		list = append(list, Removed{Untagged: n})
	}
	return list
}

func familiars(names []string) []string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = familiar(n)
	}
	return list
}

// familiar is a stored name as Docker shows it: docker.io/library/debian:13 is
// debian:13.
func familiar(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return plain(name)
	}
	return reference.FamiliarString(ref)
}

// remove deletes an image with its names, and says how many bytes that has freed.
// The caller holds s.write.
//
// The image disappears from the index before it is asked once more who uses it:
// whoever starts to use it later asks Has, and is told that it has gone.
func (s *Store) remove(e *entry, o RemoveOptions) (_ []Removed, freed int64, err error) {
	s.removing[e.ID] = true
	defer func() {
		delete(s.removing, e.ID)
		if _, err2 := s.reindex(); err2 != nil {
			err = errors.Join(err, err2)
		}
	}()
	if _, err := s.reindex(); err != nil {
		return nil, 0, err
	}
	if users, _ := o.InUse(e.ID); len(users) > 0 {
		return nil, 0, conflict(shortID(e.ID), "sandbox "+strings.Join(users, ", ")+" has just been made from it")
	}
	sizes := map[string]int64{}
	for _, id := range e.LayerIDs {
		if n, ok := s.disk.get(id); ok {
			sizes[id] = n
		}
	}
	layers, err := s.store.DeleteImage(e.ID, true)
	if err != nil && !errors.Is(err, storage.ErrLayerUnknown) {
		return nil, 0, api.Wrap(opRemove, shortID(e.ID), errors.New(short(err.Error()))).
			WithHint("the rest goes when the store is next opened")
	}
	removed := append(untagged(e.all()), Removed{Deleted: "sha256:" + e.ID})
	chain := chainIDs(e.Image)
	for _, id := range layers {
		freed += sizes[id]
		s.disk.forget(id)
		name := chain[id]
		if name == "" {
			name = "sha256:" + id
		}
		removed = append(removed, Removed{Deleted: name, Layer: true})
	}
	return removed, freed, nil
}

// chainIDs are what Docker calls the layers, by their ids in the store: the digest
// of a diffID and all diffIDs below it.
// https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md#layer-chainid
func chainIDs(img Image) map[string]string {
	chain := map[string]string{}
	if len(img.DiffIDs) != len(img.LayerIDs) {
		return chain
	}
	var below digest.Digest
	for i, id := range img.LayerIDs {
		if i == 0 {
			below = img.DiffIDs[0]
		} else {
			below = digest.FromString(fmt.Sprintf("%s %s", below, img.DiffIDs[i]))
		}
		chain[id] = below.String()
	}
	return chain
}

// shortID is what Docker prints.
func shortID(id string) string { return id[:min(12, len(id))] }
