package view

import (
	"testing"

	"sbx/api"
)

// TestInspectLimits: what docker inspect shows of limits, and of a paused sandbox.
func TestInspectLimits(t *testing.T) {
	b := box("ab", "limited", 0, api.Status{State: api.Paused, PID: 7, StartedAt: now(), OOMKilled: true})
	b.Config.Limits = api.Limits{
		Memory: 1 << 30, MemoryReservation: 1 << 20, NanoCPUs: 15e8, CPUShares: 512, CPUQuota: 5, CPUPeriod: 6, CpusetCPUs: "0-1", CpusetMems: "0",
		PidsLimit: 100, BlkioWeight: 10, DeviceReadBps: []api.Throttle{{Path: "/dev/sda", Rate: 1}}, DeviceWriteIOps: []api.Throttle{{Path: "/dev/sdb", Rate: 2}},
		OOMScoreAdj: ptr(-5), ShmSize: 1 << 20, CgroupParent: "batch", Cgroupns: "host",
	}
	b.Config.Lifecycle.Restart = api.Restart{Name: api.RestartOnFailure, Max: 3}
	for format, want := range map[string]string{
		"{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.MemoryReservation}}":                   "1073741824 2147483648 1048576",
		"{{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpuPeriod}}": "1500000000 512 5 6",
		"{{.HostConfig.CpusetCpus}} {{.HostConfig.CpusetMems}} {{.HostConfig.PidsLimit}}":                       "0-1 0 100",
		"{{.HostConfig.BlkioWeight}} {{json .HostConfig.BlkioDeviceReadBps}}":                                   `10 [{"Path":"/dev/sda","Rate":1}]`,
		"{{json .HostConfig.BlkioDeviceWriteIOps}} {{json .HostConfig.BlkioDeviceReadIOps}}":                    `[{"Path":"/dev/sdb","Rate":2}] null`,
		"{{.HostConfig.OomScoreAdj}} {{.HostConfig.ShmSize}}":                                                   "-5 1048576",
		"{{.HostConfig.CgroupParent}} {{.HostConfig.CgroupnsMode}}":                                             "batch host",
		"{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}":                    "on-failure 3",
		"{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.OOMKilled}} {{.State.Pid}}":            "paused true true true 7",
	} {
		got, err := inspectBoxes([]api.Sandbox{b}, format)
		if got != want+"\n" || err != nil {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
	plain := box("cd", "plain", 0, api.Status{State: api.Created})
	for format, want := range map[string]string{
		"{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{json .HostConfig.PidsLimit}} {{.HostConfig.ShmSize}}": "0 0 null 67108864",
		"{{.HostConfig.CgroupnsMode}} {{.HostConfig.RestartPolicy.Name}} {{.State.Paused}}":                        "private no false",
	} {
		got, err := inspectBoxes([]api.Sandbox{plain}, format)
		if got != want+"\n" || err != nil {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
}

// TestPausedIsAlive: a paused sandbox is among those that run, and says so.
func TestPausedIsAlive(t *testing.T) {
	b := box("ab", "frozen", 0, api.Status{State: api.Paused, StartedAt: now()})
	for _, filters := range [][]string{nil, {"status=paused"}} {
		text, err := List([]api.Sandbox{b}, api.List{Format: "{{.Names}} {{.State}} {{.Status}}", Filters: filters}, now())
		if want := "frozen paused Up Less than a second (Paused)\n"; text != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", filters, text, err, want)
		}
	}
	if text, err := List([]api.Sandbox{b}, api.List{Quiet: true, Filters: []string{"status=running"}}, now()); text != "" || err != nil {
		t.Errorf("status=running: %q, %v", text, err)
	}
}
