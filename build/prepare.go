package build

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"golang.org/x/sync/errgroup"

	"sbx/api"
	"sbx/build/files"
	"sbx/build/source"
	"sbx/image"
	"sbx/view"
)

// prepare gets the images that stages begin with, and works out what is to be done.
// The ONBUILD instructions of an image may name further ones.
func (j *job) prepare() error {
	triggered := map[*stage]bool{}
	for again := true; again; {
		if err := j.fetchAll(); err != nil {
			return err
		}
		again = false
		for _, s := range j.g.stages {
			if !s.needed || triggered[s] {
				continue
			}
			triggered[s] = true
			if list := s.triggers(); len(list) > 0 {
				again = true
				if err := j.g.trigger(s, list); err != nil {
					return err
				}
			}
		}
	}
	for _, s := range j.g.stages {
		if s.foreign || !s.needed {
			continue
		}
		if err := j.g.planStage(s, j.r); err != nil {
			return err
		}
		s.fromID = j.newID()
		for _, step := range s.plan.steps {
			step.id = j.newID()
		}
	}
	j.p.Total(j.lastID)
	return nil
}

// triggers are the ONBUILD instructions of what a stage begins with.
func (s *stage) triggers() []string {
	switch {
	case s.foreign:
	case s.image != nil:
		return s.image.Config.OnBuild
	case s.base != nil:
		var list []string
		for _, c := range s.base.commands {
			if on, ok := c.Command.(*instructions.OnbuildCommand); ok {
				list = append(list, on.Expression)
			}
		}
		return list
	}
	return nil
}

// fetchAll gets the images of all stages that are needed, side by side.
func (j *job) fetchAll() error {
	group, ctx := errgroup.WithContext(j.ctx)
	for _, s := range j.g.stages {
		if !s.needed || s.image != nil || s.base != nil {
			continue
		}
		group.Go(func() error {
			if err := j.begin(ctx, s); err != nil {
				return parser.WithLocation(err, s.at)
			}
			return nil
		})
	}
	return group.Wait()
}

// begin gets what a stage begins with, unless that is another stage.
func (j *job) begin(ctx context.Context, s *stage) error {
	ref := s.ref
	if s.context != nil {
		name, isImage := strings.CutPrefix(s.context.Value, "docker-image://")
		target, isStage := strings.CutPrefix(s.context.Value, "target:")
		layout, isLayout := strings.CutPrefix(s.context.Value, "oci-layout://")
		switch {
		case s.context.Dir:
			return nil
		case isImage:
			ref = name
		case isLayout:
			ref = "oci:" + layout
		case isStage:
			base, err := j.g.find(target)
			if err != nil {
				return err
			}
			if base == s || !s.foreign && base.index >= s.index {
				return api.Errorf("build", "", "--build-context %s=target:%s: the stage must be an earlier one", s.context.Name, target)
			}
			s.base = base
			j.g.need(base)
			return nil
		default:
			return nil // fetched when it is read
		}
		s.ref = ref
	}
	switch ref {
	case scratch, "":
		return nil
	case api.HostImage:
		return api.Errorf("build", "", "%s is no image: the name stands for this machine's own file system", ref).
			WithHint("an image of that name is docker.io/library/%s; files of this machine come with --build-context NAME=DIR", ref)
	}
	return j.fetch(ctx, s, ref)
}

func (j *job) fetch(ctx context.Context, s *stage, ref string) error {
	platform := ""
	if s.asked || j.r.Platform != "" {
		platform = s.platform.String()
	}
	policy := j.r.Pull
	if policy == "" {
		policy = api.PullMissing
	}
	id := 0
	var once sync.Once
	img, err := j.c.Fetch(ctx, ref, platform, policy, j.r.Reach, func(change api.Progress) {
		once.Do(func() {
			id = j.newID()
			j.p.Step(id, "[internal] pull "+ref)
		})
		j.p.Transfer(id, change)
	})
	if id != 0 {
		j.p.Done(id, end(err))
	}
	if errors.Is(err, image.ErrUnknown) {
		return api.Errorf("build", "", "there is no image %s here", view.Safe(ref)).WithHint("leave out --pull=never, or sbx pull %s", view.Safe(ref))
	}
	if err != nil {
		return err
	}
	s.release = j.c.UseImage(img.ID)
	if !j.store.Has(img.ID) {
		return api.Errorf("build", "", "the image %s has just been removed", view.Safe(ref)).WithHint("try again")
	}
	s.image = &img
	s.own(&img, platform != "", j)
	return nil
}

// own makes the platform of an image that of the stage.
func (s *stage) own(img *image.Image, asked bool, j *job) {
	if img.OS == "" || img.Architecture == "" {
		return
	}
	own := platform{img.OS, img.Architecture, img.Variant}
	if asked && (own.os != s.platform.os || own.arch != s.platform.arch) && !s.foreign {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.file.lint.Run(&linter.RuleInvalidBaseImagePlatform, s.at, linter.RuleInvalidBaseImagePlatform.Format(s.ref, s.platform.String(), own.String()))
	}
	if !asked {
		s.platform = own
	}
}

// tree is a directory that files are copied from: a context, a download.
type tree struct {
	once   sync.Once
	root   *files.Root
	item   func(unpack bool) files.Item
	closer func() error
	link   string // of a copy, relative to storage/overlay/l
	err    error
}

func (t *tree) close(log *slog.Logger) {
	if t.closer == nil {
		return
	}
	if err := t.closer(); err != nil {
		log.Warn("remove what a build has fetched", "error", err)
	}
}

// shared gives the tree of a name, which get makes the first time.
func (j *job) shared(name string, get func(*tree)) (*tree, error) {
	j.mu.Lock()
	t := j.trees[name]
	if t == nil {
		t = &tree{}
		j.trees[name] = t
	}
	j.mu.Unlock()
	t.once.Do(func() { get(t) })
	return t, t.err
}

// contextOf is the directory of a --build-context.
func (j *job) contextOf(s *stage) (*files.Root, error) {
	t, err := j.shared("context "+s.context.Name, func(t *tree) {
		var c *source.Context
		o := j.sourceOptions(func(int64, int64) {})
		if s.context.Dir {
			c, t.err = source.OpenDir(j.named[strings.ToLower(s.context.Name)], "the context "+s.context.Name, o)
		} else {
			c, t.err = source.OpenURL(j.ctx, s.context.Value, o)
		}
		if t.err == nil {
			t.root, t.closer = c.Root(), c.Close
		}
	})
	if err != nil {
		return nil, err
	}
	return t.root, nil
}

// download is what an ADD gets from elsewhere.
func (j *job) download(s *step, src string) (*tree, error) {
	c := s.copy
	keep := ""
	if c.keepGitDir != nil && *c.keepGitDir {
		keep = "git"
	}
	return j.shared(list("download", src, c.checksum, keep), func(t *tree) {
		o := j.sourceOptions(func(done, total int64) { j.p.Note(s.id, transferring(done, total)) })
		var got *source.Tree
		if source.IsGit(src, false) {
			got, t.err = source.FetchGit(j.ctx, src, c.checksum, c.keepGitDir, o)
		} else {
			got, t.err = source.FetchHTTP(j.ctx, src, c.checksum, o)
		}
		if t.err == nil {
			t.item, t.closer = got.Item, got.Close
		}
	})
}
