package build

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"sbx/api"
	"sbx/view"
)

// running is a stage that is being carried out, or has been.
type running struct {
	done    chan struct{}
	layers  []*layer // bottom first
	key     key
	created time.Time // of the last step that has made something, or of the image
	steps   map[*step]stepResult
	err     error
}

// stepResult is what the history is to say.
type stepResult struct {
	created time.Time
	layer   bool
}

// execute carries out the stages that are needed, each as soon as what it needs is
// there. The first error ends the others.
func (j *job) execute() error {
	for _, s := range j.g.stages {
		s.run.done = make(chan struct{})
	}
	group, ctx := errgroup.WithContext(j.ctx)
	for _, s := range j.g.stages {
		if !s.needed {
			continue
		}
		group.Go(func() error {
			defer close(s.run.done)
			if s.run.err = j.runStage(ctx, s); s.run.err != nil {
				j.stop(s.run.err)
			}
			if s.run.err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return s.run.err
		})
	}
	err := j.first(group.Wait())
	if err == nil {
		j.beginExport()
	}
	// What has been done so far is of use to the next build, whatever has happened.
	if kept := j.keepFresh(); err == nil {
		err = kept
	} else if kept != nil {
		j.c.Log.Warn("keep what a build has done", "error", kept)
	}
	return j.enterable(err)
}

// first is the error that has ended the stages. One that only waited for the stage that
// failed may have been heard of first.
func (j *job) first(err error) error {
	if !errors.Is(err, errOther) {
		return err
	}
	for _, s := range j.g.stages {
		if s.run.err != nil && !errors.Is(s.run.err, errOther) {
			return s.run.err
		}
	}
	return err
}

