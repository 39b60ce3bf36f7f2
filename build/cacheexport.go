package build

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"

	"sbx/api"
	"sbx/image/transfer"
)

// trace is what a cache that is written is to say of a step.
type trace struct {
	copy, key key // see transfer.CacheStep
	created   time.Time

	// Of a step that was carried out, or found and used.
	below []*layer
	made  *layer // nil: nothing

	// Of one that was only found.
	parent, layer string        // ids in the store, which may not have the layer
	diffID        digest.Digest // of the layer; empty: the store has it, or there is none
	from          *transfer.BuildCache
}

// settle gives a trace the ids that its layers have come to.
func (t trace) settle() trace {
	if t.below == nil && t.made == nil {
		return t
	}
	t.parent, _ = topOf(t.below)
	if t.made != nil && t.made.id != t.parent { // the same: nothing of it is in a layer
		t.layer = t.made.id
	}
	return t
}

// cacheParts are the steps that a cache knows after this build, and the layers that go
// with them: all, or those of the result.
func (j *job) cacheParts(all bool) (steps []transfer.CacheStep, layers []transfer.CacheLayer, err error) {
	steps = []transfer.CacheStep{}
	result := map[string]bool{}
	for _, l := range j.g.goal.run.layers {
		result[l.id] = true
	}
	seen := map[digest.Digest]bool{}
	for _, s := range j.g.stages {
		if !s.needed {
			continue
		}
		for _, t := range s.traces() {
			t = t.settle()
			l := transfer.CacheLayer{DiffID: t.diffID, From: t.from}
			if t.layer != "" {
				there, ok, err := j.store.Layer(t.layer)
				if err != nil {
					return nil, nil, err
				}
				switch {
				case ok:
					l = transfer.CacheLayer{DiffID: there.DiffID, ID: there.ID, Size: there.Size}
				case t.from == nil:
					continue // it was removed meanwhile
				}
				if (all || result[t.layer]) && !seen[l.DiffID] && (ok || t.from.Has(l.DiffID)) {
					seen[l.DiffID] = true
					layers = append(layers, l)
				}
			}
			steps = append(steps, transfer.CacheStep{Key: string(t.key), Copy: string(t.copy), Layer: l.DiffID, Parent: t.parent, Created: t.created})
		}
	}
	return steps, layers, nil
}

// inlineCache is what the image carries. Its layers are in the store.
func (j *job) inlineCache() (json.RawMessage, error) {
	steps, _, err := j.cacheParts(false)
	if err != nil {
		return nil, err
	}
	return transfer.InlineCache(steps)
}

// sendCaches writes the caches of --cache-to.
func (j *job) sendCaches() error {
	for _, to := range j.cacheTo {
		if to.kind == cacheInline {
			continue
		}
		id := j.newID()
		title := "exporting cache to registry"
		if to.kind == cacheLocal {
			title = "exporting cache to client directory"
		}
		j.p.Step(id, title)
		j.p.Note(id, "preparing build cache for export")
		steps, layers, err := j.cacheParts(to.all)
		if err == nil {
			report := func(change api.Progress) { j.p.Transfer(id, change) }
			err = transfer.SendBuildCache(j.ctx, j.transfer(report), to.CachePlace, steps, layers, to.CacheOptions)
		}
		j.p.Done(id, end(err))
		if err != nil && !(to.spare && context.Cause(j.ctx) == nil) {
			return err
		}
	}
	return nil
}
