package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// settled is how long what goes on behind the answer of a command may take.
var settled = Patience / 3

// slots is how many monitors, with a first process each, a supervisor keeps ready
// for the next sandboxes.
const slots = 2

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
	if n := i.waitSlots(settled); n > slots {
		note("%d monitors without a sandbox, %d are kept ready:\n%s", n, slots, list(i.Processes()))
	}
	leaks = append(leaks, i.network(settled)...)
	if err := i.Stop(settled); err != nil {
		note("%v", err)
	}
	leaks = append(leaks, i.files()...)
	leaks = append(leaks, i.mounts()...)
	return leaks
}

// waitSlots waits until no more monitors are left than slots, and counts them.
func (i *Instance) waitSlots(wait time.Duration) int {
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		n := len(i.ByRole("sbx-monitor"))
		if n <= slots || time.Now().After(end) {
			return n
		}
	}
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
	unexpected(i.Run, "lock", "parent.lock", "sock", "holder.sock", "bin", "rootlesskit", "storage", "switch", "outlet.json", "cgroup.json")
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
