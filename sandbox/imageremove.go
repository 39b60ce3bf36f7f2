package sandbox

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"sbx/api"
	"sbx/image"
	"sbx/view"
)

// users are the sandboxes made from an image, or with it mounted, and whether one of them runs.
func (s *Supervisor) users(id string) (names []string, running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boxes {
		if slices.Contains(imageIDs(&b.config), id) {
			names = append(names, b.config.Name)
			running = running || b.link != nil
		}
	}
	slices.Sort(names)
	if s.building[id] > 0 {
		return append(names, "of a build"), true
	}
	return names, running
}

// removeImage refuses to take the last name of an image that a build begins with.
func (s *Supervisor) removeImage(store *image.Store, name string, force bool) ([]image.Removed, error) {
	if img, err := store.Resolve(name); err == nil && len(img.Names) < 2 {
		s.mu.Lock()
		building := s.building[img.ID] > 0
		s.mu.Unlock()
		if building {
			return nil, api.Errorf("remove image", view.Safe(name), "conflict: a build uses it").WithHint("wait until it is over").WithCode(1)
		}
	}
	return store.Remove(name, image.RemoveOptions{Force: force, InUse: s.users})
}

// removeImages is rmi. What cannot be removed is said, and the rest goes on.
func (c *conversation) removeImages(r *api.RemoveImages) error {
	store, err := c.s.images()
	if err != nil {
		return err
	}
	names := r.Names
	if r.All {
		if names, err = c.s.unused(store); err != nil {
			return err
		}
	}
	code := 0
	for _, name := range names {
		removed, err := c.s.removeImage(store, name, r.Force || r.All)
		c.s.noteRemoved(removed)
		if err := c.out(removedLines(removed, "Untagged: ", "Deleted: ")); err != nil {
			return err
		}
		if err == nil {
			continue
		}
		// As Docker: with --force it does not matter that there is no such image.
		if !errors.Is(err, image.ErrUnknown) || !r.Force {
			code = 1
		}
		if err := c.complain(noImage(err)); err != nil {
			return err
		}
	}
	return c.conn.Send(api.KindDone, &api.Done{Code: code})
}

// unused are the ids of the images that no sandbox was made from.
func (s *Supervisor) unused(store *image.Store) ([]string, error) {
	images, err := store.List()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, img := range images {
		if names, _ := s.users(img.ID); len(names) == 0 {
			ids = append(ids, img.ID)
		}
	}
	return ids, nil
}

// complain prints an error that does not end the request.
func (c *conversation) complain(err error) error {
	return c.conn.Send(api.KindErr, &api.Text{Text: "sbx: " + view.Safe(err.Error()) + "\n"})
}

func removedLines(list []image.Removed, untagged, deleted string) string {
	var b strings.Builder
	for _, r := range list {
		if r.Untagged != "" {
			b.WriteString(untagged + view.Safe(r.Untagged) + "\n")
		} else {
			b.WriteString(deleted + r.Deleted + "\n")
		}
	}
	return b.String()
}

func (c *conversation) pruneImages(r *api.PruneImages) error {
	store, err := c.s.images()
	if err != nil {
		return err
	}
	o := image.PruneOptions{All: r.All, InUse: c.s.users}
	for _, filter := range r.Filters {
		if err := pruneFilter(&o, filter); err != nil {
			return err
		}
	}
	report, pruneErr := store.Prune(o)
	c.s.noteRemoved(report.Removed)
	text := ""
	if len(report.Removed) > 0 {
		text = "Deleted Images:\n" + removedLines(report.Removed, "untagged: ", "deleted: ") + "\n"
	}
	text += "Total reclaimed space: " + view.HumanSize(report.Reclaimed) + "\n"
	if pruneErr == nil {
		return c.done(text)
	}
	if err := c.out(text); err != nil {
		return err
	}
	return pruneErr
}

// pruneFilter reads one --filter of image prune.
func pruneFilter(o *image.PruneOptions, filter string) error {
	key, value, ok := strings.Cut(filter, "=")
	switch {
	case !ok:
		return api.Errorf("filter", strconv.Quote(filter), "bad format of filter (expected name=value)")
	case key == "until":
		if !o.Until.IsZero() {
			return api.Errorf("filter", strconv.Quote(filter), "more than one until is given")
		}
		var err error
		o.Until, err = view.ParseUntil(value, time.Now())
		return err
	case key == "label":
		o.Labels = append(o.Labels, value)
	case key == "label!":
		o.Not = append(o.Not, value)
	case key == "dangling" && (value == "true" || value == "1"):
		o.All = false
	case key == "dangling" && (value == "false" || value == "0"):
		o.All = true
	default:
		return api.Errorf("filter", strconv.Quote(filter), "no such filter").
			WithHint("filters are until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE] and dangling=true|false")
	}
	return nil
}

// imageStays is asked once a sandbox is in the tables: from then on its image is
// not removed, but that may have begun before.
func (s *Supervisor) imageStays(c *api.Config) error {
	ids := imageIDs(c)
	if len(ids) == 0 {
		return nil
	}
	store, err := s.images()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(ids, func(id string) bool { return !store.Has(id) }) {
		return api.Errorf("run", view.Safe(c.Image), "the image has just been removed").WithHint("get it again, and try again")
	}
	return nil
}
