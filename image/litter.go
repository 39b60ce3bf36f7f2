package image

import (
	"os"
	"slices"
	"sync"
)

// litter are directories that could not be removed when their time had come: that
// takes descriptors, and the lack of them may be why a layer failed. Whatever a
// process leaves at its end, the next one sweeps.
type litter struct {
	mu   sync.Mutex
	dirs []string
}

// drop removes a directory, now or later.
func (l *litter) drop(dir string) {
	if dir == "" || os.RemoveAll(dir) == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirs = append(l.dirs, dir)
}

// retry removes what drop could not.
func (l *litter) retry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirs = slices.DeleteFunc(l.dirs, func(dir string) bool { return os.RemoveAll(dir) == nil })
}
