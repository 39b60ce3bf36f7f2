package view

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
	Dns             []string
	DnsOptions      []string
	DnsSearch       []string
	ExtraHosts      []string
	IpcMode         string
	PidMode         string
	Privileged      bool
	ReadonlyRootfs  bool
	SecurityOpt     []string
	Tmpfs           map[string]string `json:",omitempty"`
	UTSMode         string
	Init            *bool `json:",omitempty"`
	Ulimits         []ulimit
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
	Source      string
	Destination string
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
	StopSignal   string `json:",omitempty"`
	StopTimeout  *int   `json:",omitempty"`
}
