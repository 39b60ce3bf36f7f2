package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The test binary is the command line itself when it is started for that, and a
// supervisor when the command line starts it as one.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "sbxd":
		os.Exit(fakeDaemon())
	case os.Getenv("SBX_TEST_CLI") != "":
		main()
	}
	os.Exit(m.Run())
}

// home is an environment in which the command line finds nothing of the user's.
type home struct {
	t    *testing.T
	dir  string
	data string
	run  string
}

func newHome(t *testing.T) home {
	t.Helper()
	dir := t.TempDir()
	h := home{t, dir, filepath.Join(dir, "data"), filepath.Join(dir, "run")}
	if err := os.Mkdir(h.run, 0o700); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h home) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "SBX_TEST_CLI=1",
		"SBX_DATA=" + h.data, "SBX_RUN=" + h.run, "FROM_HERE=there", "SBXD=" + filepath.Join(h.dir, "missing"),
	}
}

// command is the command line as a process of its own.
func (h home) command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.CommandContext(h.t.Context(), self, args...)
	cmd.Env = h.env()
	cmd.Dir = h.dir
	return cmd
}

// result is how a command ended.
type result struct {
	out, err string
	code     int
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &errs
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func (h home) sbx(args ...string) result {
	h.t.Helper()
	return finish(h.t, h.command(args...))
}

func (r result) want(t *testing.T, want result) {
	t.Helper()
	if r != want {
		t.Errorf("got %+v\nwant %+v", r, want)
	}
}
