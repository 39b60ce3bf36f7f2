package api

import "time"

// Process is the program of a sandbox and what it starts with.
type Process struct {
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"` // KEY=value
	WorkDir    string   `json:"workdir,omitempty"`
	User       string   `json:"user,omitempty"` // user[:group], names or numbers, as the image's /etc/passwd knows them
	TTY        bool     `json:"tty,omitempty"`
	Stdin      bool     `json:"stdin,omitempty"` // -i: standard input is open
	Init       bool     `json:"init,omitempty"`  // a reaping, forwarding pid 1 of ours
	Rlimits    []Rlimit `json:"rlimits,omitempty"`
	// Groups are more groups than the image's /etc/group gives the user, names or numbers;
	// or KeepGroups alone.
	Groups []string `json:"groups,omitempty"`
}

// KeepGroups are the caller's supplementary groups, the host's, instead of the image's:
// they open what the caller may use as a member of one.
const KeepGroups = "keep-groups"

// Args is the whole argument vector.
func (p Process) Args() []string {
	return append(append([]string{}, p.Entrypoint...), p.Cmd...)
}

// Rlimit is one setrlimit(2) limit. Unlimited is ^uint64(0).
type Rlimit struct {
	Name string `json:"name"` // "nofile", as in --ulimit
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}

