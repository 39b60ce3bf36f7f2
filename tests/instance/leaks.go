package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settled is how long what goes on behind the answer of a command may take.
var settled = Patience / 3

// slots and keptSlots are how many monitors, with a first process each, a supervisor keeps
// ready for the next sandboxes, and for the next with --userns keep-id once there has been
// one.
const (
	slots     = 2
	keptSlots = 1
)

// roles are the processes that an instance without sandboxes may have.
var roles = []string{"sbxd", "sbx-keeper", "sbx-monitor", "sbx-pid1", "sbx-owners", "fuse-overlayfs", "pasta", "pasta.avx2", "slirp4netns", "exe"}

// Leaks removes all sandboxes, stops the supervisor, and says what is left that
// should not be. Afterwards nothing of the instance runs.
func (i *Instance) Leaks() []string {
	var leaks []string
	note := func(format string, args ...any) { leaks = append(leaks, fmt.Sprintf(format, args...)) }
	defer i.Kill()

	if err := i.Clear(); err != nil {
		note("remove all: %v", err)
	}
	if left := i.WaitGone(settled, func(p Process) bool { return !slices.Contains(roles, p.Role()) }); len(left) > 0 {
		note("programs of sandboxes that were removed:\n%s", list(left))
	}
	if n, kept := i.waitSlots(settled); n > slots || kept > keptSlots {
		note("%d monitors without a sandbox, %d are kept ready; %d for keep-id, %d are:\n%s", n, slots, kept, keptSlots, list(i.Processes()))
	}
	leaks = append(leaks, i.network(settled)...)
	if err := i.Stop(settled); err != nil {
		note("%v", err)
	}
	leaks = append(leaks, i.files()...)
	leaks = append(leaks, i.mounts()...)
	return leaks
}

// waitSlots waits until no more monitors are left than slots, and counts them, those for
// keep-id apart.
func (i *Instance) waitSlots(wait time.Duration) (n, kept int) {
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		kept = 0
		for _, p := range i.ByRole("sbx-pid1") {
			if keepsID(p.PID) {
				kept++
			}
		}
		n = len(i.ByRole("sbx-monitor")) - kept
		if n <= slots && kept <= keptSlots || time.Now().After(end) {
			return n, kept
		}
	}
}

// keepsID says whether the caller is somebody else than root in the user namespace of a
// process.
func keepsID(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		return false // it has ended
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == strconv.Itoa(os.Getuid()) {
			return f[0] != "0"
		}
	}
	return false
}

// files are the ones that may not outlive the sandboxes and the supervisor.
func (i *Instance) files() []string {
	var found []string
	unexpected := func(dir string, known ...string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return // never made: nothing can be in it
		}
		for _, e := range entries {
			if !slices.Contains(known, e.Name()) {
				found = append(found, "file left: "+filepath.Join(dir, e.Name()))
			}
		}
	}
	unexpected(filepath.Join(i.Data, "sandboxes"))
	// The sockets of processes that were killed are replaced by the next ones.
	unexpected(i.Run, "lock", "parent.lock", "sock", "holder.sock", "bin", "rootlesskit", "storage", "switch", "outlet.json", "cgroup.json", "data.sought", "data.settled")
	return found
}

// mounts are the instance's in the host's mount namespace: there may be none.
func (i *Instance) mounts() []string {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, i.Root) {
			found = append(found, "mount left: "+strings.TrimSpace(line))
		}
	}
	return found
}
