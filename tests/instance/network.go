package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// network is what there may not be without a sandbox: interfaces of sandboxes in the
// switch, and sockets for published ports. It waits for them to go.
func (i *Instance) network(wait time.Duration) []string {
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		var found []string
		for _, p := range i.ByRole("sbxd") {
			switch p.Args[len(p.Args)-1] {
			case "supervisor":
				found = append(found, veths(p)...)
			case "ports":
				found = append(found, Listeners(p)...)
			}
		}
		if len(found) == 0 || time.Now().After(end) {
			return found
		}
	}
}

// veths are the switch's ends of the sandboxes' interfaces: the supervisor has a
// thread that is in there.
func veths(supervisor Process) []string {
	// Nothing there: it has just ended.
	devs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/net/dev", supervisor.PID))
	var found []string
	for _, dev := range devs {
		raw, err := os.ReadFile(dev)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(raw)) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			if strings.HasPrefix(name, "v-") {
				found = append(found, "interface left in the switch: "+name)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Listeners are the sockets of the host's network by which a process gets connections,
// or packets from anybody.
func Listeners(p Process) []string {
	dir := fmt.Sprintf("/proc/%d/", p.PID)
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		return nil // it has just ended
	}
	mine := map[string]bool{}
	for _, fd := range fds {
		link, _ := os.Readlink(dir + "fd/" + fd.Name()) // closed meanwhile: no link
		if inode, ok := strings.CutPrefix(link, "socket:["); ok {
			mine[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var found []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		raw, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue // a kernel without IPv6
		}
		for line := range strings.Lines(string(raw)) {
			// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
			f := strings.Fields(line)
			const listen, unconnected = "0A", "07"
			if len(f) > 9 && mine[f[9]] && (f[3] == listen || f[3] == unconnected) {
				found = append(found, "port left: "+table+" "+f[1])
			}
		}
	}
	return found
}
