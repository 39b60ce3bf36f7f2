package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sbx/api"
	"sbx/build/files"
	"sbx/image"
	"sbx/view"
)

// beginExport shows that the stages are done, and that the last layers and the result
// are being made.
func (j *job) beginExport() {
	j.exportID = j.newID()
	switch j.r.Output.Type {
	case api.OutputLocal, api.OutputTar:
		j.p.Step(j.exportID, "exporting to client")
	default:
		j.p.Step(j.exportID, "exporting to image")
		j.p.Note(j.exportID, "exporting layers")
	}
	j.unusedArgs(j.exportID)
}

// finish makes the image, or whatever was asked for. The text is the answer.
func (j *job) finish() (string, error) {
	s, id := j.g.goal, j.exportID
	switch j.r.Output.Type {
	case api.OutputLocal, api.OutputTar:
		err := j.export(s)
		j.p.Done(id, end(err))
		return "", err
	}
	img, err := j.image(s)
	if err == nil {
		err = j.save(&img)
	}
	if err == nil {
		j.p.Note(id, "writing image sha256:"+img.ID)
		for _, tag := range j.r.Tags {
			j.p.Note(id, "naming to "+view.Safe(tag))
		}
	}
	j.p.Done(id, end(err))
	if err != nil {
		return "", err
	}
	for _, tag := range j.r.Tags {
		j.c.NoteImage("tag", img.ID, tag)
	}
	if j.about != nil {
		if _, err := j.about.WriteString(view.BuildMetadata("sha256:"+img.ID, img.Digest, j.r.Tags)); err != nil {
			return "", api.Wrap("write", "the metadata", err)
		}
	}
	return "sha256:" + img.ID + "\n", nil
}

// unusedArgs tells of build arguments that no ARG has asked for, in Docker's words.
func (j *job) unusedArgs(id int) {
	used := map[string]bool{"SOURCE_DATE_EPOCH": true}
	for _, name := range proxies {
		used[name] = true
	}
	for _, name := range j.g.global.Keys() {
		used[name] = true
	}
	for _, s := range j.g.stages {
		if s.plan == nil {
			continue
		}
		for _, a := range s.plan.args {
			used[a.Key] = true
		}
	}
	var unused []string
	for name := range j.r.Args {
		if !used[name] && !strings.HasPrefix(name, "BUILDKIT_") {
			unused = append(unused, name)
		}
	}
	if len(unused) > 0 {
		slices.Sort(unused)
		j.p.Note(id, fmt.Sprintf("[Warning] One or more build-args %v were not consumed", unused))
	}
}

// image makes the image of a stage that is complete.
func (j *job) image(s *stage) (image.Image, error) {
	r := &s.run
	layers := r.layers
	if j.r.Squash {
		var err error
		if layers, err = j.squash(s); err != nil {
			return image.Image{}, err
		}
	}
	top, err := j.keep(layers)
	if err != nil {
		return image.Image{}, err
	}
	p := s.parts(j)
	p.Top, p.Names, p.Docker = top, j.r.Tags, j.r.Format == "docker"
	if j.r.Squash {
		p.History = squashed(p.History, len(layers), s.baseLayers())
	}
	if p.Config.Labels == nil && len(j.r.Labels) > 0 {
		p.Config.Labels = map[string]string{}
	}
	for k, v := range j.r.Labels {
		p.Config.Labels[k] = v
	}
	if j.inline {
		if p.Cache, err = j.inlineCache(); err != nil {
			return image.Image{}, err
		}
	}
	return j.store.Assemble(j.ctx, p)
}

// parts are those of a stage's image, without the layers and the names.
func (s *stage) parts(j *job) image.Parts {
	p := image.Parts{Config: cloneConfig(s.plan.config), Author: s.plan.author, Created: s.run.created, Architecture: s.platform.arch, Variant: s.platform.variant, OS: s.platform.os}
	if img := s.firstImage(); img != nil && img.OS == p.OS {
		p.OSVersion = img.OSVersion
	}
	var last time.Time
	if img := s.firstImage(); img != nil {
		last = img.Created
	}
	known := 0
	for _, h := range s.plan.history {
		switch {
		case h.Comment != historyComment || !h.Created.IsZero():
			known++ // of the image below
		case h.step != nil:
			result := s.run.steps[h.step]
			last = result.created
			h.Created, h.Empty = result.created, !result.layer
		default:
			h.Created = last
		}
		p.History = append(p.History, h.History)
	}
	if j.r.Timestamp != nil {
		j.clamp(&p, known)
	}
	if p.Created.IsZero() {
		p.Created = j.now()
	}
	return p
}

