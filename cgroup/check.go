package cgroup

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// users are the flags and commands that need a controller.
var users = map[string]string{
	"cpu":    "--cpus, --cpu-shares, --cpu-quota",
	"cpuset": "--cpuset-cpus, --cpuset-mems",
	"io":     "--blkio-weight, --device-read-bps and the like",
	"memory": "--memory, --memory-swap, --memory-reservation",
	"pids":   "--pids-limit",
}

// Check says what limits can be had in a home.
func (h Home) Check() []api.Finding {
	f := api.Finding{Name: "cgroup", Level: api.Green, What: h.Driver + ": " + strings.Join(h.Controllers, " ")}
	if !h.Exists() {
		f.Level, f.What, f.Remedy = api.Yellow, h.Why, h.Remedy
		f.Lost = "sandboxes cannot be limited (--memory, --cpus, --pids-limit) or paused, and their use is measured less exactly"
		return []api.Finding{f}
	}
	findings := []api.Finding{f}
	for _, controller := range Wanted {
		if lack, is := h.Missing[controller]; is {
			findings = append(findings, api.Finding{
				Name: "cgroup " + controller, Level: api.Yellow, What: lack.Why, Lost: users[controller], Remedy: lack.Remedy,
			})
		}
	}
	return findings
}

// Abandon removes what a process that has ended leaves of a home that nobody uses. The
// service manager removes its own.
func (h Home) Abandon() {
	if h.Driver == Writable {
		// EBUSY: somebody uses it after all.
		_ = unix.Rmdir(filepath.Join(h.Path, Leaf))
	}
}
