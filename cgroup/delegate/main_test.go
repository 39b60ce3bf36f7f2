package delegate

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sbx/cgroup"
)

// actEnv makes the test binary a process that looks for a home and lives until its
// standard input ends.
const actEnv = "SBX_TEST_DELEGATE_ACT"

func TestMain(m *testing.M) {
	act, run, _ := strings.Cut(os.Getenv(actEnv), " ")
	var h cgroup.Home
	var err error
	switch act {
	case "obtain":
		h, err = Obtain(context.Background(), run)
	case "rejoin":
		h, err = Rejoin(context.Background(), run)
	default:
		os.Exit(m.Run())
	}
	own, treeErr := findTree()
	if err == nil && treeErr == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer{h, own.own})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// answer is what such a process has found, and where it is now.
type answer struct {
	Home cgroup.Home
	Own  string
}

// play starts such a process, outside of any home. end ends it.
func play(t *testing.T, act, run string, env ...string) (a answer, end func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Skip("to root all cgroups are writable, the machine's own, too")
	}
	c := exec.Command("/proc/self/exe") // it outlives the test's context
	c.Env = append(append(os.Environ(), actEnv+"="+act+" "+run), env...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		t.Fatal(act, err)
	}
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(act, err)
		}
	}
	t.Cleanup(end)
	return a, end
}