// clamp makes the time of a reproducible build that of all it has made, and of what is
// younger.
func (j *job) clamp(p *image.Parts, below int) {
	at := j.now()
	p.Created = at
	for i := range p.History {
		if h := &p.History[i]; i >= below || h.Created.After(at) {
			h.Created = at
		}
	}
}

// firstImage is the image that a stage and all below it begin with; nil: none.
func (s *stage) firstImage() *image.Image {
	for s.base != nil {
		s = s.base
	}
	return s.image
}

// baseLayers is how many layers that image has.
func (s *stage) baseLayers() int {
	if img := s.firstImage(); img != nil {
		return len(img.LayerIDs)
	}
	return 0
}

// squashed is the history of an image all of whose own layers have become one.
func squashed(steps []image.History, layers, below int) []image.History {
	steps = slices.Clone(steps)
	seen, last := 0, -1
	for i := range steps {
		if steps[i].Empty {
			continue
		}
		if seen++; seen > below {
			steps[i].Empty = true
			last = i
		}
	}
	if layers > below && last >= 0 {
		steps[last].Empty = false
	}
	return steps
}

// save writes the image to the file that came for it.
func (j *job) save(img *image.Image) error {
	format := ""
	switch j.r.Output.Type {
	case "":
		return nil
	case api.OutputOCI:
		format = api.OCIArchive
	case api.OutputDocker:
		format = api.DockerArchive
	default:
		return api.Errorf("build", "", "there is no output of type %s", view.Safe(j.r.Output.Type)).WithHint("local, tar, oci or docker")
	}
	name := img.ID
	if len(j.r.Tags) > 0 {
		name = j.r.Tags[0]
	}
	return j.c.Save(j.ctx, j.output, name, format)
}

// export writes the files of a stage to the directory or the file that came for them.
func (j *job) export(s *stage) error {
	root, err := j.c.OpenLayers(links(s.run.layers))
	if err != nil {
		return err
	}
	defer root.Close()
	if j.r.Output.Type == api.OutputTar {
		out := bufio.NewWriterSize(j.output, 1<<20)
		if err := image.Pack(j.ctx, out, root, nil); err != nil {
			return err
		}
		return out.Flush()
	}
	// They become the user's, whoever they belong to in the image.
	c := files.Copy{
		Items: []files.Item{{From: &files.Root{Dir: root, Shown: "the result"}, Path: "/", Literal: true}},
		Dest:  "/", WorkDir: "/", Epoch: j.r.Timestamp, NoSetID: true,
	}
	return c.Write(j.ctx, files.Target{Root: j.output}, nil)
}

// enterable makes an image of what was there before the RUN that has failed, so that
// the user can have a look.
func (j *job) enterable(err error) error {
	var exit *exitError
	var at *stepError
	if !errors.As(err, &exit) || !errors.As(err, &at) || j.c.Context().Err() != nil {
		return err
	}
	var s *stage
	for _, candidate := range j.g.stages {
		if errors.Is(candidate.run.err, err) && candidate.plan != nil && slices.Contains(candidate.plan.steps, at.step) {
			s = candidate
		}
	}
	failed := api.Errorf("build", "", "%s", plain(exit))
	again := &stepError{at.step, failed}
	if s == nil || len(s.run.layers) == 0 {
		return again
	}
	top, kept := j.keep(s.run.layers)
	if kept == nil {
		p := s.parts(j)
		run := at.step.run
		p.Top, p.History, p.Author = top, nil, ""
		p.Config = image.Config{Env: run.env, WorkDir: run.workDir, User: run.user, Cmd: []string{"/bin/sh"}}
		var img image.Image
		if img, kept = j.store.Assemble(context.WithoutCancel(j.ctx), p); kept == nil {
			failed.WithHint("what was there before it: sbx run -it %s sh", img.ID[:12])
			return again
		}
	}
	j.c.Log.Warn("keep what was there before a step", "error", kept)
	return again
}
