package sys

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Named gives the paths of the entries of dir whose names begin with prefix and end with
// suffix, sorted; none if there is no such directory. Unlike filepath.Glob it takes dir
// as it is, whichever of *, ?, [ and \ are in it: users name it.
func Named(dir, prefix, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if name := e.Name(); len(name) >= len(prefix)+len(suffix) && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths, nil
}
