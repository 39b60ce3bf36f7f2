package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience turns a hang into a failure; emulation makes everything ten times slower.
const patience = 5 * time.Minute

// Machine is the virtual machine. There is one, and it is shared: no test is parallel,
// and each leaves it as it was.
type Machine struct{ t testing.TB }

// Result of a command in the machine.
type Result struct {
	Out, Err string
	Code     int
}

var start = sync.OnceValue(func() error {
	dir := os.Getenv("SBX_VM")
	for _, args := range [][]string{
		{"up"},
		// The directory root is to become /: its entries are named one by one.
		append(append([]string{"push", "-u", "root"}, entries(dir, "root/*")...), "/"),
		append(append([]string{"push", "-u", "root"}, entries(dir, "*.test")...),
			os.Getenv("SBX_TEST_BUSYBOX"), os.Getenv("SBX_TEST_ROOTFS"), "/opt/sbx-tests"),
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience) // up makes the image
		defer cancel()
		c := exec.CommandContext(ctx, "./vm", args...)
		c.Stdout, c.Stderr = os.Stderr, os.Stderr // it takes minutes, and says what it does
		if err := c.Run(); err != nil {
			return fmt.Errorf("vm %s: %w", args[0], err)
		}
	}
	return nil
})

func entries(dir, pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, pattern)) // none: push says what is wrong
	return found
}

// up gives the machine, with sbx installed.
func up(t testing.TB) Machine {
	t.Helper()
	if os.Getenv("SBX_VM") == "" {
		t.Skip("needs a virtual machine: make test-vm")
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	m := Machine{t}
	t.Cleanup(m.kernelIsCalm)
	return m
}

// kernelIsCalm fails the test when the kernel has complained since it was asked last.
func (m Machine) kernelIsCalm() {
	m.t.Helper()
	const complaints = `Oops|BUG:|WARNING:|general protection|blocked for more than|^Out of memory|sbxd?\[[0-9]+\]: segfault|apparmor="DENIED"`
	if out := m.OK("root", "dmesg --notime --read-clear | grep -E '"+complaints+"' || true"); out != "" {
		m.t.Errorf("the kernel says:\n%s", out)
	}
}

// Run runs a shell line of that user and waits for its end. The logins of dev, nosub
// and root are one that lasts; nolinger logs in for each line and out again.
func (m Machine) Run(user, line string) Result {
	m.t.Helper()
	return m.vm("run", "-u", user, "--", line)
}

// RunFresh is Run in a login of its own, which ends with the line.
func (m Machine) RunFresh(user, line string) Result {
	m.t.Helper()
	return m.vm("run", "-u", user, "--fresh", "--", line)
}

func (m Machine) vm(args ...string) Result {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, "./vm", args...)
	c.Stdout, c.Stderr, c.WaitDelay = &out, &errs, time.Second
	err := c.Run()
	r := Result{Out: out.String(), Err: errs.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		r.Code = exit.ExitCode()
	} else if err != nil {
		m.t.Fatalf("vm %q: %v\n%s%s", args, err, r.Out, r.Err)
	}
	return r
}

// must fails the test unless the command succeeded in silence on standard error, and
// gives its output without the last newline.
func (r Result) must(t testing.TB) string {
	t.Helper()
	if r.Code != 0 || r.Err != "" {
		t.Fatalf("status %d, stdout %q, stderr %q", r.Code, r.Out, r.Err)
	}
	return strings.TrimSuffix(r.Out, "\n")
}

// OK is Run of what must succeed and say nothing on standard error.
func (m Machine) OK(user, line string) string {
	m.t.Helper()
	return m.Run(user, line).must(m.t)
}

// Is runs a line that must print exactly that, a last newline aside.
func (m Machine) Is(want, user, line string) {
	m.t.Helper()
	if got := m.OK(user, line); got != want {
		m.t.Errorf("%s: %s\nprinted %q, want %q", user, line, got, want)
	}
}

// Eventually waits until the line prints that.
func (m Machine) Eventually(want, user, line string) {
	m.t.Helper()
	var got Result
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if got = m.Run(user, line); got.Code == 0 && strings.TrimSuffix(got.Out, "\n") == want {
			return
		}
	}
	m.t.Fatalf("%s: %s\nnever printed %q, at last %q, stderr %q, status %d", user, line, want, got.Out, got.Err, got.Code)
}

// Reboot reboots the machine, keeping its disk.
func (m Machine) Reboot() {
	m.t.Helper()
	m.vm("reboot").must(m.t)
}

// CutPower lets the machine forget, at once, all that is not on its disk, and boots it.
func (m Machine) CutPower() {
	m.t.Helper()
	m.vm("reboot", "--cut").must(m.t)
}
