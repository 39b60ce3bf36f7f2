package build

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"sbx/image"
	"sbx/image/transfer"
)

// vision is what is known of a stage before anything is carried out: the keys of its
// steps, and which of them caches know.
type vision struct {
	key   key
	below []*layer // those at its end, or only the highest of them, see topOf
	whole bool     // the keys of all steps are known
	found []foundStep
}

// foundStep is a step whose key is known.
type foundStep struct {
	trace
	cache *transfer.BuildCache // which knows it; nil: the one here, or none
	known bool                 // some cache knows it
	have  bool                 // its layer can be had: from the store, or from cache
}

// foresee looks through all caches by keys alone. A stage whose files nobody will read
// is left out: that a step copies from it is known by its key. Layers of other caches
// that will be needed are fetched at once, side by side.
func (j *job) foresee() {
	if len(j.caches) == 0 && len(j.g.stages) == 1 {
		return // there is nothing to leave out
	}
	seen := map[*stage]*vision{}
	for _, s := range j.g.stages {
		if s.needed {
			j.foreseeStage(s, seen)
		}
	}
	j.demand(j.g.goal, seen)
	for s, v := range seen {
		if s.leftOut {
			for _, f := range v.found {
				if f.known {
					s.foretold.traces = append(s.foretold.traces, f.trace)
					j.b.cache.used(f.key)
				}
			}
			continue
		}
		for i, f := range v.found {
			if !f.have {
				break
			}
			if f.cache != nil && f.layer != "" {
				j.startFetch(s.plan.steps[i].id, f.cache, f.diffID, f.layer)
			}
		}
	}
}

// demand says that the files of a stage are needed.
func (j *job) demand(s *stage, seen map[*stage]*vision) {
	if !s.leftOut {
		return
	}
	s.leftOut = false
	if s.base != nil {
		j.demand(s.base, seen)
	}
	if s.plan == nil {
		return
	}
	found := seen[s].found
	for i, step := range s.plan.steps {
		// After a step that is carried out the others are, too.
		if i >= len(found) || !found[i].have {
			found = nil
			for _, source := range step.sources() {
				j.demand(source, seen)
			}
		}
	}
}

// foreseeStage looks through a stage, and those that it is made from. It is left out
// until somebody demands it.
func (j *job) foreseeStage(s *stage, seen map[*stage]*vision) *vision {
	if v := seen[s]; v != nil {
		return v
	}
	v := &vision{whole: true}
	seen[s], s.leftOut = v, true
	switch {
	case s.base != nil:
		b := j.foreseeStage(s.base, seen)
		v.key, v.below, v.whole = b.key, b.below, b.whole
	case s.image != nil:
		top := ""
		if n := len(s.image.LayerIDs); n > 0 {
			top = s.image.LayerIDs[n-1]
			v.below = []*layer{{id: top}}
		}
		v.key = j.imageKey(top)
	case s.context != nil:
		v.whole = s.foreign // its files are read in any case
	default:
		v.key = j.scratchKey(s)
	}
	s.foretold.key = v.key
	if s.plan == nil {
		return v
	}
	for _, step := range s.plan.steps {
		for _, source := range step.sources() {
			v.whole = v.whole && j.foreseeStage(source, seen).whole
		}
		if !v.whole {
			break
		}
		f := j.foreseeStep(v, step)
		if v.whole = f != nil; !v.whole {
			break
		}
		v.found = append(v.found, *f)
		v.key = f.key
		if !f.known || f.layer != "" {
			v.below = []*layer{{id: f.layer}}
		}
	}
	s.foretold.key = v.key
	return v
}

// foreseeStep finds out the key of a step, and looks for it in the caches; nil: it has to
// be carried out, or its key is not known before something else is.
func (j *job) foreseeStep(v *vision, step *step) *foundStep {
	if step.noCache {
		return nil
	}
	first := sourceKey(v.key, step)
	if first != "" {
		if f := j.foreseeKey(v.below, first); f != nil {
			f.copy = first
			return f
		}
	}
	c := step.copy
	if c != nil && c.from != nil && !c.from.foreignContext() {
		return nil // files of layers would have to be read
	}
	if c != nil && c.add && len(j.caches) == 0 && slices.ContainsFunc(c.sources, remote) {
		return nil // others need not wait for what it downloads
	}
	k, err := j.contentKey(j.ctx, v.key, step)
	if err != nil {
		return nil // said when it is carried out
	}
	if f := j.foreseeKey(v.below, k); f != nil {
		return f
	}
	return &foundStep{trace: trace{key: k}}
}

// foreseeKey looks for a step on top of layers: here, and in the caches; nil: none knows
// it.
func (j *job) foreseeKey(below []*layer, k key) *foundStep {
	top, _ := topOf(below)
	if made, e := j.lookup(below, k); e != nil {
		f := &foundStep{trace: trace{key: e.Key, parent: top, created: e.Created}, known: true, have: true}
		if made != nil {
			f.layer = made.id
		}
		return f
	}
	var known *foundStep
	j.findImport(below, k, func(c *transfer.BuildCache, e *transfer.CacheStep, have bool) bool {
		f := &foundStep{trace: trace{key: key(e.Key), parent: top, diffID: e.Layer, created: e.Created, from: c}, cache: c, known: true, have: have}
		if e.Layer != "" {
			f.layer = image.LayerID(top, e.Layer)
		}
		if have || known == nil {
			known = f
		}
		return have
	})
	return known
}

// startFetch fetches a layer unless the store has it.
func (j *job) startFetch(step int, c *transfer.BuildCache, layer digest.Digest, id string) {
	if j.inStore(id) == nil {
		j.fetchLayer(step, c, layer, id)
	}
}

// absent says that a stage is left out, and that nobody has had it carried out since.
func (s *stage) absent() bool { return s.leftOut && !s.present.Load() }

// key is that of the files of a stage which is complete, or left out.
func (s *stage) key() key {
	if s.absent() {
		return s.foretold.key
	}
	return s.run.key
}

// traces are those of the steps of a stage that is complete, or left out.
func (s *stage) traces() []trace {
	if s.absent() {
		return slices.Clip(s.foretold.traces)
	}
	return s.run.traces
}
