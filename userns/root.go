package userns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Root has everything to lose, and sandboxes of root's would get all of it with the
// first hole. So whoever starts sbx as root, in a container or a CI job as a rule, gets
// a supervisor that runs as an unprivileged user: the first id of a range that nobody
// has. Of root it keeps, until the id maps are written, the capabilities for that.

// Given are the ids of root's supervisor: the first is its own.
type Given struct{ UIDs, GIDs Range }

// GivenEnv has them, in the form of String, for processes up to the namespaces.
const GivenEnv = "SBX_ROOT_IDS"

// Above the ids that systemd gives to containers, and below those of foreign files:
// https://systemd.io/UIDS-GIDS.
const (
	firstUnused = 0x70000000
	lastUnused  = 0x7ffdffff
)

func (g Given) String() string {
	return fmt.Sprintf("%d:%d %d:%d", g.UIDs.Start, g.UIDs.Length, g.GIDs.Start, g.GIDs.Length)
}

func parseGiven(text string) (*Given, error) {
	var g Given
	n, err := fmt.Sscanf(text, "%d:%d %d:%d", &g.UIDs.Start, &g.UIDs.Length, &g.GIDs.Start, &g.GIDs.Length)
	if err != nil || n != 4 || g.UIDs.Start <= 0 || g.GIDs.Start <= 0 || g.UIDs.Length <= 0 || g.GIDs.Length <= 0 {
		return nil, fmt.Errorf("%s=%q: not two ranges", GivenEnv, text)
	}
	return &g, nil
}

// ForRoot chooses the ids: those that /etc/subuid and /etc/subgid give to root, or
// else some that nobody is given. Nil is a namespace that has no others than root's.
func ForRoot(h Host) *Given {
	choose := func(text string, extents []Extent) (Range, bool) {
		for _, r := range ParseRanges(text, "root", 0) {
			if r.Start > 0 && exists(r, extents) {
				return r, true
			}
		}
		start := firstUnused
		if taken := unused(h.Subuid, h.Subgid); taken > start {
			start = taken
		}
		if r := (Range{start, usualLength}); start+usualLength-1 <= lastUnused && exists(r, extents) {
			return r, true
		}
		return last(extents)
	}
	uids, ok1 := choose(h.Subuid, h.UIDs)
	gids, ok2 := choose(h.Subgid, h.GIDs)
	if !ok1 || !ok2 {
		return nil
	}
	return &Given{uids, gids}
}

// last is the end of the longest extent, without root's id.
func last(extents []Extent) (Range, bool) {
	var r Range
	for _, e := range extents {
		start, end := max(e.Inside, 1), e.Inside+e.Length
		if n := min(end-start, usualLength); n > r.Length {
			r = Range{end - n, n}
		}
	}
	return r, r.Length > 1
}

// RealRoot says whether root is the machine's, whatever user namespace this is. Only
// root of the machine owns the settings of the kernel.
func RealRoot() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/sys", &st) != nil || st.Uid == 0
}

// needed are the capabilities that write id maps.
const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID

// MayMap says whether root, who may be without in a container, has what it takes to
// become another user and to write id maps.
func MayMap() bool {
	var data [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	return err == nil && data[0].Effective&needed == needed
}

// capset are the arguments of capset(2), where no stack that grows can move them.
var capset = struct {
	header unix.CapUserHeader
	data   [2]unix.CapUserData
}{header: unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}}

// Become executes this program again, with the same arguments, as the first of the ids.
// It returns only if that fails, and then the process must end.
func (g Given) Become() error {
	if err := os.Setenv(GivenEnv, g.String()); err != nil {
		return err
	}
	runtime.LockOSThread() // credentials are a thread's; execve(2) ends all others
	uid, gid := uintptr(g.UIDs.Start), uintptr(g.GIDs.Start)
	capset.data[0] = unix.CapUserData{Effective: needed, Permitted: needed, Inheritable: needed}
	for _, call := range []struct {
		name          string
		nr            uintptr
		a, b, c, d, e uintptr
	}{
		{"prctl PR_SET_KEEPCAPS", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0, 0, 0},
		{"setgroups", unix.SYS_SETGROUPS, 0, 0, 0, 0, 0},
		{"setresgid", unix.SYS_SETRESGID, gid, gid, gid, 0, 0},
		{"setresuid", unix.SYS_SETRESUID, uid, uid, uid, 0, 0},
		{"capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&capset.header)), uintptr(unsafe.Pointer(&capset.data)), 0, 0, 0},
		{"prctl PR_CAP_AMBIENT_RAISE", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SETUID, 0, 0},
		{"prctl PR_CAP_AMBIENT_RAISE", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SETGID, 0, 0},
	} {
		if _, _, errno := unix.RawSyscall6(call.nr, call.a, call.b, call.c, call.d, call.e, 0); errno != 0 {
			return api.Wrap("become uid "+fmt.Sprint(uid), "", os.NewSyscallError(call.name, errno))
		}
	}
	return os.NewSyscallError("execve", unix.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// Settle gives up what Become has kept: the id maps are written, or not needed.
func Settle() error {
	if os.Getenv(GivenEnv) == "" {
		return nil
	}
	capset.data = [2]unix.CapUserData{}
	// With the permitted set the ambient one goes, capabilities(7).
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&capset.header)), uintptr(unsafe.Pointer(&capset.data)), 0)
	if errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return os.Unsetenv(GivenEnv)
}

// given reads what Become has left; nil: nobody was root.
func given() (*Given, error) {
	text := os.Getenv(GivenEnv)
	if text == "" {
		return nil, nil
	}
	return parseGiven(text)
}

// writeGiven writes a whole map, with the arguments of newuidmap(1). It takes the
// capabilities that Become keeps.
func writeGiven(args []string, file string) error {
	if len(args) < 4 || len(args)%3 != 1 || strings.ContainsRune(args[0], '/') {
		return api.Errorf("write "+file, "", "usage: PID INSIDE OUTSIDE LENGTH ...")
	}
	var text strings.Builder
	for i := 1; i < len(args); i += 3 {
		fmt.Fprintln(&text, args[i], args[i+1], args[i+2])
	}
	return os.WriteFile("/proc/"+args[0]+"/"+file, []byte(text.String()), 0)
}

// print is getsubids for them: with -g those of groups.
func (g Given) print(args []string) error {
	r := g.UIDs
	if len(args) > 0 && args[0] == "-g" {
		r = g.GIDs
	}
	_, err := fmt.Printf("0: root %d %d\n", r.Start+1, r.Length-1)
	return err
}

// errOnlyRoot is why root is mapped: in a namespace where it is nobody outside.
var errOnlyRoot = errors.New("the user namespace that this is has no ids but root's, or CAP_SETUID and CAP_SETGID are missing")
