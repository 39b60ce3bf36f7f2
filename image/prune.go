package image

import (
	"slices"
	"strings"
	"time"
)

// PruneOptions choose images. All that are given must agree.
type PruneOptions struct {
	All    bool      // also images that have a name
	Until  time.Time // only images made before; zero: any
	Labels []string  // "key" or "key=value"; every one must be there
	Not    []string  // of which none may be there
	InUse  func(id string) (names []string, running bool)
}

// PruneReport is what a prune has done.
type PruneReport struct {
	Removed   []Removed
	Reclaimed int64 // bytes on the disk
}

// Prune removes the images that no sandbox uses and that have no name, or with
// All whatever names they have. With an error the report says what is gone.
func (s *Store) Prune(o PruneOptions) (PruneReport, error) {
	var report PruneReport
	images, err := s.List()
	if err != nil {
		return report, err
	}
	for _, img := range images {
		if !o.match(img) {
			continue
		}
		removed, freed, err := s.pruneOne(img.ID, o)
		report.Removed = append(report.Removed, removed...)
		report.Reclaimed += freed
		if err != nil {
			return report, err
		}
	}
	return report, nil
}

func (s *Store) pruneOne(id string, o PruneOptions) ([]Removed, int64, error) {
	s.write.Lock()
	defer s.write.Unlock()
	e := s.index.Load().byID[id]
	// It may have got a name, or a sandbox, or have gone, since it was listed.
	if e == nil || !o.match(e.Image) {
		return nil, 0, nil
	}
	if users, _ := o.InUse(id); len(users) > 0 {
		return nil, 0, nil
	}
	for _, layer := range e.LayerIDs {
		if _, err := s.layerDisk(layer); err != nil {
			return nil, 0, err
		}
	}
	return s.remove(e, RemoveOptions{InUse: o.InUse})
}

func (o PruneOptions) match(img Image) bool {
	if len(img.Names) > 0 && !o.All || !o.Until.IsZero() && !img.Created.Before(o.Until) {
		return false
	}
	if slices.ContainsFunc(o.Not, func(l string) bool { return hasLabel(img.Config.Labels, l) }) {
		return false
	}
	return !slices.ContainsFunc(o.Labels, func(l string) bool { return !hasLabel(img.Config.Labels, l) })
}

func hasLabel(labels map[string]string, want string) bool {
	key, value, valued := strings.Cut(want, "=")
	got, ok := labels[key]
	return ok && (!valued || got == value)
}
