package build

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image"
	"sbx/internal/sys"
	"sbx/sandbox"
	"sbx/view"
)

// kept is something that builds have kept for later ones: what the cache knows of a
// step, or the directory of a cache mount.
type kept struct {
	record
	mount string // name of the directory
	bytes int64  // of a directory; those of a layer are known when it has gone
}

// pruneAll answers api.BuilderPrune. Without All, what an image has too stays: it would
// free nothing.
func (b *Builder) pruneAll(c *sandbox.Conversation) error {
	var r api.BuilderPrune
	if err := c.Decode(&r); err != nil {
		return err
	}
	before, err := pruneBefore(&r, time.Now())
	if err != nil {
		return err
	}
	if err := b.makeDirs(); err != nil {
		return err
	}
	store, err := c.Images()
	if err != nil {
		return err
	}
	b.prune.Lock()
	defer b.prune.Unlock()
	all, err := b.kept()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(k kept) bool { return b.used(&k) })
	if !r.All {
		images, err := imageLayers(store)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(k kept) bool { return k.Layer != "" && images[k.Layer] })
	}
	gone, err := b.choose(store, all, before, r.KeepStorage)
	if err != nil {
		return err
	}
	var freed int64
	for _, k := range gone {
		if k.mount != "" {
			if err := os.RemoveAll(filepath.Join(b.mounts.dir, k.mount)); err != nil {
				return api.Wrap("remove", k.mount, err)
			}
			freed += k.bytes
			continue
		}
		if err := b.cache.remove(k.key); err != nil {
			return api.Wrap("remove", string(k.key), err)
		}
	}
	layers, err := b.release(store)
	if err != nil {
		return err
	}
	text := ""
	for _, k := range gone {
		text += view.Safe(string(k.key[:min(12, len(k.key))])) + "\n"
	}
	return c.Done(text + "Total reclaimed space: " + size(freed+layers) + "\n")
}

// pruneBefore is when something must have been used last to go.
func pruneBefore(r *api.BuilderPrune, now time.Time) (time.Time, error) {
	before := now
	for _, f := range r.Filters {
		word, value, _ := strings.Cut(f, "=")
		if word != "until" && word != "unused-for" {
			return now, api.Errorf("builder prune", "", "unknown filter %q", view.Safe(word)).WithHint("there is until=24h")
		}
		var err error
		if before, err = view.ParseUntil(value, now); err != nil {
			return now, err
		}
	}
	return before, nil
}

// kept lists everything, what was used last at the end.
func (b *Builder) kept() ([]kept, error) {
	records, err := b.cache.all()
	if err != nil {
		return nil, api.Wrap("read", b.cache.dir, err)
	}
	var all []kept
	for _, r := range records {
		all = append(all, kept{record: r})
	}
	mounts, err := os.ReadDir(b.mounts.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, api.Wrap("read", b.mounts.dir, err)
	}
	for _, m := range mounts {
		k := kept{mount: m.Name(), record: record{key: key(m.Name())}}
		path := filepath.Join(b.mounts.dir, m.Name())
		if st, err := os.Stat(filepath.Join(path, "id")); err == nil {
			k.used = st.ModTime()
		}
		if k.bytes, err = sys.DiskUsage(path); err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, api.Wrap("measure", path, err)
		}
		all = append(all, k)
	}
	slices.SortStableFunc(all, func(x, y kept) int { return x.used.Compare(y.used) })
	return all, nil
}

// choose says what goes: what was used last before a time, and of the rest, oldest
// first, as much as it takes to keep no more than so many bytes.
func (b *Builder) choose(store *image.Store, all []kept, before time.Time, keep int64) ([]kept, error) {
	if keep <= 0 {
		return slices.DeleteFunc(all, func(k kept) bool { return k.used.After(before) }), nil
	}
	total := int64(0)
	seen := map[string]bool{}
	sizes := make([]int64, len(all))
	// From the youngest: a layer counts for the last one that needs it.
	for i, k := range slices.Backward(all) {
		sizes[i] = k.bytes
		if k.Layer != "" && !seen[k.Layer] {
			seen[k.Layer] = true
			n, err := store.LayerDisk(k.Layer)
			if err != nil {
				return nil, err
			}
			sizes[i] = n
		}
		total += sizes[i]
	}
	var gone []kept
	for i, k := range all {
		if total <= keep || k.used.After(before) {
			break
		}
		gone = append(gone, k)
		total -= sizes[i]
	}
	return gone, nil
}

// release gives up the layers that no entry needs, and says how many bytes that has
// freed.
func (b *Builder) release(store *image.Store) (int64, error) {
	records, err := b.cache.all()
	if err != nil {
		return 0, api.Wrap("read", b.cache.dir, err)
	}
	needed := map[string]bool{}
	for _, r := range records {
		if r.Layer != "" {
			needed[r.Layer] = true
		}
	}
	held, err := store.Held()
	if err != nil {
		return 0, err
	}
	var freed int64
	for _, id := range held {
		if needed[id] {
			continue
		}
		// A layer below may be needed still, and only this one keeps it.
		for below := id; below != ""; {
			l, ok, err := store.Layer(below)
			if err != nil {
				return freed, err
			}
			if !ok {
				break
			}
			if below = l.Parent; needed[below] {
				if err := store.Hold(below); err != nil {
					return freed, err
				}
				break
			}
		}
		n, err := store.Release(id)
		if err != nil {
			return freed, err
		}
		freed += n
	}
	return freed, nil
}

// imageLayers are the layers that images have.
func imageLayers(store *image.Store) (map[string]bool, error) {
	images, err := store.List()
	if err != nil {
		return nil, err
	}
	layers := map[string]bool{}
	for _, img := range images {
		for _, id := range img.LayerIDs {
			layers[id] = true
		}
	}
	return layers, nil
}

// Usage is what builds have kept, for system df. A layer that an image has too counts
// as that one's.
func (b *Builder) Usage(store *image.Store) ([]view.CacheDisk, error) {
	all, err := b.kept()
	if err != nil {
		return nil, err
	}
	images, err := imageLayers(store)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	list := make([]view.CacheDisk, 0, len(all))
	for _, k := range all {
		one := view.CacheDisk{ID: string(k.key), Type: "regular", Text: k.Title, Size: k.bytes, Created: k.Created, Used: k.used, Shared: images[k.Layer]}
		if k.mount != "" {
			one.Type, one.Text, one.Created = "exec.cachemount", "cache mount", k.used
		}
		if k.Layer != "" && !one.Shared && !seen[k.Layer] {
			seen[k.Layer] = true
			if one.Size, err = store.LayerDisk(k.Layer); err != nil {
				return nil, err
			}
		}
		list = append(list, one)
	}
	return list, nil
}