// await waits until a stage is complete.
func (j *job) await(ctx context.Context, s *stage) error {
	select {
	case <-s.run.done:
		if s.run.err != nil {
			return errOther
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errOther ends a stage that needs another one, which has said what is wrong.
var errOther = errors.New("another stage has failed")

// turn waits for one of the places to work in.
func (j *job) turn(ctx context.Context) (release func(), err error) {
	select {
	case j.turns <- struct{}{}:
		return func() { <-j.turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (j *job) runStage(ctx context.Context, s *stage) error {
	s.run.steps = map[*step]stepResult{}
	if err := j.from(ctx, s); err != nil {
		return err
	}
	if s.plan == nil {
		return nil
	}
	for _, step := range s.plan.steps {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := j.runStep(ctx, s, step); err != nil {
			if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
				return err
			}
			return &stepError{step, err}
		}
	}
	return nil
}

// from begins a stage.
func (j *job) from(ctx context.Context, s *stage) error {
	r := &s.run
	switch {
	case s.base != nil:
		if err := j.await(ctx, s.base); err != nil {
			return err
		}
		b := &s.base.run
		r.layers, r.key, r.created = slices.Clip(b.layers), b.key, b.created
		for step, result := range b.steps {
			r.steps[step] = result
		}
		return nil
	case s.image != nil:
		parent := ""
		for i, id := range s.image.LayerIDs {
			l := &layer{id: id, parent: parent, link: s.image.Layers[len(s.image.Layers)-1-i], created: s.image.Created}
			r.layers = append(r.layers, l)
			parent = id
		}
		r.layers = slices.Clip(r.layers)
		r.key, r.created = newKey("image", parent, j.epoch()), s.image.Created
		if !s.foreign {
			j.p.Step(s.fromID, s.fromTitle(s.total()))
			j.p.Done(s.fromID, view.StepEnd{How: view.StepCached})
		}
		return nil
	case s.context != nil && !s.foreign:
		return j.fromContext(ctx, s)
	}
	r.key = newKey(scratch, s.platform.String(), j.epoch())
	return nil
}

// epoch is a part of all keys: what was made with SOURCE_DATE_EPOCH has other times than
// what was made without.
func (j *job) epoch() string {
	if j.r.Timestamp == nil {
		return ""
	}
	return strconv.FormatInt(*j.r.Timestamp, 10)
}

// total is how many steps a stage has, its FROM included.
func (s *stage) total() int {
	if s.base == nil && s.ref != scratch {
		return len(s.plan.steps) + 1
	}
	return len(s.plan.steps)
}

// runStep finds a step in the cache, or carries it out.
func (j *job) runStep(ctx context.Context, s *stage, step *step) (err error) {
	// What it copies from has to be there before its turn: another stage may need one.
	if err := j.awaitSources(ctx, step); err != nil {
		return err
	}
	release, err := j.turn(ctx)
	if err != nil {
		return err
	}
	defer release()
	j.p.Step(step.id, step.title)
	hit := false
	defer func() {
		how := end(err)
		switch {
		case err != nil && ctx.Err() != nil:
			how = view.StepEnd{How: view.StepCancelled}
		case hit:
			how.How = view.StepCached
		}
		j.p.Done(step.id, how)
	}()
	first := s.run.sourceKey(step)
	if first != "" {
		if hit = j.hit(s, step, first); hit {
			return nil
		}
	}
	k, err := j.contentKey(ctx, s, step)
	if err != nil {
		return err
	}
	if hit = j.hit(s, step, k); hit {
		if first != "" {
			j.alias(s, first, k)
		}
		return nil
	}
	return j.carryOut(ctx, s, step, first, k)
}

// hit takes a step from the cache, if it is there under a key.
func (j *job) hit(s *stage, step *step, k key) bool {
	if step.noCache {
		return false
	}
	r := &s.run
	// Between finding a layer and saying that it is in use nobody may remove it.
	j.b.prune.RLock()
	made, e := j.lookup(r, k)
	if made != nil {
		j.b.use(made.id)
		j.mu.Lock()
		j.uses = append(j.uses, made.id)
		j.mu.Unlock()
	}
	j.b.prune.RUnlock()
	if e == nil {
		return false
	}
	if made != nil {
		r.layers = append(slices.Clip(r.layers), made)
	}
	r.key, r.created = e.Key, e.Created
	r.steps[step] = stepResult{e.Created, made != nil}
	j.b.cache.used(k)
	return true
}

// lookup gives the entry of a key if it can be used here, and its layer.
func (j *job) lookup(r *running, k key) (*layer, *entry) {
	e := j.b.cache.find(k)
	if e == nil {
		return nil, nil
	}
	if e.Layer == "" {
		return nil, e
	}
	top := ""
	if len(r.layers) > 0 {
		if top = r.layers[len(r.layers)-1].id; top == "" {
			return nil, nil // it has just been made
		}
	}
	l, ok, err := j.store.Layer(e.Layer)
	if err != nil || !ok || l.Parent != top {
		return nil, nil
	}
	return &layer{id: l.ID, parent: l.Parent, link: l.Link, created: e.Created}, e
}

// alias lets what is in the cache under one key be found under another, too.
func (j *job) alias(s *stage, other, k key) {
	e := j.b.cache.find(k)
	if e == nil {
		return
	}
	if err := j.b.cache.put(other, e); err != nil {
		j.c.Log.Warn("write to the build cache", "error", err)
	}
}

// carryOut does what a step says, and has it remembered under its keys.
func (j *job) carryOut(ctx context.Context, s *stage, step *step, first, k key) error {
	r := &s.run
	below := r.layers
	var made *layer
	var err error
	repeatable := true
	switch {
	case step.run != nil:
		made, err = j.execRun(ctx, s, step)
	case step.copy != nil:
		made, repeatable, err = j.execCopy(ctx, s, step)
	default:
		made, err = j.execMkdir(s, step)
	}
	if err != nil {
		return err
	}
	r.key, r.created = k, j.now()
	r.steps[step] = stepResult{r.created, made != nil}
	if made != nil {
		r.layers = append(slices.Clip(r.layers), made)
	}
	if !repeatable {
		// Nothing that follows is to be found by this.
		r.key = newKey(string(k), "changed meanwhile", time.Now().String())
		return nil
	}
	f := freshEntry{keys: []key{k}, key: k, title: step.title, layers: below, made: made, created: r.created}
	if first != "" {
		f.keys = append(f.keys, first)
	}
	j.remember(f)
	return nil
}

// remember notes what is to be put into the cache when its layer is in the store.
func (j *job) remember(f freshEntry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fresh = append(j.fresh, f)
}

// keepFresh puts the layers that were made into the store, and then what is known of
// them into the cache.
func (j *job) keepFresh() error {
	// A layer that is held, and not known to the cache yet, would be let go.
	j.b.prune.RLock()
	defer j.b.prune.RUnlock()
	j.mu.Lock()
	fresh := j.fresh
	j.fresh = nil
	j.mu.Unlock()
	hold := map[string]bool{}
	added := false
	for i := range fresh {
		f := &fresh[i]
		all := f.layers
		if f.made != nil {
			added = added || f.made.id == ""
			all = append(slices.Clip(all), f.made)
		}
		top, err := j.keep(all)
		if err != nil {
			return err
		}
		if f.made == nil {
			continue
		}
		for _, l := range f.layers {
			delete(hold, l.id) // the one above keeps it
		}
		if top != "" {
			hold[top] = true
		}
	}
	if added {
		if err := j.store.Sync(); err != nil {
			return api.Wrap("build", "", err)
		}
	}
	if err := j.holdAll(hold); err != nil {
		return err
	}
	for _, f := range fresh {
		e := entry{Created: f.created, Title: f.title, Key: f.key}
		if f.made != nil && f.made.id != f.made.parent {
			e.Layer, e.Parent = f.made.id, f.made.parent
		}
		for _, k := range f.keys {
			if err := j.b.cache.put(k, &e); err != nil {
				return err
			}
		}
	}
	return nil
}

// holdAll keeps layers in the store that no image may have.
func (j *job) holdAll(layers map[string]bool) error {
	if len(layers) == 0 {
		return nil
	}
	held, err := j.store.Held()
	if err != nil {
		return err
	}
	for id := range layers {
		if slices.Contains(held, id) {
			continue
		}
		if err := j.store.Hold(id); err != nil {
			return err
		}
		// Until there is an image, a prune would find nothing else that has it.
		j.b.use(id)
		j.uses = append(j.uses, id)
	}
	return nil
}
