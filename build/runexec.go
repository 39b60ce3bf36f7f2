package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/sandbox"
)

// hostname is that of a RUN, the same every time, as BuildKit has it.
const hostname = "buildkitsandbox"

// execRun is RUN: a sandbox of the ordinary kind.
func (j *job) execRun(ctx context.Context, s *stage, step *step) (*layer, error) {
	r := step.run
	if err := j.c.Runs(ctx, r.platform.os, r.platform.arch); err != nil {
		return nil, err
	}
	d, err := j.newStepDir()
	if err != nil {
		return nil, err
	}
	run := sandbox.Step{
		Root: sandbox.StepRoot{Lower: links(s.run.layers), Upper: d.name + "/u", Work: d.name + "/work"},
		Args: r.args, Env: withProxies(r.env, j.r.Args), WorkDir: r.workDir, User: r.user,
		Hostname: hostname, Network: r.network, AddHosts: j.r.AddHosts, Privileged: r.insecure, Limits: j.r.Limits, Rlimits: j.r.Rlimits,
	}
	if r.script != nil {
		if err := d.script(r.script.Name, r.script.Data); err != nil {
			return nil, err
		}
		run.Mounts = append(run.Mounts, api.Mount{Type: api.MountBind, Source: filepath.Join(d.path, "pipes"), Target: scripts, ReadOnly: true})
	}
	m := mounting{j: j, step: step, dir: d, run: &run, layers: s.run.layers}
	defer m.close()
	if err := m.all(ctx); err != nil {
		return nil, err
	}
	code, err := j.c.RunStep(ctx, &run, &logger{j, step.id})
	if err != nil {
		return nil, err
	}
	if err := m.tidy(); err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, &exitError{code, r.args, j.r.Limits.Memory}
	}
	return j.changes(d, s.run.layers)
}

// exitError is a program that has failed.
type exitError struct {
	code   int
	args   []string
	memory int64 // what it was allowed to take, bytes; 0 for no limit
}

func (e *exitError) Error() string {
	text := fmt.Sprintf("process %q did not complete successfully: exit code: %d", strings.Join(e.args, " "), e.code)
	if e.code == 128+int(unix.SIGKILL) && e.memory > 0 {
		text += fmt.Sprintf(": it was killed, as happens at the limit of memory, %d MiB", e.memory>>20)
	}
	return text
}

// logger shows what a program writes.
type logger struct {
	j  *job
	id int
}

func (l *logger) Write(b []byte) (int, error) {
	l.j.p.Log(l.id, b)
	return len(b), nil
}

// script writes a program that is in the Dockerfile.
func (d *stepDir) script(name, text string) error {
	dir := filepath.Join(d.path, "pipes")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return dirs.DiskError("mkdir", dir, err)
	}
	if filepath.Base(name) != name {
		return api.Errorf("build", "", "a heredoc of a RUN cannot be called %q", name)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		return dirs.DiskError("write", path, err)
	}
	return nil
}