// Isolation says which kernel facilities separate the sandbox from the host.
// Namespace modes are "" (private), "host" or "container:NAME". Network is one of
// these, "none", "bridge" (also ""; on which networks is in Net), or "pasta" or
// "slirp4netns", a way out that is shared with nobody.
type Isolation struct {
	Network         string   `json:"network,omitempty"`
	PID             string   `json:"pid,omitempty"`
	IPC             string   `json:"ipc,omitempty"`
	UTS             string   `json:"uts,omitempty"`
	Userns          string   `json:"userns,omitempty"`   // "" or KeepID, see ParseKeepID
	CapAdd          []string `json:"cap_add,omitempty"`  // without CAP_, upper case; "ALL"
	CapDrop         []string `json:"cap_drop,omitempty"` // the same
	NoNewPrivileges bool     `json:"no_new_privileges,omitempty"`
	Seccomp         string   `json:"seccomp,omitempty"` // "" default profile, "unconfined", or a profile's JSON text
	Privileged      bool     `json:"privileged,omitempty"`
	ReadOnly        bool     `json:"read_only,omitempty"` // root file system
	// Sysctls are settings of the sandbox's own namespaces: "net.core.somaxconn".
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// Mount is something that the user wants to see at a place in the sandbox.
type Mount struct {
	Type string `json:"type"` // MountBind, MountVolume, MountTmpfs or MountImage
	// Source is the absolute host path of a bind, or the name of a volume or an image; empty
	// in a request for an anonymous volume.
	Source   string `json:"source,omitempty"`
	Target   string `json:"target"` // absolute path in the sandbox
	ReadOnly bool   `json:"read_only,omitempty"`
	// Dev and Ino identify the bind source as the caller saw it, so that a
	// path that means another file to the supervisor is refused.
	Dev uint64 `json:"dev,omitempty"`
	Ino uint64 `json:"ino,omitempty"`
	// Options are those of a tmpfs, "size=64m,mode=1777", or words such as OptNoExec.
	Options string `json:"options,omitempty"`
	Subpath string `json:"subpath,omitempty"`  // what is seen instead of the whole source
	ImageID string `json:"image_id,omitempty"` // of an image, once it is found
	// Layer is the directory, relative to the data directory, with "upper" and "work" of a
	// mount with OptOverlay. The supervisor makes it at each start.
	Layer  string     `json:"layer,omitempty"`
	Volume VolumeWish `json:"volume,omitzero"`
}

// Lifecycle is how a sandbox ends and what remains of it.
type Lifecycle struct {
	AutoRemove  bool              `json:"auto_remove,omitempty"`
	Restart     Restart           `json:"restart,omitzero"`
	StopSignal  string            `json:"stop_signal,omitempty"`  // name or number; empty: the image's, or SIGTERM
	StopTimeout *int              `json:"stop_timeout,omitempty"` // seconds; nil: 10; -1: for ever
	LogOpts     map[string]string `json:"log_opts,omitempty"`     // max-size, max-file
}

// Caller is the person at the command line, as the CLI sees the host.
type Caller struct {
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Name string `json:"name"`
	Home string `json:"home"` // $HOME
	Lang string `json:"lang,omitempty"`
	Term string `json:"term,omitempty"`
}

// Spec is what the user asked for with run or create. The supervisor fills in
// what the image says; the result is kept in config.json.
type Spec struct {
	Name      string            `json:"name,omitempty"`
	Hostname  string            `json:"hostname,omitempty"`
	Domain    string            `json:"domain,omitempty"` // of NIS, domainname(1)
	Image     string            `json:"image"`            // as typed; "host" is the host's own file system
	Pull      string            `json:"pull,omitempty"`   // always, missing (also ""), newer, never
	Labels    map[string]string `json:"labels,omitempty"`
	Process   Process           `json:"process"`
	Isolation Isolation         `json:"isolation"`
	Net       Net               `json:"net,omitzero"`
	Mounts    []Mount           `json:"mounts,omitempty"`
	// VolumesFrom are sandboxes whose binds and volumes this one has too: NAME[:ro|:rw].
	VolumesFrom []string  `json:"volumes_from,omitempty"`
	Limits      Limits    `json:"limits,omitzero"`
	Lifecycle   Lifecycle `json:"lifecycle"`
	Health      Health    `json:"health,omitzero"`
	Caller      Caller    `json:"caller"`
	// EntrypointSet says that --entrypoint was given: the image's entrypoint and
	// command are not used.
	EntrypointSet bool `json:"entrypoint_set,omitempty"`
}

// HostImage is the image name that stands for the host's own file system.
const HostImage = "host"

// Config is config.json: a Spec completed by the supervisor. Its name, networks,
// limits and restart policy may change later.
type Config struct {
	ID      string     `json:"id"` // 64 hex digits
	Created time.Time  `json:"created"`
	ImageID string     `json:"image_id,omitempty"` // hex, without "sha256:"; empty for host
	Layers  []string   `json:"layers,omitempty"`   // names of links in storage/overlay/l, top first
	Driver  string     `json:"driver,omitempty"`   // what mounts its root: "fuse-overlayfs"; empty: the kernel
	Step    *BuildStep `json:"step,omitempty"`     // it is one of a build, and shown nowhere
	// Architecture is that of its programs, if it is not the host's: "arm64".
	Architecture string `json:"architecture,omitempty"`
	Spec
}

// BuildStep says where the changes of a sandbox go that runs a step of a build. The names
// are relative to storage/overlay/l, as those of the layers.
type BuildStep struct {
	Upper string `json:"upper"`
	Work  string `json:"work"`
}

// States of a sandbox, in Docker's words.
const (
	Created = "created"
	Running = "running"
	Paused  = "paused" // it runs, but gets no processor
	Exited  = "exited"
	// Restarting is one that has ended and is about to be started again.
	Restarting = "restarting"
)

// Status is state.json. While a monitor lives it is the only writer.
type Status struct {
	State      string    `json:"state"`
	PID        int       `json:"pid,omitempty"`         // of the program, in the host's pid namespace
	PIDStart   uint64    `json:"pid_start,omitempty"`   // its start time, field 22 of /proc/PID/stat
	MonitorPID int       `json:"monitor_pid,omitempty"` //
	Protocol   int       `json:"protocol,omitempty"`    // that the monitor speaks, see Protocol
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	ExitCode   int       `json:"exit_code"`
	Unknown    bool      `json:"unknown,omitempty"`    // the monitor died: the exit status is not known
	OOMKilled  bool      `json:"oom_killed,omitempty"` // the kernel has killed a process of it for want of memory
	Cgroup     string    `json:"cgroup,omitempty"`     // its directory, while it runs
	Direct     bool      `json:"direct,omitempty"`     // output goes straight to the caller: no log
	Error      string    `json:"error,omitempty"`      // why it did not start
}

// Alive says whether there is a program, paused or not.
func (s *Status) Alive() bool { return s.State == Running || s.State == Paused }

// Sandbox is what inspect and ps are made from.
type Sandbox struct {
	Config Config `json:"config"`
	Status Status `json:"status"`
	Dir    string `json:"dir"` // sandboxes/<id> on the host
	// What it has of the network while it runs: the networks that it is on, the
	// first one with the default route, and its ports with the host's ports that
	// were chosen for them.
	Networks  []Joined `json:"networks,omitempty"`
	Published []Port   `json:"published,omitempty"`
	// RestartCount is how often its policy has started it again.
	RestartCount int `json:"restart_count,omitempty"`
	// Health is what its checks have found; nil: it has none.
	Health *HealthState `json:"health,omitempty"`
}

// ExecSpec is a program to start in a running sandbox.
type ExecSpec struct {
	Args       []string `json:"args"`
	Env        []string `json:"env,omitempty"`
	WorkDir    string   `json:"workdir,omitempty"`
	User       string   `json:"user,omitempty"`
	TTY        bool     `json:"tty,omitempty"`
	Stdin      bool     `json:"stdin,omitempty"`
	Detach     bool     `json:"detach,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
}
