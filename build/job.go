package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"

	"sbx/api"
	"sbx/build/files"
	"sbx/build/source"
	"sbx/image"
	"sbx/image/transfer"
	"sbx/sandbox"
	"sbx/view"
)

// mostSteps is how many steps of a build work at a time.
func mostSteps() int { return max(runtime.GOMAXPROCS(0), 2) }

// job is one build.
type job struct {
	b     *Builder
	c     *sandbox.Conversation
	r     *api.Build
	store *image.Store
	p     *view.BuildProgress

	ctx  context.Context // ends with the command line, and when a step fails
	stop context.CancelCauseFunc
	work context.Context // of what may go on a little after that

	hashes  *files.Hashes
	context *source.Context
	named   map[string]*os.File // directories of --build-context
	secrets map[string]*os.File
	agents  map[string]*agent // of --ssh, by id
	gitKeys string            // socket of the agent that git asks; empty: none
	undo    []func() error    // what ends with the build, in order
	output  *os.File
	about   *os.File // for what is known of the image
	file    *dockerfile
	g       *graph

	turns   chan struct{} // places for steps that work
	sealing sync.WaitGroup
	mu      sync.Mutex
	dirs    []*stepDir
	fresh   []freshEntry
	trees   map[string]*tree // contexts and downloads
	lastID  int
	uses    []string // layers from the cache

	exportID int // of the last step

	cacheFrom, cacheTo []cachePlace
	inline             bool // the image carries a cache
	caches             []*transfer.BuildCache
	fetches            map[string]*fetch // of layers of caches, by their ids in the store
	lines              chan struct{}     // places for those that go on
}

// freshEntry is what the cache is to know when the build is over.
type freshEntry struct {
	keys    []key
	key     key // of the files after the step
	title   string
	layers  []*layer // what is below the step
	made    *layer   // by it; nil: nothing
	created time.Time

	imported bool // its layer is in the store, but perhaps not on the disk
}

// build answers api.Build.
func (b *Builder) build(c *sandbox.Conversation) (err error) {
	j := &job{b: b, c: c, r: &api.Build{}, trees: map[string]*tree{}, turns: make(chan struct{}, mostSteps())}
	if err := c.Decode(j.r); err != nil {
		return err
	}
	if err := b.makeDirs(); err != nil {
		return err
	}
	from, err := j.takeFiles()
	if err != nil {
		return err
	}
	defer j.release()
	if j.gitKeys, err = j.gitAgent(); err != nil {
		return err
	}
	if err := j.checkRequest(); err != nil {
		return err
	}
	if j.store, err = c.Images(); err != nil {
		return err
	}
	j.ctx, j.stop = context.WithCancelCause(c.Context())
	defer j.stop(nil)
	work, stopWork := context.WithCancel(context.WithoutCancel(j.ctx))
	defer stopWork()
	j.work = work
	j.p = view.NewBuildProgress(c.Err, view.BuildLook{Mode: j.r.Progress, Quiet: j.r.Quiet, Colour: j.r.Colour, Size: j.r.Size})
	defer j.p.Close()
	c.OnResize(j.p.Resize)
	defer j.close()
	code, text, err := j.all(from)
	if err != nil {
		return j.failed(err)
	}
	j.p.Close()
	j.letGo() // whoever sees the answer may remove the image, and prune
	return c.End(code, text)
}

