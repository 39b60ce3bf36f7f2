package image

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"sbx/api"
)

// Tag gives an image one more name, which another image may lose by it.
func (s *Store) Tag(source, target string) error {
	const op = "tag image"
	name, err := newName(target)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	// Looked for under the lock: an image that is being removed gets no name.
	e, err := s.lookupLocked(op, source)
	if err != nil {
		return err
	}
	if err := s.stamp(e.ID); err != nil {
		return api.Wrap(op, printable(source), err)
	}
	if err := s.store.AddNames(e.ID, []string{name}); err != nil {
		return api.Wrap(op, printable(source), err)
	}
	_, err = s.reindex()
	return err
}

// NoteDigest records under which digest a repository has an image, HOST/NAME, so
// that inspect shows it and NAME@DIGEST finds the image. It does nothing for a
// repository that the image has no tag in: that would be a new name.
func (s *Store) NoteDigest(id, repo string, d digest.Digest) error {
	const op = "note digest of image"
	name := repo + "@" + d.String()
	if err := d.Validate(); err != nil {
		return api.Wrap(op, printable(name), err)
	}
	s.write.Lock()
	defer s.write.Unlock()
	e, err := s.lookupLocked(op, id)
	if err != nil {
		return err
	}
	if e.tagged(name) == "" || slices.Contains(e.Names, name) {
		return nil
	}
	if err := s.store.AddNames(e.ID, []string{name}); err != nil {
		return api.Wrap(op, printable(name), err)
	}
	_, err = s.reindex()
	return err
}

// stamp records the time of a tag, before the name is there: inspect shows it.
func (s *Store) stamp(id string) error {
	img, err := s.store.Image(id)
	if err != nil {
		return err
	}
	m := readMetadata(img.Metadata)
	m.Tagged = time.Now().UTC()
	text, err := m.update(img.Metadata)
	if err != nil {
		return err
	}
	return s.store.SetMetadata(id, text)
}

// lookupLocked is lookup for a caller that holds s.write.
func (s *Store) lookupLocked(op, name string) (*entry, error) {
	if s.index.Load() == nil {
		if _, err := s.reindex(); err != nil {
			return nil, err
		}
	}
	return s.lookup(op, name)
}
