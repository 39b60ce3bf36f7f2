package instance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Process is a process as /proc shows it.
type Process struct {
	PID, Parent int
	Start       uint64 // field 22 of /proc/PID/stat: with PID it names a process for good
	State       byte   // 'Z' has ended, and its parent has not asked yet
	Args        []string
}

// Role is the base name of argv[0]: "sbxd", "sbx-monitor", "sbx-keeper", "sleep".
func (p Process) Role() string {
	if len(p.Args) == 0 {
		return ""
	}
	return filepath.Base(p.Args[0])
}

func (p Process) String() string {
	return fmt.Sprintf("pid %d parent %d %c %s", p.PID, p.Parent, p.State, strings.Join(p.Args, " "))
}

// Processes are all processes of the instance but its command lines' callers: the
// ones that carry its SBX_RUN in the environment or have one of its directories
// mounted, and all their descendants.
func (i *Instance) Processes() []Process {
	all := processes()
	mine := map[int]bool{}
	for pid := range all {
		mine[pid] = i.owns(pid)
	}
	var found []Process
	for pid, p := range all {
		for q := p; ; q = all[q.Parent] {
			if q.PID == 0 || q.PID == os.Getpid() {
				break
			}
			if mine[q.PID] {
				mine[pid] = true
				break
			}
		}
		if mine[pid] && pid != os.Getpid() {
			found = append(found, p)
		}
	}
	return found
}

// ByRole are the processes of the instance with that role.
func (i *Instance) ByRole(role string) []Process {
	var found []Process
	for _, p := range i.Processes() {
		if p.Role() == role {
			found = append(found, p)
		}
	}
	return found
}

// MarkEnv, with Root, is in the environment of an instance that finds its runtime
// directory itself, so that SBX_RUN does not tell whose a process is.
const MarkEnv = "SBX_TEST_INSTANCE"

func (i *Instance) owns(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	// A process of somebody else, or one that has just ended, reads as empty.
	env, _ := os.ReadFile(dir + "/environ")
	for _, v := range bytes.Split(env, []byte{0}) {
		if string(v) == "SBX_RUN="+i.Run || string(v) == MarkEnv+"="+i.Root {
			return true
		}
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	theirs, err := os.Readlink(dir + "/ns/mnt")
	if err != nil || ours == theirs {
		return false
	}
	mounts, _ := os.ReadFile(dir + "/mountinfo")
	return bytes.Contains(mounts, []byte(i.Root+"/"))
}

// processes are all processes that /proc shows, by pid.
func processes() map[int]Process {
	all := map[int]Process{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return all
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := Lookup(pid); err == nil {
			all[pid] = p
		}
	}
	return all
}

// Lookup reads /proc/PID.
func Lookup(pid int) (Process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Process{}, err
	}
	// The name, in parentheses, may hold anything, parentheses too. proc_pid_stat(5).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return Process{}, fmt.Errorf("%s/stat: %q", dir, stat)
	}
	p := Process{PID: pid, State: fields[0][0]}
	if p.Parent, err = strconv.Atoi(fields[1]); err != nil {
		return Process{}, err
	}
	if p.Start, err = strconv.ParseUint(fields[19], 10, 64); err != nil {
		return Process{}, err
	}
	args, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return Process{}, err
	}
	if s := strings.TrimSuffix(string(args), "\x00"); s != "" {
		p.Args = strings.Split(s, "\x00")
	}
	return p, nil
}

// top are the processes whose parent is not among them.
func top(all []Process) []Process {
	in := map[int]bool{}
	for _, p := range all {
		in[p.PID] = true
	}
	var found []Process
	for _, p := range all {
		if !in[p.Parent] {
			found = append(found, p)
		}
	}
	return found
}

// PSS is the proportional set size of all processes of the instance, in bytes.
func (i *Instance) PSS() (int64, error) {
	var sum int64
	for _, p := range i.Processes() {
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/smaps_rollup")
		if err != nil {
			// ESRCH: it has ended, and has no memory, but nobody has waited for it yet.
			if _, gone := Lookup(p.PID); gone != nil || errors.Is(err, syscall.ESRCH) {
				continue
			}
			return 0, err
		}
		for line := range strings.Lines(string(raw)) {
			if kb, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
				if err != nil {
					return 0, fmt.Errorf("smaps_rollup: %q", line)
				}
				sum += n << 10
			}
		}
	}
	return sum, nil
}
