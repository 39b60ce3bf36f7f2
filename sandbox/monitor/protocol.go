// Package monitor is the parent of one sandbox. It starts pid 1, keeps the log
// and the exit status, serves attached command lines and starts further programs
// with exec. A monitor outlives the supervisor that started it: the next one
// finds it by its socket.
package monitor

import (
	"syscall"

	"sbx/api"
	"sbx/internal/wire"
	"sbx/sandbox/pid1"
)

// Role is the monitor's name as argv[0]; its argument is the sandbox's id.
const Role = "sbx-monitor"

// Descriptors that a monitor is started with.
const (
	Control = 3 // socket to the supervisor
	Self    = 4 // sealed memory file of the sbx binary
)

// Packets between supervisor and monitor. A supervisor that connects to
// monitor.sock is greeted with status.
//
//	supervisor      monitor
//	prepare +fds ->             start pid 1 in its namespaces
//	            <-  ready       it waits for its specification; its network namespace
//	                            pid1.Lacks
//	start +fds  ->              client connection, standard files
//	            <-  started     Status; pidfd of the program
//	            <-  exited      Status; the last packet, unless
//	            <-  idle        it can serve another sandbox: prepare, or the end
//	            <-  fault       Error: the program did not start; the last packet
//	attach, exec, signal ->
//	            <-  exec ended  ExecEnded
//	            <-  status      Status, to a supervisor that has connected later; pidfd
const (
	KindPrepare = "prepare"
	KindReady   = "ready"
	KindStart   = "start"
	KindAttach  = "attach"
	KindExec    = "exec"
	KindSignal  = "signal" // api.Signal
	KindStarted = "started"
	KindExited  = "exited"
	KindFault   = "fault"
	KindStatus  = "status"
	KindIdle    = "idle"

	KindExecEnded = "exec ended"
)

// Prepare says what pid 1 is started in.
type Prepare struct {
	ID         string                 `json:"id"`
	Dir        string                 `json:"dir"`    // sandboxes/<id>
	Socket     string                 `json:"socket"` // monitor.sock
	Points     string                 `json:"points"` // mount points, see pid1.Points
	Namespaces pid1.Namespaces        `json:"namespaces"`
	UIDMap     []syscall.SysProcIDMap `json:"uid_map,omitempty"`
	GIDMap     []syscall.SysProcIDMap `json:"gid_map,omitempty"`
	Setgroups  bool                   `json:"setgroups,omitempty"`
	Cgroup     string                 `json:"cgroup,omitempty"` // directory, made; empty: the sandbox has none of its own
	// KeepID says that the user is not 0 in the sandbox: an execve does not give
	// its capabilities back by itself.
	KeepID bool `json:"keep_id,omitempty"`
	// Stage mounts what comes from the host before pid 1 is started, in a mount
	// namespace that the sandbox has no rights over, so that the kernel locks
	// what is read-only or covered. It is needed for a program that may mount.
	Stage *pid1.Spec `json:"stage,omitempty"`
	// Join is the user and pid namespace of the process whose pidfd comes with
	// the packet.
	Join bool `json:"join,omitempty"`
	// JoinNet is the network namespace that comes with the packet, last.
	JoinNet bool `json:"join_net,omitempty"`
}

// Start is the program. Files: the client's connection if Client is set, then
// standard files as in Stdio, then a mount for the root if Root is set.
type Start struct {
	// Spec is a pid1.Spec, encoded. The monitor passes it on as it is: taking it apart
	// would cost more than everything else that it does for a start.
	Spec   []byte
	Client bool
	Stdio  api.Stdio
	TTY    bool              // the program has a terminal
	Stdin  bool              // the program has a standard input
	Once   bool              // that ends with the first client's
	Log    map[string]string // --log-opt
	Detach bool              // the client waits for started only
	Brief  bool              // nothing is kept of it: --rm
	Root   bool              // it is mounted already
}

// Attach adds a client. Files: its connection, standard files.
type Attach struct {
	Stdio api.Stdio
}

// Exec is a further program. Files: the client's connection, standard files.
type Exec struct {
	Program pid1.Program
	Stdio   api.Stdio
	Detach  bool
	ID      string // for exec ended; empty: nobody wants to know
	Check   bool   // it is killed, with its process group, when the client goes away
}

// ExecEnded is the end of a further program.
type ExecEnded struct {
	ID   string
	Code int
}

// Fields implements wire.Message.
func (e *ExecEnded) Fields(c *wire.Coder) {
	c.String(&e.ID)
	wire.Int(c, &e.Code)
}

// Fields implements wire.Message.
func (s *Start) Fields(c *wire.Coder) {
	c.Bytes(&s.Spec)
	c.Bool(&s.Client)
	s.Stdio.Fields(c)
	c.Bool(&s.TTY)
	c.Bool(&s.Stdin)
	c.Bool(&s.Once)
	c.Map(&s.Log)
	c.Bool(&s.Detach)
	c.Bool(&s.Brief)
	c.Bool(&s.Root)
}

// Fields implements wire.Message.
func (a *Attach) Fields(c *wire.Coder) { a.Stdio.Fields(c) }

// Fields implements wire.Message.
func (e *Exec) Fields(c *wire.Coder) {
	e.Program.Fields(c)
	e.Stdio.Fields(c)
	c.Bool(&e.Detach)
	c.String(&e.ID)
	c.Bool(&e.Check)
}
