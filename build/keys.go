package build

import (
	"context"
	"fmt"
	"slices"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"sbx/build/files"
)

// sources are the stages that a step takes files from.
func (s *step) sources() []*stage {
	var from []*stage
	switch {
	case s.copy != nil && s.copy.from != nil:
		from = append(from, s.copy.from)
	case s.run != nil:
		for _, m := range s.run.mounts {
			if m.from != nil {
				from = append(from, m.from)
			}
		}
	}
	return from
}

// awaitSources waits for the stages that a step takes files from. With all it has those
// carried out that were left out.
func (j *job) awaitSources(ctx context.Context, s *step, all bool) error {
	for _, source := range s.sources() {
		if !all && source.absent() {
			continue // its key will do, perhaps
		}
		if err := j.await(ctx, source); err != nil {
			return err
		}
	}
	return nil
}

// sourceKey is a key that needs no file to be read: of a copy from a stage that has not
// changed. "" is none.
func sourceKey(above key, s *step) key {
	c := s.copy
	if c == nil || c.from == nil || c.from.context != nil && c.from.image == nil {
		return ""
	}
	return newKey("from", string(above), string(c.from.key()), list(c.sources...), c.words())
}

// foreignContext says that a stage is a context that is named only by a --from: its
// files are not those of layers.
func (s *stage) foreignContext() bool {
	return s.context != nil && s.image == nil && s.base == nil && s.foreign
}

// words is what a copy does with what it copies.
func (c *copyStep) words() string {
	f := &c.flags
	unpack := ""
	if c.unpack != nil {
		unpack = fmt.Sprint(*c.unpack)
	}
	return list(f.Dest, f.WorkDir, f.Chown, f.Chmod, fmt.Sprint(f.Parents, c.link, c.add), unpack, list(f.Exclude...))
}

// contentKey is the key of the files after a step, by the content of what goes into it.
func (j *job) contentKey(ctx context.Context, above key, step *step) (key, error) {
	switch {
	case step.run != nil:
		return j.runKey(ctx, string(above), step)
	case step.copy != nil:
		if step.copy.content == "" {
			if err := j.readContent(ctx, step); err != nil {
				return "", err
			}
		}
		return newKey("copy", string(above), step.copy.content, step.copy.words()), nil
	}
	return newKey("workdir", string(above), step.mkdir.path, step.mkdir.user), nil
}

// readContent reads what a step copies, for its key: once in a build, though the key may
// be asked for again.
func (j *job) readContent(ctx context.Context, step *step) error {
	copy, done, err := j.copyOf(step)
	if err != nil {
		return err
	}
	defer done()
	step.copy.content, err = copy.Digest(ctx)
	return err
}

// runKey depends on all that a program can see.
func (j *job) runKey(ctx context.Context, above string, step *step) (key, error) {
	r := step.run
	script := ""
	if r.script != nil {
		script = r.script.Name + "\n" + r.script.Data
	}
	hosts := slices.Clone(j.r.AddHosts)
	slices.Sort(hosts)
	words := []string{
		"run", above, list(r.args...), list(r.env...), r.workDir, r.user, r.network, fmt.Sprint(r.insecure), script, list(hosts...), r.platform.String(),
	}
	for i := range r.mounts {
		m := &r.mounts[i]
		content := ""
		if m.kind == instructions.MountTypeBind || m.kind == instructions.MountTypeCache && m.from != nil {
			var err error
			if content, err = j.mountKey(ctx, m); err != nil {
				return "", err
			}
		}
		words = append(words, list(string(m.kind), content, m.source, m.target, fmt.Sprint(m.readOnly, m.size, m.mode, m.uid, m.gid), m.id, string(m.sharing), m.env))
	}
	return newKey(words...), nil
}

// mountKey stands for the content of a bind.
func (j *job) mountKey(ctx context.Context, m *mount) (string, error) {
	if m.from != nil && !m.from.foreignContext() {
		return string(m.from.key()), nil
	}
	if m.content != "" {
		return m.content, nil
	}
	root, done, err := j.rootOf(m.from)
	if err != nil {
		return "", err
	}
	defer done()
	c := files.Copy{Items: []files.Item{{From: root, Path: m.source, Literal: true}}, Dest: "/", WorkDir: "/"}
	m.content, err = c.Digest(ctx)
	return m.content, err
}
