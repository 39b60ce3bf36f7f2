package view

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/go-units"
)

// InfoFacts is what docker info tells, and what is sbx's own.
type InfoFacts struct {
	Version         string // of the supervisor
	Images          int
	Sandboxes       int // all of them
	Running         int // but for the paused
	Paused          int
	Stopped         int         // exited or never started
	StorageRoot     string      // layers and images
	RunRoot         string      // sockets and locks
	Driver          string      // "overlay"
	DriverStatus    [][2]string // more of it: names and values
	Kernel          string      // uname -r
	OS              string      // PRETTY_NAME of os-release
	Arch            string      // as uname -m has it
	CPUs            int
	Memory          int64    // bytes
	UserNamespace   []string // ranges, one "inside outside length" each
	Network         string   // driver of the way out: "pasta"
	CgroupVersion   string   // "2"
	CgroupDriver    string   // where the sandboxes' cgroups come from: "systemd"
	Controllers     []string // that sandboxes can be limited with: "memory"
	SecurityOptions []string // as Docker: "name=seccomp,profile=builtin"
	Name            string   // of the host
	SupervisorPID   int
	WarmSlots       int
	Warnings        []string // what is missing, and how to get it
}

// info is InfoFacts under the names of Docker's API.
type info struct {
	Containers        int
	ContainersRunning int
	ContainersPaused  int
	ContainersStopped int
	Images            int
	Driver            string
	DriverStatus      [][2]string
	CgroupDriver      string
	CgroupVersion     string
	CgroupControllers []string
	MemoryLimit       bool
	SwapLimit         bool
	CpuCfsPeriod      bool
	CpuCfsQuota       bool
	CPUShares         bool
	CPUSet            bool
	PidsLimit         bool
	KernelVersion     string
	OperatingSystem   string
	OSType            string
	Architecture      string
	NCPU              int
	MemTotal          int64
	DockerRootDir     string
	Name              string
	ServerVersion     string
	SecurityOptions   []string
	RunRoot           string
	UserNamespace     []string
	NetworkDriver     string
	SupervisorPid     int
	WarmSlots         int
	Warnings          []string
}

// Info is docker info: text, JSON for the format "json", or a Go template with
// the names that Docker has: {{.ServerVersion}}, {{.Driver}}, {{.MemTotal}}.
func Info(facts InfoFacts, format string) (string, error) {
	has := func(controller string) bool { return slices.Contains(facts.Controllers, controller) }
	data := info{
		Containers:        facts.Sandboxes,
		ContainersRunning: facts.Running,
		ContainersPaused:  facts.Paused,
		ContainersStopped: facts.Stopped,
		Images:            facts.Images,
		Driver:            facts.Driver,
		DriverStatus:      facts.DriverStatus,
		CgroupDriver:      facts.CgroupDriver,
		CgroupVersion:     facts.CgroupVersion,
		CgroupControllers: facts.Controllers,
		MemoryLimit:       has("memory"),
		SwapLimit:         has("memory"),
		CpuCfsPeriod:      has("cpu"),
		CpuCfsQuota:       has("cpu"),
		CPUShares:         has("cpu"),
		CPUSet:            has("cpuset"),
		PidsLimit:         has("pids"),
		KernelVersion:     facts.Kernel,
		OperatingSystem:   facts.OS,
		OSType:            "linux",
		Architecture:      facts.Arch,
		NCPU:              facts.CPUs,
		MemTotal:          facts.Memory,
		DockerRootDir:     facts.StorageRoot,
		Name:              facts.Name,
		ServerVersion:     facts.Version,
		SecurityOptions:   facts.SecurityOptions,
		RunRoot:           facts.RunRoot,
		UserNamespace:     facts.UserNamespace,
		NetworkDriver:     facts.Network,
		SupervisorPid:     facts.SupervisorPID,
		WarmSlots:         facts.WarmSlots,
		Warnings:          facts.Warnings,
	}
	if format == "" {
		return data.text(), nil
	}
	return renderOne(data, format)
}

func (i info) text() string {
	var b strings.Builder
	line := func(indent int, name string, value any) {
		text := strings.TrimRight(fmt.Sprintf("%s: %v", name, value), " ")
		b.WriteString(strings.Repeat(" ", indent) + Safe(text) + "\n")
	}
	line(0, "Containers", i.Containers)
	line(1, "Running", i.ContainersRunning)
	line(1, "Paused", i.ContainersPaused)
	line(1, "Stopped", i.ContainersStopped)
	line(0, "Images", i.Images)
	line(0, "Server Version", i.ServerVersion)
	line(0, "Storage Driver", i.Driver)
	for _, status := range i.DriverStatus {
		line(1, status[0], status[1])
	}
	line(0, "Cgroup Driver", i.CgroupDriver)
	line(0, "Cgroup Version", i.CgroupVersion)
	line(0, "Cgroup Controllers", strings.Join(i.CgroupControllers, " "))
	line(0, "Network Driver", i.NetworkDriver)
	line(0, "Security Options", "")
	for _, option := range i.SecurityOptions {
		first, rest, _ := strings.Cut(option, ",")
		b.WriteString("  " + Safe(strings.TrimPrefix(first, "name=")) + "\n")
		if key, value, ok := strings.Cut(rest, "="); ok {
			line(3, title(key), value)
		}
	}
	line(0, "User Namespace", "")
	for _, ids := range i.UserNamespace {
		b.WriteString("  " + Safe(ids) + "\n")
	}
	line(0, "Kernel Version", i.KernelVersion)
	line(0, "Operating System", i.OperatingSystem)
	line(0, "OSType", i.OSType)
	line(0, "Architecture", i.Architecture)
	line(0, "CPUs", i.NCPU)
	line(0, "Total Memory", units.BytesSize(float64(i.MemTotal)))
	line(0, "Name", i.Name)
	line(0, "Storage Root", i.DockerRootDir)
	line(0, "Run Root", i.RunRoot)
	line(0, "Supervisor PID", i.SupervisorPid)
	line(0, "Warm Slots", i.WarmSlots)
	for _, warning := range i.Warnings {
		line(0, "WARNING", warning)
	}
	return b.String()
}
