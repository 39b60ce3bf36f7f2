package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
	"sbx/view"
)

// top lists the processes of a sandbox by the host's ps, as Docker does. Nothing
// of the sandbox is executed (CVE-2022-1227).
func (c *conversation) top(r *api.Top) error {
	c.s.mu.Lock()
	b, err := c.s.find(r.Name)
	pid := 0
	if err == nil && b.running() {
		pid = b.status.PID
	}
	c.s.mu.Unlock()
	if err != nil {
		return err
	}
	if pid == 0 {
		return api.Errorf("top", r.Name, "the sandbox is not running").WithCode(1)
	}
	pids, err := pidsLike(pid)
	if err != nil {
		return err
	}
	args := r.Args
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	titles, rows, err := listProcesses(c, args, pids)
	if err != nil {
		return err
	}
	return c.done(view.Top(titles, rows))
}

// pidsLike are the processes in the pid namespace of pid, and with the host's
// those that descend from it.
func pidsLike(pid int) ([]int, error) {
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return nil, err
	}
	ours, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process may end, or be another user's, at any time.
		if got, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err == nil && got == want && (want != ours || descends(n, pid)) {
			pids = append(pids, n)
		}
	}
	return pids, nil
}

func descends(pid, from int) bool {
	for range 100 {
		if pid == from {
			return true
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			return false
		}
		if pid, err = strconv.Atoi(string(fields[1])); err != nil || pid <= 1 {
			return false
		}
	}
	return false
}

func listProcesses(c *conversation, args []string, pids []int) (titles []string, rows [][]string, err error) {
	out, err := exec.CommandContext(c.ctx, "ps", args...).Output()
	if err != nil {
		return nil, nil, api.Wrap("run ps", strings.Join(args, " "), err).WithHint("the options are those of the host's ps, and it must be installed (procps)")
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	titles = strings.Fields(lines[0])
	column := slices.Index(titles, "PID")
	if column < 0 {
		return nil, nil, api.Errorf("top", strings.Join(args, " "), "the columns of ps must include PID")
	}
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		if len(cells) < len(titles) {
			continue
		}
		if n, err := strconv.Atoi(cells[column]); err != nil || !slices.Contains(pids, n) {
			continue
		}
		last := len(titles) - 1
		rows = append(rows, append(cells[:last:last], strings.Join(cells[last:], " ")))
	}
	return titles, rows, nil
}
