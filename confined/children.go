package confined

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// endTime bounds how long processes are killed that make new ones as fast.
const endTime = 10 * time.Second

// endChildren kills all that the program has left running, and waits for it: without a
// pid namespace the kernel does not. The children of who is killed become ours.
func endChildren() error {
	for end := time.Now().Add(endTime); time.Now().Before(end); time.Sleep(time.Millisecond) {
		pids, err := children()
		if err != nil {
			return err
		}
		for _, pid := range pids {
			// One of our own that is not reaped: the number is no other process's.
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, unix.WNOHANG, nil)
			if err == syscall.ECHILD {
				return nil
			}
			if pid <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
	return api.Errorf("end what the program has left running", "", "there is some after %s", endTime).WithHint("see ps -u $USER")
}

// children are the processes whose parent this one is, by field 4 of /proc/PID/stat.
func children() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	own := []byte(strconv.Itoa(os.Getpid()))
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// The command in parentheses may hold anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 1 && bytes.Equal(fields[1], own) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
