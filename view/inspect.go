package view

import (
	"path/filepath"
	"strings"
	"time"

	"sbx/api"
)

// Object is something that docker inspect shows.
type Object struct{ value any }

// Inspected is a sandbox for Inspect. size adds SizeRw, for which the upper
// directory is read.
func Inspected(box api.Sandbox, size bool) (Object, error) {
	c := newContainer(box)
	if size {
		n, err := upperSize(&box)
		if err != nil {
			return Object{}, err
		}
		c.SizeRw = &n
	}
	return Object{c}, nil
}

// InspectedImage is an image for Inspect.
func InspectedImage(f ImageFacts) Object { return Object{newImageObject(f)} }

// Inspect is docker inspect: a JSON array, one object for each thing in the order
// given. The format "json" prints it on one line; any other format is a Go
// template that is executed once per object, with Docker's field names.
//
// The error is an *api.Error and names the part of the template at fault.
func Inspect(objects []Object, format string) (string, error) {
	list := make([]any, len(objects))
	for i, o := range objects {
		list[i] = o.value
	}
	switch format {
	case "", "json":
		indent := ""
		if format == "" {
			indent = "    "
		}
		text, err := encode(list, indent)
		return text + "\n", err
	}
	t, err := compile(format)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, object := range list {
		text, err := render(t, format, object)
		if err != nil {
			return "", err
		}
		b.WriteString(text + "\n")
	}
	return b.String(), nil
}

func newContainer(box api.Sandbox) container {
	cfg, st := box.Config, box.Status
	args := cfg.Process.Args()
	c := container{
		ID:              cfg.ID,
		Created:         stamp(cfg.Created),
		Args:            []string{},
		State:           newState(st),
		RestartCount:    box.RestartCount,
		Name:            "/" + cfg.Name,
		Driver:          "overlay",
		Platform:        "linux",
		HostConfig:      newHostConfig(cfg.Spec),
		GraphDriver:     graphDriver{Name: "overlay"},
		Mounts:          mountPoints(&box),
		Config:          newConfig(cfg, st),
		NetworkSettings: newNetworkSettings(&box),
	}
	c.State.Health = box.Health
	if len(args) > 0 {
		c.Path, c.Args = args[0], args[1:]
	}
	if cfg.ImageID != "" {
		c.Image = "sha256:" + cfg.ImageID
		c.GraphDriver.Data = map[string]string{
			"UpperDir": filepath.Join(box.Dir, "upper"),
			"WorkDir":  filepath.Join(box.Dir, "work"),
		}
	}
	if !st.Direct {
		c.LogPath = filepath.Join(box.Dir, "log")
	}
	return c
}

func newState(s api.Status) state {
	running := s.Alive()
	out := state{
		Status:     s.State,
		Running:    running,
		Paused:     s.State == api.Paused,
		Restarting: s.State == api.Restarting,
		OOMKilled:  s.OOMKilled,
		ExitCode:   s.ExitCode,
		Unknown:    s.Unknown,
		Error:      s.Error,
		StartedAt:  stamp(s.StartedAt),
		FinishedAt: stamp(s.FinishedAt),
	}
	if s.State == api.Restarting {
		out.Running = true // as in Docker: it is about to, and cannot be removed
	}
	if running {
		out.Pid = s.PID // of a sandbox that has ended it may be another's by now
	}
	return out
}

// stamp is a time as Docker's API has it: UTC, nanoseconds.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func newConfig(cfg api.Config, st api.Status) config {
	p := cfg.Process
	out := config{
		Hostname: hostname(cfg), Domainname: cfg.Domain,
		User: p.User,
		// Whether somebody was attached is only kept where the program
		// holds the caller's own files.
		AttachStdin:  st.Direct && p.Stdin,
		AttachStdout: st.Direct,
		AttachStderr: st.Direct,
		ExposedPorts: exposedPorts(&cfg.Net),
		Tty:          p.TTY,
		OpenStdin:    p.Stdin,
		StdinOnce:    st.Direct && p.Stdin,
		Env:          p.Env,
		Cmd:          p.Cmd,
		Image:        cfg.Image,
		WorkingDir:   p.WorkDir,
		Entrypoint:   p.Entrypoint,
		Labels:       cfg.Labels,
		Volumes:      anonymousAt(cfg.Mounts),
		StopSignal:   cfg.Lifecycle.StopSignal,
		StopTimeout:  cfg.Lifecycle.StopTimeout,
		Healthcheck:  newHealthcheck(&cfg.Health),
	}
	if out.Env == nil {
		out.Env = []string{}
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	return out
}

// newHealthcheck is nil for a sandbox about whose health nothing was said.
func newHealthcheck(h *api.Health) *healthcheck {
	if len(h.Test) == 0 {
		return nil
	}
	return &healthcheck{
		Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval,
		Retries: h.Retries,
	}
}

// hostname is the first digits of the id where none was given, and nothing where
// the sandbox shares the host's.
func hostname(cfg api.Config) string {
	if cfg.Hostname == "" && cfg.Isolation.UTS == "" {
		return shortID(cfg.ID)
	}
	return cfg.Hostname
}
