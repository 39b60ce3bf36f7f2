package build

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"sbx/api"
	"sbx/image"
	"sbx/image/transfer"
	"sbx/view"
)

// mostFetches is how many layers of caches are fetched at a time.
const mostFetches = 4

// fetch is a layer of a cache that is on its way to a place in the store.
type fetch struct {
	done chan struct{}
	blob image.Blob
	err  error

	mu     sync.Mutex
	staged *image.Staged // nil when it has been put into the store
}

// openCaches reads what the caches of --cache-from know. One that is not there, or
// cannot be read, is no error of the build: it is done without.
func (j *job) openCaches() error {
	if j.r.NoCache {
		return nil
	}
	found := make([]*transfer.BuildCache, len(j.cacheFrom))
	var all sync.WaitGroup
	for i, place := range j.cacheFrom {
		id := j.newID()
		all.Go(func() {
			j.p.Step(id, "importing cache manifest from "+place.String())
			cache, err := transfer.OpenBuildCache(j.ctx, j.transfer(nil), place.CachePlace, j.g.target.String())
			if errors.Is(err, transfer.ErrNoCache) {
				j.p.Note(id, "there is no cache yet")
				err = nil
			}
			j.p.Done(id, end(err))
			found[i] = cache
		})
	}
	all.Wait()
	j.caches = slices.DeleteFunc(found, func(c *transfer.BuildCache) bool { return c == nil })
	return context.Cause(j.ctx)
}

// transfer is how caches get in and out.
func (j *job) transfer(report func(api.Progress)) transfer.Options {
	return transfer.Options{Store: j.store, Dirs: j.c.Dirs, Reach: j.r.Reach, Report: report, Log: j.c.Log}
}

// fetchLayer starts to fetch a layer that is to stand on others, if nobody has. What has been
// fetched is for the first who asks.
func (j *job) fetchLayer(step int, c *transfer.BuildCache, layer digest.Digest, id string) *fetch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f := j.fetches[id]; f != nil {
		return f
	}
	f := &fetch{done: make(chan struct{})}
	if j.fetches == nil {
		j.fetches, j.lines = map[string]*fetch{}, make(chan struct{}, mostFetches)
	}
	j.fetches[id] = f
	go func() {
		defer close(f.done)
		select {
		case j.lines <- struct{}{}:
			defer func() { <-j.lines }()
		case <-j.ctx.Done():
			f.err = context.Cause(j.ctx)
			return
		}
		f.staged, f.blob, f.err = c.Stage(j.ctx, layer, func(change api.Progress) { j.p.Transfer(step, change) })
	}()
	return f
}

// findImport goes through the caches of --cache-from that know a step on top of layers,
// until use says that it is enough. Have says whether the cache lists the layer.
func (j *job) findImport(below []*layer, k key, use func(c *transfer.BuildCache, e *transfer.CacheStep, have bool) bool) bool {
	top, ok := topOf(below)
	if !ok {
		return false
	}
	for _, c := range j.caches {
		if e, ok := c.Find(string(k)); ok && e.Parent == top && use(c, &e, e.Layer == "" || c.Has(e.Layer)) {
			return true
		}
	}
	return false
}

// imported takes a step from a cache of --cache-from. A layer that cannot be had is no
// error: the step is carried out.
func (j *job) imported(ctx context.Context, s *stage, step *step, k, other key) bool {
	r := &s.run
	return j.findImport(r.layers, k, func(c *transfer.BuildCache, e *transfer.CacheStep, have bool) bool {
		if !have {
			return false
		}
		t := trace{copy: other, key: key(e.Key), below: r.layers, created: e.Created}
		if e.Layer != "" {
			var err error
			if t.made, err = j.importLayer(ctx, step, c, e); err != nil {
				j.p.Note(step.id, "not taken from a cache: "+plain(err))
				return false
			}
			t.made.created = e.Created
		}
		f := freshEntry{keys: []key{k}, key: t.key, title: step.title, layers: r.layers, made: t.made, created: e.Created, imported: true}
		if other != "" {
			f.keys = append(f.keys, other)
		}
		j.remember(f)
		j.took(r, step, t, k)
		return true
	})
}

// topOf is the id of the highest layer; false: it has just been made and has none yet.
func topOf(layers []*layer) (string, bool) {
	if len(layers) == 0 {
		return "", true
	}
	top := layers[len(layers)-1].id
	return top, top != ""
}

// importLayer puts a layer of a cache into the store.
func (j *job) importLayer(ctx context.Context, step *step, c *transfer.BuildCache, e *transfer.CacheStep) (*layer, error) {
	id := image.LayerID(e.Parent, e.Layer)
	if l := j.inStore(id); l != nil {
		return l, nil
	}
	f := j.fetchLayer(step.id, c, e.Layer, id)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.err != nil {
		return nil, f.err
	}
	if err := j.place(f, e); err != nil {
		return nil, err
	}
	if l := j.inStore(id); l != nil {
		return l, nil
	}
	return nil, api.Errorf("add layer", id, "it has gone at once")
}

// place puts a layer that has been fetched into the store, once.
func (j *job) place(f *fetch, e *transfer.CacheStep) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.staged == nil {
		return nil
	}
	staged := f.staged
	f.staged = nil
	if _, err := j.store.AddLayer(staged, e.Parent); err != nil {
		return err
	}
	return j.store.Remember(e.Layer, f.blob)
}

// inStore gives a layer of the store, in use until the build has ended; nil: it is not
// there.
func (j *job) inStore(id string) *layer {
	// Between finding a layer and saying that it is in use nobody may remove it.
	j.b.prune.RLock()
	defer j.b.prune.RUnlock()
	l, ok, err := j.store.Layer(id)
	if err != nil || !ok {
		return nil
	}
	j.b.use(id)
	j.mu.Lock()
	j.uses = append(j.uses, id)
	j.mu.Unlock()
	return &layer{id: l.ID, parent: l.Parent, link: l.Link}
}

// closeCaches ends the use of caches, and removes what was fetched for nothing.
func (j *job) closeCaches() {
	for _, f := range j.fetches {
		<-f.done
		if f.staged == nil {
			continue
		}
		if err := j.store.Discard(f.staged); err != nil {
			j.c.Log.Warn("remove a layer that was not needed", "error", err)
		}
	}
	for _, c := range j.caches {
		if err := c.Close(); err != nil {
			j.c.Log.Warn("close a build cache", "error", err)
		}
	}
}

// showAbsent shows the steps of stages that were left out because nothing of them is
// needed but their keys.
func (j *job) showAbsent() {
	for _, s := range j.g.stages {
		if !s.needed || !s.absent() || s.plan == nil {
			continue
		}
		if s.image != nil && !s.foreign {
			j.p.Step(s.fromID, s.fromTitle(s.total()))
			j.p.Done(s.fromID, view.StepEnd{How: view.StepCached})
		}
		for _, step := range s.plan.steps {
			j.p.Step(step.id, step.title)
			j.p.Done(step.id, view.StepEnd{How: view.StepCached})
		}
	}
}
