package build

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"sbx/api"
	"sbx/build/source"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/sandbox"
)

// Builder carries out the verbs of building. It has the directory build in the data
// directory:
//
//	cache/KEY        what steps have made, see entry
//	hashes           of the files of contexts
//	downloads        what servers said of the files of ADD
//	mounts/ID        what RUN --mount=type=cache keeps
//	s/NAME           of the steps of builds that go on; the name is short, since an overlay
//	                 of many must fit into a page
//	contexts/NAME    the same: those that came as an archive, or were fetched
type Builder struct {
	dir    string
	run    string // the run directory
	log    *slog.Logger
	cache  cache
	mounts mountLocks
	prune  sync.RWMutex // held for writing while entries are removed

	mu    sync.Mutex
	inUse map[string]int // layers that builds which go on have from the cache, by id
}

// Verbs are its handlers.
func (b *Builder) Verbs() map[string]sandbox.Verb {
	return map[string]sandbox.Verb{api.VerbBuild: b.build, api.VerbBuilderPrune: b.pruneAll}
}

// New makes a Builder, and removes what one of an earlier process has left behind.
func New(d dirs.Dirs, log *slog.Logger) (*Builder, error) {
	b := &Builder{dir: filepath.Join(d.Data, "build"), run: d.Run, log: log, inUse: map[string]int{}}
	b.cache.dir = filepath.Join(b.dir, "cache")
	b.mounts.dir = filepath.Join(b.dir, "mounts")
	return b, b.clean()
}

func (b *Builder) steps() string    { return filepath.Join(b.dir, "s") }
func (b *Builder) contexts() string { return filepath.Join(b.dir, "contexts") }
func (b *Builder) hashes() string   { return filepath.Join(b.dir, "hashes") }
func (b *Builder) seen() string     { return filepath.Join(b.dir, "downloads") }

// makeDirs makes what is missing, before the first build.
func (b *Builder) makeDirs() error {
	for _, dir := range []string{b.cache.dir, b.mounts.dir, b.steps(), b.contexts()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return dirs.DiskError("mkdir", dir, err)
		}
	}
	return nil
}

// clean removes what builds have left that were killed. It takes a while to remove
// much, which nobody has to wait for.
func (b *Builder) clean() error {
	steps, err := os.ReadDir(b.steps())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh, err := sys.Named(b.cache.dir, newEntry, "")
	if err != nil {
		return err
	}
	for _, path := range fresh {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if len(steps) > 0 {
		go func() {
			for _, e := range steps {
				if err := removeStep(filepath.Join(b.steps(), e.Name())); err != nil {
					b.log.Warn("remove what a build has left", "error", err)
				}
			}
		}()
	}
	for _, prefix := range []string{agentDir, secretDir} {
		left, err := sys.Named(b.run, prefix, "")
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := removeMount(path); err != nil {
				return err
			}
		}
	}
	if _, err := os.Stat(b.contexts()); err != nil {
		return nil
	}
	return source.Clean(b.contexts())
}

// use keeps a layer of the cache from being pruned, until unuse.
func (b *Builder) use(layer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inUse[layer]++
}

func (b *Builder) unuse(layers []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range layers {
		if b.inUse[id]--; b.inUse[id] == 0 {
			delete(b.inUse, id)
		}
	}
}

// used says whether something of the cache is in use.
func (b *Builder) used(k *kept) bool {
	if k.mount != "" {
		return b.mounts.busy(k.mount)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inUse[k.Layer] > 0
}
