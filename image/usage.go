package image

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// Usage is what images take on the disk.
type Usage struct {
	Total  int64 // bytes of all layers of all images, each layer once
	Images []ImageUsage
	layers map[string]int64
}

// ImageUsage is one image's part of it, in bytes on the disk.
type ImageUsage struct {
	Image
	Disk   int64 // all its layers
	Shared int64 // those of them that another image has too
}

// Usage measures the layers of all images: blocks of files, hard links once, and
// the records from which an archive of a layer is made again. A layer does not
// change, so it is measured once in the life of the store.
func (s *Store) Usage() (Usage, error) {
	images, err := s.List()
	if err != nil {
		return Usage{}, err
	}
	users := map[string]int{}
	for _, img := range images {
		for _, id := range img.LayerIDs {
			users[id]++
		}
	}
	u := Usage{layers: map[string]int64{}}
	for _, id := range slices.Sorted(maps.Keys(users)) {
		if u.layers[id], err = s.layerDisk(id); err != nil {
			return Usage{}, api.Wrap("measure layer", id, err)
		}
		u.Total += u.layers[id]
	}
	for _, img := range images {
		one := ImageUsage{Image: img}
		for _, id := range img.LayerIDs {
			one.Disk += u.layers[id]
			if users[id] > 1 {
				one.Shared += u.layers[id]
			}
		}
		u.Images = append(u.Images, one)
	}
	return u, nil
}

// Of is how many bytes the images of these ids take together.
func (u Usage) Of(ids map[string]bool) int64 {
	seen := map[string]bool{}
	var sum int64
	for _, img := range u.Images {
		if !ids[img.ID] {
			continue
		}
		for _, layer := range img.LayerIDs {
			if !seen[layer] {
				seen[layer] = true
				sum += u.layers[layer]
			}
		}
	}
	return sum
}

// diskSizes remembers what layers take, by id.
type diskSizes struct {
	mu    sync.Mutex
	bytes map[string]int64
}

func (d *diskSizes) get(id string) (int64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.bytes[id]
	return n, ok
}

func (d *diskSizes) set(id string, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bytes == nil {
		d.bytes = map[string]int64{}
	}
	d.bytes[id] = n
}

func (d *diskSizes) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.bytes, id)
}

// layerDisk measures one layer. One that is gone takes nothing.
func (s *Store) layerDisk(id string) (int64, error) {
	if n, ok := s.disk.get(id); ok {
		return n, nil
	}
	total, err := sys.DiskUsage(filepath.Join(s.graphRoot, "overlay", id))
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	beside := []string{s.splitPath(id)}
	if link, err := os.ReadFile(filepath.Join(s.graphRoot, "overlay", id, "link")); err == nil {
		beside = append(beside, filepath.Join(s.graphRoot, "overlay", "l", string(link)))
	}
	for _, path := range beside {
		var st unix.Stat_t
		// Other programs leave out the record, and nothing else says there is one.
		if unix.Lstat(path, &st) == nil {
			total += st.Blocks * sys.BlockUnit
		}
	}
	s.disk.set(id, total)
	return total, nil
}
