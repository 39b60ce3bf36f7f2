package view

import (
	"time"

	"sbx/api"
)

// container is the object that docker inspect prints for a container, with the
// names and the order of Docker's API. Fields of facilities that sbx does not
// have are left out, so that a template which asks for them is told so.
type container struct {
	ID              string `json:"Id"`
	Created         string
	Path            string
	Args            []string
	State           state
	Image           string // "sha256:..."; empty for the host's file system
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string // with a leading slash, as Docker has it
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      hostConfig
	GraphDriver     graphDriver
	SizeRw          *int64 `json:",omitempty"` // bytes written, with --size
	Mounts          []mountPoint
	Config          config
	NetworkSettings networkSettings
}

// Id lets templates use the name that the JSON has. Docker takes both.
func (c container) Id() string { return c.ID }

// state is what a sandbox does now. Unknown is ours: the monitor died, and
// ExitCode means nothing.
type state struct {
	Status     string
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int
	ExitCode   int
	Unknown    bool `json:",omitempty"`
	Error      string
	StartedAt  string
	FinishedAt string
	Health     *api.HealthState `json:",omitempty"`
}

type hostConfig struct {
	Binds           []string
	LogConfig       logConfig
	NetworkMode     string
	PortBindings    map[string][]portBinding
	PublishAllPorts bool
	RestartPolicy   restartPolicy
	AutoRemove      bool
	CapAdd          []string
	CapDrop         []string
	GroupAdd        []string
	Sysctls         map[string]string `json:",omitempty"`
	CgroupnsMode    string
	Dns             []string
	DnsOptions      []string
	DnsSearch       []string
	ExtraHosts      []string
	IpcMode         string
	OomScoreAdj     int
	PidMode         string
	Privileged      bool
	ReadonlyRootfs  bool
	SecurityOpt     []string
	Tmpfs           map[string]string `json:",omitempty"`
	VolumesFrom     []string
	UTSMode         string
	UsernsMode      string
	ShmSize         int64
	resources
	Init    *bool `json:",omitempty"`
	Ulimits []ulimit
}

// resources are limits under the names of Docker's API; 0 or null is none.
type resources struct {
	CpuShares            int64
	Memory               int64
	NanoCpus             int64
	CgroupParent         string
	BlkioWeight          int64
	BlkioDeviceReadBps   []throttle
	BlkioDeviceWriteBps  []throttle
	BlkioDeviceReadIOps  []throttle
	BlkioDeviceWriteIOps []throttle
	CpuPeriod            int64
	CpuQuota             int64
	CpusetCpus           string
	CpusetMems           string
	MemoryReservation    int64
	MemorySwap           int64
	PidsLimit            *int64
	Devices              []device
}

// device is what --device gives. The permissions are those of the device itself.
type device struct {
	PathOnHost, PathInContainer, CgroupPermissions string
}

// throttle is a rate for one device.
type throttle struct {
	Path string
	Rate uint64
}

type logConfig struct {
	Type   string
	Config map[string]string
}

type restartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// ulimit has -1 for unlimited.
type ulimit struct {
	Name       string
	Hard, Soft int64
}

type graphDriver struct {
	Data map[string]string
	Name string
}

type mountPoint struct {
	Type        string
	Name        string `json:",omitempty"` // of a volume
	Source      string
	Destination string
	Driver      string `json:",omitempty"`
	Mode        string
	RW          bool
	Propagation string
}

type config struct {
	Hostname     string
	Domainname   string
	User         string
	AttachStdin  bool
	AttachStdout bool
	AttachStderr bool
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Env          []string
	Cmd          []string
	Image        string
	Volumes      map[string]struct{}
	WorkingDir   string
	Entrypoint   []string
	Labels       map[string]string
	StopSignal   string       `json:",omitempty"`
	StopTimeout  *int         `json:",omitempty"`
	Healthcheck  *healthcheck `json:",omitempty"`
}

// healthcheck has times in nanoseconds, as Docker's API.
type healthcheck struct {
	Test          []string
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}
