package view

import (
	"cmp"
	"math"
	"strings"

	"sbx/api"
)

// Types of api.Mount.
const (
	mountBind  = "bind"
	mountTmpfs = "tmpfs"
)

func newHostConfig(s api.Spec) hostConfig {
	out := hostConfig{
		LogConfig:       logConfig{Type: "k8s-file", Config: s.Lifecycle.LogOpts},
		NetworkMode:     networkMode(&s),
		PortBindings:    portBindings(s.Net.Ports),
		PublishAllPorts: s.Net.PublishAll,
		Dns:             s.Net.DNS,
		DnsOptions:      s.Net.DNSOptions,
		DnsSearch:       s.Net.DNSSearch,
		ExtraHosts:      s.Net.AddHosts,
		RestartPolicy:   restartPolicy{Name: "no"},
		AutoRemove:      s.Lifecycle.AutoRemove,
		CapAdd:          s.Isolation.CapAdd,
		CapDrop:         s.Isolation.CapDrop,
		IpcMode:         cmp.Or(s.Isolation.IPC, "private"),
		PidMode:         s.Isolation.PID,
		Privileged:      s.Isolation.Privileged,
		ReadonlyRootfs:  s.Isolation.ReadOnly,
		SecurityOpt:     securityOpt(s.Isolation),
		UTSMode:         s.Isolation.UTS,
		Ulimits:         ulimits(s.Process.Rlimits),
	}
	if out.LogConfig.Config == nil {
		out.LogConfig.Config = map[string]string{}
	}
	if s.Process.Init {
		out.Init = &s.Process.Init
	}
	for _, m := range s.Mounts {
		switch m.Type {
		case mountBind:
			out.Binds = append(out.Binds, strings.TrimSuffix(m.Source+":"+m.Target+":"+mode(m), ":"))
		case mountTmpfs:
			if out.Tmpfs == nil {
				out.Tmpfs = map[string]string{}
			}
			out.Tmpfs[m.Target] = tmpfsOptions(m)
		}
	}
	return out
}

// mode is the third part of a -v flag.
func mode(m api.Mount) string {
	if m.ReadOnly {
		return "ro"
	}
	return ""
}

func tmpfsOptions(m api.Mount) string {
	switch {
	case !m.ReadOnly:
		return m.Options
	case m.Options == "":
		return "ro"
	}
	return "ro," + m.Options
}

// securityOpt says it as --security-opt does.
func securityOpt(i api.Isolation) []string {
	var out []string
	if i.NoNewPrivileges {
		out = append(out, "no-new-privileges")
	}
	if i.Seccomp != "" {
		out = append(out, "seccomp="+i.Seccomp)
	}
	return out
}

func ulimits(limits []api.Rlimit) []ulimit {
	out := make([]ulimit, len(limits))
	for i, l := range limits {
		out[i] = ulimit{Name: l.Name, Hard: signed(l.Hard), Soft: signed(l.Soft)}
	}
	return out
}

// signed turns RLIM_INFINITY into Docker's -1.
func signed(n uint64) int64 {
	if n > math.MaxInt64 {
		return -1
	}
	return int64(n)
}

// mountPoints are the binds. Like Docker's, a tmpfs is in HostConfig.Tmpfs.
func mountPoints(mounts []api.Mount) []mountPoint {
	out := []mountPoint{}
	for _, m := range mounts {
		if m.Type != mountBind {
			continue
		}
		out = append(out, mountPoint{
			Type:        mountBind,
			Source:      m.Source,
			Destination: m.Target,
			Mode:        mode(m),
			RW:          !m.ReadOnly,
			Propagation: "rprivate",
		})
	}
	return out
}
