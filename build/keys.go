package build

import (
	"context"
	"fmt"
	"slices"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"sbx/build/files"
)

// awaitSources waits for the stages that a step takes files from.
func (j *job) awaitSources(ctx context.Context, s *step) error {
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
	for _, source := range from {
		if err := j.await(ctx, source); err != nil {
			return err
		}
	}
	return nil
}

// sourceKey is a key that needs no file to be read: of a copy from a stage that has not
// changed. "" is none.
func (r *running) sourceKey(s *step) key {
	c := s.copy
	if c == nil || c.from == nil || c.from.context != nil && c.from.image == nil {
		return ""
	}
	return newKey("from", string(r.key), string(c.from.run.key), list(c.sources...), c.words())
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
func (j *job) contentKey(ctx context.Context, s *stage, step *step) (key, error) {
	above := string(s.run.key)
	switch {
	case step.run != nil:
		return j.runKey(ctx, above, step)
	case step.copy != nil:
		copy, done, err := j.copyOf(step)
		if err != nil {
			return "", err
		}
		defer done()
		content, err := copy.Digest(ctx)
		if err != nil {
			return "", err
		}
		step.copy.content = content
		return newKey("copy", above, content, step.copy.words()), nil
	}
	return newKey("workdir", above, step.mkdir.path, step.mkdir.user), nil
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
	root, done, err := j.rootOf(m.from)
	if err != nil {
		return "", err
	}
	defer done()
	if m.from != nil && root.Owners {
		return string(m.from.run.key), nil
	}
	c := files.Copy{Items: []files.Item{{From: root, Path: m.source, Literal: true}}, Dest: "/", WorkDir: "/"}
	return c.Digest(ctx)
}
