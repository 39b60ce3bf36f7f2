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
	traces  []trace
	lost    bool // its key is none that could be found again
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
	j.foresee()
	for _, s := range j.g.stages {
		if !s.needed || s.leftOut {
			continue
		}
		group.Go(func() error {
			j.carryOutStage(ctx, s)
			if s.run.err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return s.run.err
		})
	}
	err := j.first(group.Wait())
	if err == nil {
		j.showAbsent()
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

// carryOutStage carries out a stage, once.
func (j *job) carryOutStage(ctx context.Context, s *stage) {
	s.once.Do(func() {
		defer close(s.run.done)
		if s.run.err = j.runStage(ctx, s); s.run.err != nil {
			j.stop(s.run.err)
		}
		s.present.Store(true)
	})
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

// await waits until a stage is complete. One that was left out is carried out: somebody
// needs its files after all.
func (j *job) await(ctx context.Context, s *stage) error {
	if s.leftOut {
		j.carryOutStage(ctx, s)
	}
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
		r.layers, r.key, r.created, r.lost = slices.Clip(b.layers), b.key, b.created, b.lost
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
		r.key, r.created = j.imageKey(parent), s.image.Created
		if !s.foreign {
			j.p.Step(s.fromID, s.fromTitle(s.total()))
			j.p.Done(s.fromID, view.StepEnd{How: view.StepCached})
		}
		return nil
	case s.context != nil && !s.foreign:
		return j.fromContext(ctx, s)
	}
	r.key = j.scratchKey(s)
	return nil
}

// imageKey is the key of the files of an image with this highest layer.
func (j *job) imageKey(top string) key { return newKey("image", top, j.terms()) }

// scratchKey is the key of a stage that begins with nothing.
func (j *job) scratchKey(s *stage) key { return newKey(scratch, s.platform.String(), j.terms()) }

// terms are a part of all keys: what was made with SOURCE_DATE_EPOCH has other times than
// what was made without, and where there is one id only all files are that one's.
func (j *job) terms() string {
	text := ""
	if j.r.Timestamp != nil {
		text = strconv.FormatInt(*j.r.Timestamp, 10)
	}
	if j.store.OneID() {
		text += " one id"
	}
	return text
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
	if err := j.awaitSources(ctx, step, false); err != nil {
		return err
	}
	release, err := j.turn(ctx)
	if err != nil {
		return err
	}
	defer func() { release() }()
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
	first, k, hit, err := j.seek(ctx, s, step)
	if err == nil && !hit && slices.ContainsFunc(step.sources(), (*stage).absent) {
		release()
		release = func() {}
		if err := j.awaitSources(ctx, step, true); err != nil {
			return err
		}
		if release, err = j.turn(ctx); err != nil {
			release = func() {}
			return err
		}
		first, k, hit, err = j.seek(ctx, s, step)
	}
	if err != nil || hit {
		return err
	}
	return j.carryOut(ctx, s, step, first, k)
}

// seek looks for a step in the caches, by its keys: one for which no file is read, and
// one by content.
func (j *job) seek(ctx context.Context, s *stage, step *step) (first, k key, hit bool, err error) {
	if first = sourceKey(s.run.key, step); first != "" && j.hit(ctx, s, step, first, "") {
		return first, "", true, nil
	}
	if step.copy != nil && step.copy.from != nil && step.copy.from.absent() {
		return first, "", false, nil // its files are not there to be read
	}
	if k, err = j.contentKey(ctx, s.run.key, step); err != nil {
		return first, k, false, err
	}
	return first, k, j.hit(ctx, s, step, k, first), nil
}

// hit takes a step from the cache, if it is there under a key. From now on it is there
// under the other one, too.
func (j *job) hit(ctx context.Context, s *stage, step *step, k, other key) bool {
	if step.noCache {
		return false
	}
	r := &s.run
	made, e := j.lookup(r.layers, k)
	if e == nil {
		return j.imported(ctx, s, step, k, other)
	}
	j.took(r, step, trace{copy: other, key: e.Key, below: r.layers, made: made, created: e.Created}, k)
	j.b.cache.used(k)
	if other != "" {
		j.alias(other, e)
	}
	return true
}

// took notes that a step has been found under a key.
func (j *job) took(r *running, step *step, t trace, found key) {
	if found != t.key {
		t.copy = found
	}
	if t.made != nil {
		r.layers = append(slices.Clip(r.layers), t.made)
	}
	r.traces = append(r.traces, t)
	r.key, r.created = t.key, t.created
	r.steps[step] = stepResult{t.created, t.made != nil}
}

// lookup gives the entry of a key if it can be used on top of layers, and its layer.
func (j *job) lookup(below []*layer, k key) (*layer, *entry) {
	e := j.b.cache.find(k)
	if e == nil || e.Layer == "" {
		return nil, e
	}
	top, known := topOf(below)
	if !known {
		return nil, nil
	}
	l := j.inStore(e.Layer)
	if l == nil || l.parent != top {
		return nil, nil
	}
	l.created = e.Created
	return l, e
}

// alias lets what is in the cache under one key be found under another, too.
func (j *job) alias(other key, e *entry) {
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
		r.key, r.lost = newKey(string(k), "changed meanwhile", time.Now().String()), true
		return nil
	}
	if !r.lost {
		r.traces = append(r.traces, trace{copy: first, key: k, below: below, made: made, created: r.created})
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
			added = added || f.made.id == "" || f.imported
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
