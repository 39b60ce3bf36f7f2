package tests

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"sbx/tests/instance"
)

// A supervisor that is told to end does not leave before its monitors have, even
// if they are slow: nobody else would clear what they leave.
func TestFarewellWaitsForMonitors(t *testing.T) {
	t.Parallel()
	t.Run("taken over", func(t *testing.T) {
		t.Parallel()
		e := Sbx(t)
		id := e.OK("run", "-d", "--rm", "--name", "old", "host", "sleep", "1000")
		monitors := slices.DeleteFunc(e.ByRole("sbx-monitor"), func(p instance.Process) bool { return p.Args[1] != id })
		if len(monitors) != 1 {
			t.Fatalf("monitors of %s: %v", id, monitors)
		}
		e.fell(e.roles()["supervisor"][0])
		e.OK("stop", "-t", "0", "old") // by the next supervisor
		e.slotsReady()
		e.endsWith(monitors)
	})
	t.Run("discarded", func(t *testing.T) {
		t.Parallel()
		Need(t, "busybox")
		e := Sbx(t)
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		e.OK("import", os.Getenv("SBX_TEST_BUSYBOX"), "small")
		e.OK("run", "--rm", "small", "true")
		e.slotsReady()
		monitors := e.ByRole("sbx-monitor")
		e.pause(monitors)
		for range monitors {
			e.Fails(125, "the port is taken", "run", "-d", "-p", taken.Addr().String()+":80", "small", "true")
		}
		e.endsWith(monitors)
	})
}

// slotsReady waits until the slots are there, and wait for a sandbox.
func (e *Env) slotsReady() {
	e.t.Helper()
	e.Eventually("the slots are ready", func() bool {
		return len(e.ByRole("sbx-monitor")) == 2 && len(e.ByRole("sbx-pid1")) == 2
	})
}

func (e *Env) pause(all []instance.Process) {
	e.t.Helper()
	for _, p := range all {
		if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
			e.t.Fatalf("%s: %v", p, err)
		}
	}
}

func resume(all []instance.Process) {
	for _, p := range all {
		_ = syscall.Kill(p.PID, syscall.SIGCONT) // they may have ended
	}
}

// endsWith tells the instance to end while these do nothing, and lets them go on when
// an impatient supervisor has left.
func (e *Env) endsWith(monitors []instance.Process) {
	e.t.Helper()
	e.pause(monitors)
	time.AfterFunc(500*time.Millisecond, func() { resume(monitors) })
	if err := e.Stop(patience); err != nil {
		e.t.Error(err)
	}
	left, err := os.ReadDir(filepath.Join(e.Data, "sandboxes"))
	if err != nil || len(left) > 0 {
		e.t.Errorf("left of sandboxes: %v, %v", left, err)
	}
}

// A supervisor that is killed while it clears what one sandbox has left, and prepares the
// next one of it, leaves nothing that its successor does not find.
func TestKilledBetweenTwoSandboxes(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	for range 30 {
		e.OK("run", "--rm", image, "true")
		victims := e.roles()["supervisor"]
		p := e.Start("run", "--rm", image, "true")
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		for _, v := range victims {
			kill(t, v)
		}
		p.Wait() // with the supervisor it may have gone, too
	}
}