// takeFiles tells the files of a request apart.
func (j *job) takeFiles() (source.Files, error) {
	var from source.Files
	rest := j.c.Files()
	take := func(want bool) *os.File {
		if !want || len(rest) == 0 {
			return nil
		}
		f := rest[0]
		rest = rest[1:]
		return f
	}
	r := j.r
	want := 0
	for _, is := range []bool{r.Context == api.ContextDir || r.Context == api.ContextArchive, r.DockerfileFile, r.IgnoreFile, r.Output.Type != "", r.Metadata} {
		if is {
			want++
		}
	}
	for _, c := range r.Contexts {
		if c.Dir {
			want++
		}
	}
	for _, s := range r.SSH {
		want += len(s.Keys)
	}
	if want += len(r.Secrets); want != len(rest) {
		return from, api.Errorf("build", r.Where, "%d files came with the request, %d are named", len(rest), want)
	}
	from.Context = take(r.Context == api.ContextDir || r.Context == api.ContextArchive)
	from.Dockerfile, from.Ignore = take(r.DockerfileFile), take(r.IgnoreFile)
	j.named, j.secrets = map[string]*os.File{}, map[string]*os.File{}
	for _, c := range r.Contexts {
		if c.Dir {
			j.named[strings.ToLower(c.Name)] = take(true)
		}
	}
	for _, s := range r.Secrets {
		j.secrets[s.ID] = take(true)
	}
	j.agents = map[string]*agent{}
	for _, s := range r.SSH {
		keys := make([]*os.File, len(s.Keys))
		for i := range keys {
			keys[i] = take(true)
		}
		if s.ID == "" {
			s.ID = defaultAgent // as with BuildKit
		}
		if j.agents[s.ID] != nil {
			return from, api.Errorf("build", r.Where, "--ssh %s is given twice", view.Safe(s.ID))
		}
		a, err := newAgent(&s, keys)
		if err != nil {
			return from, err
		}
		j.agents[s.ID] = a
	}
	j.output, j.about = take(r.Output.Type != ""), take(r.Metadata)
	return from, nil
}

// release ends what a build has had done beside it.
func (j *job) release() {
	for _, undo := range j.undo {
		if err := undo(); err != nil {
			j.c.Log.Warn("after a build", "error", err)
		}
	}
}

// checkRequest refuses what cannot be had before anything is fetched.
func (j *job) checkRequest() error {
	r := j.r
	for _, tag := range r.Tags {
		if err := image.CheckName(tag); err != nil {
			return err
		}
	}
	if _, err := network(r.Network); err != nil {
		return err
	}
	switch r.Format {
	case "", "oci", "docker":
	default:
		return api.Errorf("build", "", "--format %s: there are oci and docker", r.Format)
	}
	return j.readCaches()
}

// all does everything. What comes back is the answer.
func (j *job) all(from source.Files) (code int, text string, err error) {
	j.hashes = files.OpenHashes(j.b.hashes())
	if err := j.open(from); err != nil {
		return 0, "", err
	}
	target := hostPlatform()
	if j.r.Platform != "" {
		if target, err = parsePlatform(j.r.Platform); err != nil {
			return 0, "", err
		}
	}
	if j.file, err = parse(j.context.Dockerfile()); err != nil {
		return 0, "", err
	}
	if j.g, err = newGraph(j.file, j.r, target); err != nil {
		return 0, "", err
	}
	if err := j.ignorer(); err != nil {
		return 0, "", err
	}
	if j.r.Check {
		return j.check()
	}
	if err := j.prepare(); err != nil {
		return 0, "", err
	}
	for _, w := range j.file.warnings {
		j.p.Warn(w)
	}
	if err := j.file.lint.Error(); err != nil {
		return 0, "", api.Errorf("build", j.file.name, "%s", plain(err))
	}
	if err := j.openCaches(); err != nil {
		return 0, "", err
	}
	if err := j.execute(); err != nil {
		return 0, "", err
	}
	if text, err = j.finish(); err == nil {
		err = j.sendCaches()
	}
	return 0, text, err
}

// check only says what the linter has found.
func (j *job) check() (code int, text string, err error) {
	for _, s := range j.g.stages {
		if s.foreign {
			continue
		}
		// Without its image a stage has nothing that the linter asks for.
		if s.base == nil && s.context == nil && s.ref != scratch {
			if img, err := j.store.Resolve(s.ref); err == nil {
				s.image = &img
			}
		}
		if err := j.g.planStage(s, j.r); err != nil {
			return 0, "", err
		}
	}
	if len(j.file.warnings) > 0 {
		code = 1
	}
	return code, "", j.c.Out(view.LintReport(j.file.warnings))
}

// open gets the context.
func (j *job) open(from source.Files) error {
	id := j.newID()
	shown := false
	show := func() {
		if !shown {
			shown = true
			j.p.Step(id, "[internal] load build context")
		}
	}
	if j.r.Context != api.ContextDir {
		show()
	}
	var err error
	j.context, err = source.Open(j.ctx, j.r, from, j.sourceOptions(func(done, total int64) {
		show()
		j.p.Note(id, transferring(done, total))
	}))
	if shown {
		j.p.Done(id, end(err))
	}
	return err
}

func (j *job) sourceOptions(progress func(done, total int64)) source.Options {
	return source.Options{Dir: j.b.contexts(), Hashes: j.hashes, Progress: progress, Seen: j.b.seen(), Agent: j.gitKeys}
}

