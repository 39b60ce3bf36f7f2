package sandbox

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
	"sbx/image"
)

// committed is the configuration of an image that is made of a sandbox: that of its
// own image with what the user has said in run, as Docker has it.
func committed(c *api.Config, img *image.Config) image.Config {
	p := &c.Process
	conf := image.Config{
		User: p.User, WorkDir: p.WorkDir, Env: committedEnv(c, img), Entrypoint: p.Entrypoint, Cmd: p.Cmd,
		Labels: c.Labels, StopSignal: c.Lifecycle.StopSignal, Shell: img.Shell,
		Healthcheck: img.Healthcheck, Volumes: maps.Clone(img.Volumes),
	}
	if len(c.Health.Test) > 0 {
		conf.SetHealth(&c.Health)
	}
	for _, port := range c.Net.Expose {
		expose(&conf, port)
	}
	for _, port := range c.Net.Ports {
		expose(&conf, strconv.Itoa(int(port.Port))+"/"+port.Proto)
	}
	for _, m := range c.Mounts {
		if m.Type == api.MountVolume && m.Volume.Anonymous {
			if conf.Volumes == nil {
				conf.Volumes = map[string]struct{}{}
			}
			conf.Volumes[m.Target] = struct{}{}
		}
	}
	return conf
}

func expose(conf *image.Config, port string) {
	if conf.ExposedPorts == nil {
		conf.ExposedPorts = map[string]struct{}{}
	}
	conf.ExposedPorts[port] = struct{}{}
}

// committedEnv leaves out what every sandbox gets, see mergeProcess.
func committedEnv(c *api.Config, img *image.Config) []string {
	ours := map[string]string{"PATH": defaultPath, "HOSTNAME": c.Hostname}
	if c.Process.TTY {
		ours["TERM"] = "xterm"
	}
	return slices.DeleteFunc(slices.Clone(c.Process.Env), func(kv string) bool {
		name, value, _ := strings.Cut(kv, "=")
		usual, is := ours[name]
		return is && value == usual && !slices.ContainsFunc(img.Env, func(own string) bool { return strings.HasPrefix(own, name+"=") })
	})
}
