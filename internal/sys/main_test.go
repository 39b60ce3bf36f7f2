package sys

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/tests/promised"
)

// role says what the test binary does when a test starts it again.
const role = "SBX_TEST_SYS"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "seventeen":
		os.Exit(17)
	case "wait":
		// An error is an end, too.
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "report":
		if err := json.NewEncoder(os.Stdout).Encode(look()); err != nil {
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// report is what a started program sees of itself.
type report struct {
	Args       []string
	UID        int
	CapEff     uint64
	Namespaces map[string]string
	Files      map[int]string // the first line of each regular file that is open
}

func look() *report {
	r := &report{Args: os.Args, UID: os.Getuid(), Namespaces: map[string]string{}, Files: map[int]string{}}
	for _, kind := range []string{"user", "uts", "ipc", "mnt"} {
		r.Namespaces[kind] = namespace("self", kind)
	}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		_, rest, _ := strings.Cut(string(status), "CapEff:")
		r.CapEff, _ = strconv.ParseUint(strings.Fields(rest + " -")[0], 16, 64)
	}
	for fd := range 200 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		buf := make([]byte, 500)
		n, _ := unix.Pread(fd, buf, 0)
		r.Files[fd] = string(buf[:max(n, 0)])
	}
	return r
}

func namespace(pid, kind string) string {
	link, err := os.Readlink("/proc/" + pid + "/ns/" + kind)
	if err != nil {
		return err.Error()
	}
	return link
}

// needUserns skips, or fails where SBX_MUST promises user namespaces.
func needUserns(t *testing.T, err error) {
	t.Helper()
	promised.OrSkip(t, "userns", err)
}

// waiting starts a process that does nothing, in new namespaces if flags name
// some; inside is its user id there.
func waiting(t *testing.T, path string, flags uintptr, inside int) *os.Process {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = []string{role + "=wait"}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: inside, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: inside, HostID: os.Getgid(), Size: 1}}
	}
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if flags != 0 {
			needUserns(t, err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hold.Close()
		_ = cmd.Wait() // many a test has ended it already
	})
	return cmd.Process
}

// self is the test binary, open.
func self(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// ask starts an entry, whose program must be the test binary in the role of
// report, and gives what that has to say. files become its descriptors from 3 on.
func ask(t *testing.T, e *Entry, files ...*os.File) *report {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	e.Files = append([]*os.File{null, w, os.Stderr}, files...)
	if e.Args == nil {
		e.Args = []string{"report"}
	}
	e.Env = append(e.Env, role+"=report", "GOCOVERDIR=/nonexistent")
	pid, err := e.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.NewDecoder(bufio.NewReader(r)).Decode(&got); err != nil {
		t.Errorf("its report: %v", err)
	}
	if code, err := wait(pid); err != nil || code != 0 {
		t.Errorf("its end: status %d, %v", code, err)
	}
	return &got
}

func wait(pid int) (int, error) {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case !status.Exited():
			return 0, fmt.Errorf("signal %v", status.Signal())
		default:
			return status.ExitStatus(), nil
		}
	}
}
