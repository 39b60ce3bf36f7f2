package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"sbx/view"
)

// procUsage is what the processes of a sandbox use, as /proc has it. It stands in
// for a cgroup where none is to be had, and knows less: nothing of what a process
// has used that its parent did not wait for, and nothing of devices.
type procUsage struct {
	cpu    time.Duration
	memory uint64 // bytes: anonymous memory of all processes, that two of them share twice
	tasks  uint64
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on every
// machine that Go knows. proc_pid_stat(5).
const clockTick = time.Second / 100

func sumProcesses(pids []int) procUsage {
	var sum procUsage
	for _, pid := range pids {
		// A process may end at any time: it counts nothing then.
		one, err := readUsage(pid)
		if err != nil {
			continue
		}
		sum.cpu += one.cpu
		sum.memory += one.memory
		sum.tasks += one.tasks
	}
	return sum
}

func readUsage(pid int) (procUsage, error) {
	var u procUsage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The name, in parentheses, may hold anything; the third field follows it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const first = 3
	ticks := number(fields, 14-first) + number(fields, 15-first) // of its own, in user mode and in the kernel
	ticks += number(fields, 16-first) + number(fields, 17-first) // of children that it has waited for
	u.cpu = time.Duration(ticks) * clockTick
	u.tasks = number(fields, 20-first)
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return u, err
	}
	fields = bytes.Fields(statm)
	resident, shared := number(fields, 1), number(fields, 2) // pages
	u.memory = (resident - min(shared, resident)) * uint64(os.Getpagesize())
	return u, nil
}

// number is a field that the kernel has written; 0 where it has not.
func number(fields [][]byte, i int) uint64 {
	if i >= len(fields) {
		return 0
	}
	n, err := strconv.ParseUint(string(fields[i]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// namespaces are the pids of all processes that can be seen, by pid namespace.
func namespaces() (map[string][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	pids := map[string][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// As in sumProcesses; or it is another user's.
		if ns, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err == nil {
			pids[ns] = append(pids[ns], pid)
		}
	}
	return pids, nil
}

// pidNamespace identifies that of a process; empty when it has ended.
func pidNamespace(pid int) string {
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return ""
	}
	return ns
}

// traffic is what the interfaces of a process's network namespace have received
// and sent, but for the loopback. proc_net(5), dev.
func traffic(pid int) (*view.Traffic, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return nil, err
	}
	sum := &view.Traffic{}
	for line := range strings.Lines(string(text)) {
		name, counters, ok := strings.Cut(line, ":")
		fields := strings.Fields(counters)
		if !ok || len(fields) < 9 || strings.TrimSpace(name) == "lo" {
			continue
		}
		in, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			continue // a title
		}
		out, err := strconv.ParseUint(fields[8], 10, 64)
		if err != nil {
			continue
		}
		sum.In += in
		sum.Out += out
	}
	return sum, nil
}
