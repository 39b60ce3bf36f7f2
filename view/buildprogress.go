package view

import (
	"slices"
	"strings"
	"sync"
	"time"

	"sbx/api"
)

// Modes of a build's progress.
const (
	BuildPlain   = "plain"
	BuildTTY     = "tty"
	BuildRawJSON = "rawjson"
)

// BuildLook says how the progress of a build is shown.
type BuildLook struct {
	Mode   string   // BuildPlain, BuildTTY or BuildRawJSON
	Quiet  bool     // nothing but a failure
	Colour bool     // of BuildTTY
	Size   api.Size // of the terminal of BuildTTY; zero: 80 by 24
}

// How a step of a build has ended.
const (
	StepOK        = "done"
	StepCached    = "cached"
	StepFailed    = "failed"
	StepCancelled = "cancelled"
)

// StepEnd is the end of a step of a build.
type StepEnd struct {
	How string // StepOK, ...
	Err error  // why it has failed
}

// BuildProgress shows the steps of a build, in the forms of Docker's BuildKit. Any
// goroutine may call its methods at any time. Who reads the text slows the build only
// by not reading very much of it.
type BuildProgress struct {
	mu    sync.Mutex
	out   buildOutput
	face  buildFace
	now   func() time.Time
	began time.Time
	total int
	steps []*buildStep // by id
	lint  []LintWarning
	over  bool
}

// buildFace is one form of showing a build. Its methods are called with
// BuildProgress.mu held.
type buildFace interface {
	begun(*buildStep)
	said(*buildStep, []logLine) // whole lines of output
	noted(*buildStep, *buildNote)
	ended(*buildStep)
	failed(text string) // of Fail
	resize(api.Size)
	close(warnings []LintWarning)
}

// NewBuildProgress shows a build by means of write, which gets text that is safe for
// a terminal. An error of it is not reported: nobody watches any more.
func NewBuildProgress(write func(text string) error, look BuildLook) *BuildProgress {
	return newBuildProgress(write, look, time.Now)
}

func newBuildProgress(write func(text string) error, look BuildLook, now func() time.Time) *BuildProgress {
	p := &BuildProgress{now: now, began: now()}
	p.out = buildOutput{write: write, lock: &p.mu, wrote: sync.NewCond(&p.mu)}
	switch {
	case look.Quiet:
		p.face = &quietBuild{out: &p.out}
	case look.Mode == BuildTTY:
		p.face = newTTYBuild(p, look)
	case look.Mode == BuildRawJSON:
		p.face = &rawBuild{out: &p.out, now: now}
	default:
		p.face = newPlainBuild(&p.out, now)
	}
	return p
}

// Total says how many steps there will be.
func (p *BuildProgress) Total(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = n
}

// Step begins a step. Steps are listed by their ids.
func (p *BuildProgress) Step(id int, title string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &buildStep{id: id, number: len(p.steps) + 1, title: oneLine(title), began: p.now()}
	at, known := slices.BinarySearchFunc(p.steps, id, func(s *buildStep, id int) int { return s.id - id })
	if known || p.over {
		return
	}
	p.steps = slices.Insert(p.steps, at, s)
	p.face.begun(s)
}

// Log shows what the program of a step has written, in pieces of any length.
func (p *BuildProgress) Log(id int, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.await()
	if s := p.find(id); s != nil {
		p.say(s, s.text.add(data))
	}
	p.out.relieve()
}

// say hands on whole lines.
func (p *BuildProgress) say(s *buildStep, lines []string) {
	if len(lines) == 0 {
		return
	}
	stamped := make([]logLine, len(lines))
	for i, line := range lines {
		stamped[i] = logLine{p.now().Sub(s.began), line}
	}
	s.keep(stamped)
	p.face.said(s, stamped)
}

// Note shows a line of its own below a step. It takes the place of an earlier one
// that is the same up to its first colon with a space behind it.
func (p *BuildProgress) Note(id int, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, _, _ := strings.Cut(text, ": ")
	p.note(id, key, text, false)
}

// Transfer shows what pulling an image has come to.
func (p *BuildProgress) Transfer(id int, change api.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if change.Line != "" {
		p.note(id, change.Line, change.Line, true)
	}
	for _, layer := range change.Steps {
		text, final := transferText(layer)
		p.note(id, layer.ID, text, final)
	}
}

// note makes or changes a note. A final one's time runs no more.
func (p *BuildProgress) note(id int, key, text string, final bool) {
	s := p.find(id)
	if s == nil {
		return
	}
	n := s.note(key, p.now())
	n.text, n.final = oneLine(text), final
	if final && n.ended.IsZero() {
		n.ended = p.now()
	}
	p.face.noted(s, n)
}

// Done ends a step.
func (p *BuildProgress) Done(id int, end StepEnd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.find(id); s != nil {
		p.say(s, s.text.rest())
		s.end(end, p.now())
		p.face.ended(s)
	}
}

// Warn keeps a warning of the linter for Close.
func (p *BuildProgress) Warn(w LintWarning) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lint = append(p.lint, w)
}

// Fail shows the last lines of the step that failed, and the lines of the Dockerfile
// that it stands in. The error itself is for the caller to report.
func (p *BuildProgress) Fail(f BuildFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	if i := slices.IndexFunc(p.steps, func(s *buildStep) bool { return s.id == f.Step }); i >= 0 {
		b.WriteString(p.steps[i].lastWords())
	}
	b.WriteString(Excerpt(f.File, f.Source, f.Ranges))
	p.face.failed(b.String())
}

// Resize says that the terminal has another size.
func (p *BuildProgress) Resize(size api.Size) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.face.resize(size)
}

// Close leaves the final picture and all text behind. It may be called again.
func (p *BuildProgress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	p.face.close(p.lint)
	p.out.flush()
}

// find gives a step that goes on.
func (p *BuildProgress) find(id int) *buildStep {
	for _, s := range p.steps {
		if s.id == id && s.ended.IsZero() && !p.over {
			return s
		}
	}
	return nil
}

// oneLine makes a text of the user's fit for one line of a list.
func oneLine(text string) string {
	return Safe(strings.NewReplacer("\n", " ", "\t", " ").Replace(text))
}

// quietBuild shows nothing but a failure.
type quietBuild struct{ out *buildOutput }

func (q *quietBuild) begun(*buildStep)             {}
func (q *quietBuild) said(*buildStep, []logLine)   {}
func (q *quietBuild) noted(*buildStep, *buildNote) {}
func (q *quietBuild) ended(*buildStep)             {}
func (q *quietBuild) failed(text string)           { q.out.print(text) }
func (q *quietBuild) resize(api.Size)              {}
func (q *quietBuild) close([]LintWarning)          {}
