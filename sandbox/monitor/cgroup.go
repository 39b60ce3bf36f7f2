package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// openGroup opens the cgroup that the sandbox's processes are to be born in
// (CLONE_INTO_CGROUP): moving a process later would wait for a grace period of
// the kernel. The monitor itself stays outside, so that what the sandbox uses up
// is not the monitor's.
func (m *monitor) openGroup() error {
	if m.prepare.Cgroup == "" {
		return nil
	}
	f, err := os.OpenFile(m.prepare.Cgroup, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return api.Wrap("open the cgroup", m.prepare.Cgroup, errors.Unwrap(err)).
			WithHint("something else has removed it: see sbx info")
	}
	m.group = f
	return nil
}

func (m *monitor) closeGroup() {
	if m.group != nil {
		m.group.Close()
		m.group = nil
	}
}

// groupFD is a number for syscall.SysProcAttr, which asks for one in any case.
func (m *monitor) groupFD() int {
	if m.group == nil {
		return -1
	}
	return int(m.group.Fd())
}

// outOfMemory says whether the kernel has killed a process of the sandbox for want
// of memory. A cgroup without the memory controller does not know.
func (m *monitor) outOfMemory() bool {
	if m.group == nil {
		return false
	}
	events, err := os.ReadFile(filepath.Join(m.prepare.Cgroup, "memory.events"))
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			fmt.Fprintln(os.Stderr, "sbx-monitor:", err)
		}
		return false
	}
	for line := range bytes.Lines(events) {
		if count, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			return !bytes.Equal(bytes.TrimSpace(count), []byte("0"))
		}
	}
	return false
}
