package userns

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sbx/tests/promised"
)

// The test binary plays the helpers too, when it is called by their names.
func TestMain(m *testing.M) {
	if played, err := Helper(os.Args); played {
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A user without subordinate ids gets a namespace with the own id in it.
func TestHelpersMapOwnID(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bin")
	for range 2 { // the second time over links of the first
		if err := Helpers(dir, self); err != nil {
			t.Fatal(err)
		}
	}
	child := exec.Command("cat")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	hold, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		promised.OrSkip(t, "userns", err)
	}
	defer child.Wait()
	defer hold.Close()
	pid := strconv.Itoa(child.Process.Pid)
	for helper, id := range map[string]int{"newuidmap": os.Getuid(), "newgidmap": os.Getgid()} {
		cmd := exec.Command(filepath.Join(dir, helper), pid, "0", strconv.Itoa(id), "1", "1", "4294000000", "1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", helper, err, out)
		}
		text, err := os.ReadFile("/proc/" + pid + "/" + helper[3:4] + "id_map")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(string(text)), " "); got != "0 "+strconv.Itoa(id)+" 1" {
			t.Errorf("%s wrote %q", helper, got)
		}
	}
	out, err := exec.Command(filepath.Join(dir, "getsubids"), "alice").Output()
	if err != nil || len(strings.Fields(string(out))) != 4 {
		t.Errorf("getsubids: %q %v", out, err)
	}
}

func TestHelperRefusesPaths(t *testing.T) {
	for _, args := range [][]string{{"newuidmap"}, {"newuidmap", "../1", "0", "0", "1"}, {"newuidmap", "1", "0", "0", "2"}} {
		if played, err := Helper(args); !played || err == nil {
			t.Errorf("%q: %v %v", args, played, err)
		}
	}
	if played, _ := Helper([]string{"/usr/bin/sbxd", "parent"}); played {
		t.Error("sbxd is no helper")
	}
}
