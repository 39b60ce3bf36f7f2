package view

import (
	"path/filepath"
	"strings"
	"time"

	"sbx/api"
)

// Inspect is docker inspect: a JSON array, one object per sandbox in the order
// given. The format "json" prints it on one line; any other format is a Go
// template that is executed once per sandbox, with Docker's field names.
//
// The error is an *api.Error and names the part of the template at fault.
func Inspect(boxes []api.Sandbox, format string) (string, error) {
	list := make([]container, len(boxes))
	for i, box := range boxes {
		list[i] = newContainer(box)
	}
	return inspect(list, format)
}

// InspectSize is docker inspect --size: Inspect with SizeRw, for which it reads
// the upper directory of every sandbox.
func InspectSize(boxes []api.Sandbox, format string) (string, error) {
	list := make([]container, len(boxes))
	for i, box := range boxes {
		size, err := upperSize(&box)
		if err != nil {
			return "", err
		}
		list[i] = newContainer(box)
		list[i].SizeRw = &size
	}
	return inspect(list, format)
}

func inspect(list []container, format string) (string, error) {
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
	for _, c := range list {
		text, err := render(t, format, c)
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
		Name:            "/" + cfg.Name,
		Driver:          "overlay",
		Platform:        "linux",
		HostConfig:      newHostConfig(cfg.Spec),
		GraphDriver:     graphDriver{Name: "overlay"},
		Mounts:          mountPoints(cfg.Mounts),
		Config:          newConfig(cfg, st),
		NetworkSettings: newNetworkSettings(cfg.Isolation),
	}
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
	running := s.State == api.Running
	out := state{
		Status:     s.State,
		Running:    running,
		ExitCode:   s.ExitCode,
		Unknown:    s.Unknown,
		Error:      s.Error,
		StartedAt:  stamp(s.StartedAt),
		FinishedAt: stamp(s.FinishedAt),
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
		Hostname: hostname(cfg),
		User:     p.User,
		// Whether somebody was attached is only kept where the program
		// holds the caller's own files.
		AttachStdin:  st.Direct && p.Stdin,
		AttachStdout: st.Direct,
		AttachStderr: st.Direct,
		Tty:          p.TTY,
		OpenStdin:    p.Stdin,
		StdinOnce:    st.Direct && p.Stdin,
		Env:          p.Env,
		Cmd:          p.Cmd,
		Image:        cfg.Image,
		WorkingDir:   p.WorkDir,
		Entrypoint:   p.Entrypoint,
		Labels:       cfg.Labels,
		StopSignal:   cfg.Lifecycle.StopSignal,
		StopTimeout:  cfg.Lifecycle.StopTimeout,
	}
	if out.Env == nil {
		out.Env = []string{}
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	return out
}

// hostname is the first digits of the id where none was given, and nothing where
// the sandbox shares the host's.
func hostname(cfg api.Config) string {
	if cfg.Hostname == "" && cfg.Isolation.UTS == "" {
		return shortID(cfg.ID)
	}
	return cfg.Hostname
}

// networkMode is "none" where nothing was said: there is no default network.
func networkMode(i api.Isolation) string {
	if i.Network == "" {
		return "none"
	}
	return i.Network
}

// newNetworkSettings has no addresses: neither none nor host has any of its own.
func newNetworkSettings(i api.Isolation) networkSettings {
	out := networkSettings{Ports: map[string][]portBinding{}, Networks: map[string]endpoint{}}
	if mode := networkMode(i); !strings.HasPrefix(mode, "container:") {
		out.Networks[mode] = endpoint{}
	}
	return out
}
