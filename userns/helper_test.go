package userns

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
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
		t.Skipf("needs user namespaces: %v", err)
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

// Unshare leaves a namespace behind at the path, with the loopback up.
func TestUnshare(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to be root, of a user namespace at least")
	}
	if path := os.Getenv("SBX_TEST_UNSHARE"); path != "" {
		if err := Unshare([]string{"unshare", "-n", "mount", "--bind", "/proc/self/ns/net", path}); err != nil {
			t.Fatal(err)
		}
		flags, err := os.ReadFile("/proc/self/net/route")
		if err != nil || len(flags) == 0 {
			t.Fatal(err)
		}
		inside, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(os.Stdout, inside+"\n")
		return
	}
	path := filepath.Join(t.TempDir(), "netns")
	if err := os.WriteFile(path, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUnshare$")
	cmd.Env = append(os.Environ(), "SBX_TEST_UNSHARE="+path)
	// The mount is in a namespace that goes with the process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "net:[") || strings.Contains(string(out), ours) {
		t.Errorf("no new namespace: %s", out)
	}
}
