// Package pid1 is everything of sbx that runs inside a sandbox: it builds the
// file system around itself, gives up what the program must not have, and
// becomes the program.
//
// It runs in two roles, each started from the sealed memory file: Main, the first
// process of a new sandbox, and Init, the reaping pid 1 of --init. A further
// program in a running sandbox (Further) is prepared here too, and executed by
// the monitor's fork. Between the program and the host's files stand only the
// mounts made here, so every path inside the root is resolved by openat2 within
// that root, and every mount is made on a descriptor.
package pid1

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Names of the roles, as argv[0].
const (
	RoleMain = "sbx-pid1"
	RoleInit = "sbx-init"
)

// Control is the descriptor of the socket to the monitor, in Main.
const Control = 3

// Self is the descriptor of the sealed memory file, which Main needs for --init.
const Self = 4

// Sysfs is the descriptor of a mount for /sys, if Namespaces.Sysfs says so.
const Sysfs = 5

// Packets on the control socket. The monitor may send spec before ready arrives.
//
//	pid 1           monitor
//	ready   ->                      namespaces and /proc, /dev, /sys are prepared
//	                                Lacks, where there is something
//	        <-      spec +files     Spec or Entry; files: standard input, output, error as Stdio says
//	pty +fd ->                      with a terminal: its master
//	EOF                             after spec: execve has worked
//	fault   ->                      instead of any of these; pid 1 exits
const (
	KindReady = "ready" // Lacks, or nothing
	KindSpec  = "spec"  // Order
	KindPty   = "pty"
	KindFault = "fault"
)

// Lacks is what a sandbox does not get, since a container around sbx forbids it.
type Lacks struct {
	Proc     bool `json:"proc,omitempty"`     // /proc shows the processes around it
	Hostname bool `json:"hostname,omitempty"` // it is that of the container
}

// Namespaces says, as CLONE_NEW* flags, what Main finds itself in.
type Namespaces struct {
	New    uint64 // made for this sandbox
	Joined uint64 // another sandbox's
	// Bare leaves out everything that protects /proc and /sys: --privileged.
	Bare bool
	// Devices shows the host's devices: --privileged.
	Devices bool
	// Kept says that the user is not 0, to whom nevertheless belongs what is made.
	Kept bool
	// Sysfs says that a file system for /sys comes along, since Main cannot make one
	// of a network namespace that is another sandbox's.
	Sysfs bool
}

// OwnStep are the namespaces that Main makes itself: the root of a cgroup
// namespace is the cgroup of who makes it, which in clone(2) is the parent's,
// even with CLONE_INTO_CGROUP.
const OwnStep = unix.CLONE_NEWCGROUP

// String is the form that goes into the argument vector.
func (n Namespaces) String() string {
	text := strconv.FormatUint(n.New, 16) + "," + strconv.FormatUint(n.Joined, 16)
	if n.Bare {
		text += ",bare"
	}
	if n.Devices {
		text += ",devices"
	}
	if n.Kept {
		text += ",kept"
	}
	if n.Sysfs {
		text += ",sysfs"
	}
	return text
}

func parseNamespaces(text string) (Namespaces, error) {
	var n Namespaces
	words := strings.Split(text, ",")
	if len(words) < 2 {
		return n, errors.New("namespaces: not two numbers: " + text)
	}
	var err1, err2 error
	n.New, err1 = strconv.ParseUint(words[0], 16, 64)
	n.Joined, err2 = strconv.ParseUint(words[1], 16, 64)
	n.Bare = slices.Contains(words[2:], "bare")
	n.Devices = slices.Contains(words[2:], "devices")
	n.Kept = slices.Contains(words[2:], "kept")
	n.Sysfs = slices.Contains(words[2:], "sysfs")
	return n, errors.Join(err1, err2)
}

// Spec is what Main builds.
type Spec struct {
	Hostname string      `json:"hostname,omitempty"` // with a uts namespace of its own
	Domain   string      `json:"domain,omitempty"`   // the same
	Root     Root        `json:"root"`
	Mounts   []api.Mount `json:"mounts,omitempty"`
	Program  Program     `json:"program"`
	ShmSize  int64       `json:"shm_size,omitempty"` // of /dev/shm, bytes; 0: the usual one
	Account  *Account    `json:"account,omitempty"`  // that the image is to know
	// Sysctls are of namespaces of its own, which the caller has seen to.
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// Root is the root file system.
type Root struct {
	// Overlay, when Host is empty. The paths are relative to Dir, which keeps
	// them short (mount(2) takes 4096 bytes) and free of characters that the
	// overlay options give a meaning.
	Dir      string   `json:"dir,omitempty"`
	Lower    []string `json:"lower,omitempty"` // top first
	Upper    string   `json:"upper,omitempty"`
	Work     string   `json:"work,omitempty"`
	Volatile bool     `json:"volatile,omitempty"` // nothing of it will be needed after a crash

	// Mounted says that the root comes along, mounted: the overlay is not the kernel's.
	Mounted bool `json:"mounted,omitempty"`

	// Shown says that what is below the upper directory comes along, mounted. Lower names
	// the LowerPoint.
	Shown bool `json:"shown,omitempty"`

	// Host is a directory that is shown read-only, with all mounts below it.
	Host string `json:"host,omitempty"`
	// Private are directories below Host that are replaced by empty ones.
	Private []string `json:"private,omitempty"`

	ReadOnly bool `json:"read_only,omitempty"`
}

// Program is what is executed, and as whom.
type Program struct {
	Args       []string     `json:"args"`
	Env        []string     `json:"env"`
	WorkDir    string       `json:"workdir,omitempty"`
	User       string       `json:"user,omitempty"`
	Groups     []string     `json:"groups,omitempty"` // see api.Process
	Rlimits    []api.Rlimit `json:"rlimits,omitempty"`
	Caps       uint64       `json:"caps"` // bounding set, one bit each
	NoNewPrivs bool         `json:"no_new_privs,omitempty"`
	Seccomp    []byte       `json:"seccomp,omitempty"` // struct sock_filter array; empty: none
	TTY        bool         `json:"tty,omitempty"`
	Init       bool         `json:"init,omitempty"`
	// OOMScoreAdj is how much sooner, or later, the program is killed than others
	// when the machine has no memory left, -1000 to 1000; nil: as the supervisor.
	OOMScoreAdj *int `json:"oom_score_adj,omitempty"`
}

// Order is what the monitor sends: a Spec, as it came, and which files come with
// it.
type Order struct {
	What  []byte // Spec, encoded
	Stdio Stdio
	Root  bool // a mount for the root comes too, last
}

// Stdio says which of standard input, output and error come with an order. The
// program finds /dev/null in place of the others.
type Stdio struct {
	In   bool     `json:"in,omitempty"`
	Out  bool     `json:"out,omitempty"`
	Err  bool     `json:"err,omitempty"`
	Size api.Size `json:"size,omitzero"` // of a terminal
}
