package image

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/storage"

	"sbx/internal/sys"
)

// sweep removes what a killed process left: layers that were being unpacked, images
// that were not completed, and layers that no image and no container uses. The
// library removes the layers that were not complete, and its temporary directories,
// when it opens the store.
func (s *Store) sweep() error {
	if err := s.deleteStaged(); err != nil {
		return err
	}
	images, err := s.store.Images()
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, img := range images {
		if len(img.Names) == 1 && strings.HasPrefix(img.Names[0], pending) {
			if _, err := s.store.DeleteImage(img.ID, true); err != nil {
				return err
			}
			continue
		}
		used[img.TopLayer] = true
		for _, layer := range img.MappedTopLayers {
			used[layer] = true
		}
	}
	containers, err := s.store.Containers()
	if err != nil {
		return err
	}
	for _, c := range containers {
		used[c.LayerID] = true
	}
	if err := s.deleteUnused(used); err != nil {
		return err
	}
	return s.deleteSplits()
}

// deleteStaged deletes layers that were being unpacked. Nobody else is at it: the
// store is one process's.
func (s *Store) deleteStaged() error {
	dir := filepath.Join(s.graphRoot, "overlay", "staging")
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// deleteSplits deletes tar-split's data of layers that are not there.
func (s *Store) deleteSplits() error {
	layers, err := s.store.Layers()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, l := range layers {
		known[s.splitPath(l.ID)] = true
	}
	files, err := sys.Named(filepath.Join(s.graphRoot, splitDir), "", splitSuffix)
	for _, path := range files {
		if !known[path] {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// deleteUnused deletes the layers that are not used and have no used layer above.
func (s *Store) deleteUnused(used map[string]bool) error {
	layers, err := s.store.Layers()
	if err != nil {
		return err
	}
	byID := map[string]*storage.Layer{}
	children := map[string]int{}
	for i, l := range layers {
		byID[l.ID] = &layers[i]
		children[l.Parent]++
	}
	for _, l := range layers {
		// A leaf goes, and its parent when that made it a leaf, and so on.
		for id := l.ID; id != "" && byID[id] != nil && !used[id] && children[id] == 0; {
			if err := s.store.DeleteLayer(id); err != nil {
				return err
			}
			parent := byID[id].Parent
			delete(byID, id)
			children[parent]--
			id = parent
		}
	}
	return nil
}