// transferring is BuildKit's words for what has been read.
func transferring(done, total int64) string {
	if total > 0 {
		return fmt.Sprintf("transferring: %s / %s", size(done), size(total))
	}
	return "transferring: " + size(done)
}

func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2fGB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2fMB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.2fkB", float64(n)/1e3)
	}
	return fmt.Sprintf("%dB", n)
}

// ignorer lets the linter know what .dockerignore leaves out. With exceptions it
// cannot be told before the context is read.
func (j *job) ignorer() error {
	patterns := j.context.Ignored()
	if len(patterns) == 0 {
		return nil
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return api.Errorf("build", ".dockerignore", "%s", plain(err))
	}
	if m.Exclusions() {
		return nil
	}
	j.g.ignored = func(path string) bool {
		if path == "." || path == "/" {
			for _, p := range m.Patterns() {
				if text := p.String(); !p.Exclusion() && (text == "*" || text == "**" || text == "**/*") {
					return true
				}
			}
			return false
		}
		ok, err := m.MatchesOrParentMatches(path)
		return err == nil && ok
	}
	return nil
}

// newID numbers what the progress shows.
func (j *job) newID() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lastID++
	return j.lastID
}

// end is how a step has ended.
func end(err error) view.StepEnd {
	if err == nil {
		return view.StepEnd{How: view.StepOK}
	}
	return view.StepEnd{How: view.StepFailed, Err: err}
}

// letGo gives up what nobody could remove while the build went on: layers and images.
func (j *job) letGo() {
	j.b.unuse(j.uses)
	j.uses = nil
	if j.g == nil {
		return
	}
	for _, s := range j.g.stages {
		if s.release != nil {
			s.release()
			s.release = nil
		}
	}
}

// close removes what was only for this build.
func (j *job) close() {
	j.stop(nil)
	j.closeCaches()
	j.letGo()
	j.removeSteps()
	for _, t := range j.trees {
		t.close(j.c.Log)
	}
	if j.context != nil {
		if err := j.context.Close(); err != nil {
			j.c.Log.Warn("remove the context of a build", "error", err)
		}
	}
	if j.hashes != nil {
		if err := j.hashes.Save(); err != nil {
			j.c.Log.Warn("remember what was read", "error", err)
		}
	}
}

// stepError is that of a step, with its place in the progress.
type stepError struct {
	step *step
	err  error
}

func (e *stepError) Error() string { return e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// failed shows where in the Dockerfile the error belongs to, and makes it the answer.
func (j *job) failed(err error) error {
	var at *stepError
	fault := view.BuildFault{Step: -1}
	ranges := location(err)
	if errors.As(err, &at) {
		fault.Step = at.step.id
		if ranges == nil {
			ranges = at.step.at
		}
	}
	gone := j.c.Context().Err() != nil
	if !gone && j.file != nil && (ranges != nil || fault.Step >= 0) {
		fault.File, fault.Source, fault.Ranges = j.file.name, j.file.text, lines(ranges)
		j.p.Fail(fault)
	}
	j.p.Close()
	if gone {
		return api.Errorf("build", j.r.Where, "stopped")
	}
	return j.explain(err, ranges)
}

// explain names the line. What an error of a part says it was about becomes a part of
// the message.
func (j *job) explain(err error, at []parser.Range) error {
	out := &api.Error{Op: "build", Path: j.fileName(), Msg: plain(err)}
	var known *api.Error
	if errors.As(err, &known) {
		out.Errno, out.Hint, out.Msg = known.Errno, known.Hint, known.Msg
		if out.Msg == "" && known.Errno != 0 {
			out.Msg = known.Errno.Error()
		}
		about := strings.TrimSpace(known.Op + " " + known.Path)
		if known.Op == "build" {
			about = known.Path
		}
		if about != "" && known.Path != j.fileName() {
			out.Msg = about + ": " + out.Msg
		}
	}
	if len(at) > 0 && at[0].Start.Line > 0 {
		out.Path = fmt.Sprintf("%s:%d", out.Path, at[0].Start.Line)
	}
	out.Msg = view.Safe(out.Msg)
	return out.WithCode(1)
}

func (j *job) fileName() string {
	if j.file != nil {
		return view.Safe(j.file.name)
	}
	return view.Safe(j.r.Where)
}
