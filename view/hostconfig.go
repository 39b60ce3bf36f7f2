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

// usualShm is the size of /dev/shm that a sandbox has if nothing is said.
const usualShm = 64 << 20

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
		RestartPolicy:   restartPolicy{Name: cmp.Or(s.Lifecycle.Restart.Name, api.RestartNo), MaximumRetryCount: s.Lifecycle.Restart.Max},
		AutoRemove:      s.Lifecycle.AutoRemove,
		CapAdd:          s.Isolation.CapAdd,
		CapDrop:         s.Isolation.CapDrop,
		GroupAdd:        s.Process.Groups,
		Sysctls:         s.Isolation.Sysctls,
		CgroupnsMode:    cmp.Or(s.Limits.Cgroupns, "private"),
		IpcMode:         cmp.Or(s.Isolation.IPC, "private"),
		PidMode:         s.Isolation.PID,
		Privileged:      s.Isolation.Privileged,
		ReadonlyRootfs:  s.Isolation.ReadOnly,
		SecurityOpt:     securityOpt(s.Isolation),
		VolumesFrom:     s.VolumesFrom,
		UTSMode:         s.Isolation.UTS,
		UsernsMode:      s.Isolation.Userns,
		ShmSize:         cmp.Or(s.Limits.ShmSize, usualShm),
		resources:       newResources(&s.Limits),
		Ulimits:         ulimits(s.Process.Rlimits),
	}
	if out.LogConfig.Config == nil {
		out.LogConfig.Config = map[string]string{}
	}
	if s.Limits.OOMScoreAdj != nil {
		out.OomScoreAdj = *s.Limits.OOMScoreAdj
	}
	if s.Process.Init {
		out.Init = &s.Process.Init
	}
	for _, m := range s.Mounts {
		switch m.Type {
		case mountBind, api.MountVolume:
			if m.IsDevice() {
				out.Devices = append(out.Devices, device{m.Source, m.Target, "rwm"})
			} else if !m.Volume.Anonymous {
				out.Binds = append(out.Binds, strings.TrimSuffix(m.Source+":"+m.Target+":"+mode(m), ":"))
			}
		case mountTmpfs:
			if out.Tmpfs == nil {
				out.Tmpfs = map[string]string{}
			}
			out.Tmpfs[m.Target] = tmpfsOptions(m)
		}
	}
	return out
}

// newResources says what Docker would: without a limit of swap it is that of
// memory once more.
func newResources(l *api.Limits) resources {
	out := resources{
		CpuShares: l.CPUShares, Memory: l.Memory, NanoCpus: l.NanoCPUs, CgroupParent: l.CgroupParent, BlkioWeight: l.BlkioWeight,
		BlkioDeviceReadBps: newThrottles(l.DeviceReadBps), BlkioDeviceWriteBps: newThrottles(l.DeviceWriteBps),
		BlkioDeviceReadIOps: newThrottles(l.DeviceReadIOps), BlkioDeviceWriteIOps: newThrottles(l.DeviceWriteIOps),
		CpuPeriod: l.CPUPeriod, CpuQuota: l.CPUQuota, CpusetCpus: l.CpusetCPUs, CpusetMems: l.CpusetMems,
		MemoryReservation: l.MemoryReservation, MemorySwap: l.MemorySwap,
	}
	if l.MemorySwap == 0 && l.Memory > 0 {
		out.MemorySwap = 2 * l.Memory
	}
	if l.PidsLimit != 0 {
		out.PidsLimit = &l.PidsLimit
	}
	return out
}

func newThrottles(list []api.Throttle) []throttle {
	var out []throttle
	for _, t := range list {
		out = append(out, throttle(t))
	}
	return out
}

// mode is the third part of a -v flag.
func mode(m api.Mount) string {
	var words []string
	if m.ReadOnly {
		words = append(words, "ro")
	}
	if m.Options != "" {
		words = append(words, m.Options)
	}
	if m.Volume.NoCopy {
		words = append(words, "nocopy")
	}
	return strings.Join(words, ",")
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
