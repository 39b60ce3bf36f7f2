package tests

import (
	"strings"
	"syscall"
	"testing"
)

func TestStopSignals(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	trap := `trap "echo bye; exit 5" USR1; trap "echo term; exit 6" TERM; echo ready; while :; do read x </dev/zero & wait; done`
	for _, c := range []struct {
		name string
		run  []string
		want string
	}{
		{"default", nil, "6"},
		{"chosen", []string{"--stop-signal", "USR1"}, "5"},
		{"under init", []string{"--init"}, "6"},
	} {
		args := append(append([]string{"run", "-d", "--name", "svc"}, c.run...), "host", "bash", "-c",
			strings.ReplaceAll(trap, "read x </dev/zero & wait", "sleep 1000 & wait"))
		e.OK(args...)
		e.Eventually("the traps are set", func() bool { return strings.Contains(e.Run("logs", "svc").Out, "ready") })
		e.OK("stop", "svc")
		e.Is(c.want, "wait", "svc")
		e.OK("rm", "svc")
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "victim", "host", "sleep", "1000")
	e.Is("victim", "kill", "victim")
	e.Is("137", "wait", "victim")
	e.Fails(1, "victim", "kill", "victim")

	e.OK("run", "-d", "--name", "second", "--init", "host", "sleep", "1000")
	e.OK("kill", "-s", "INT", "second")
	e.Is("130", "wait", "second")
	e.Fails(125, "NOSUCH", "kill", "-s", "NOSUCH", "second")
}

func TestWaitWaits(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "-i", "--name", "waited", "host", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
	wait := e.Start("wait", "waited")
	e.Eventually("the trap is set", func() bool { return strings.Contains(e.Run("logs", "waited").Out, "ready") })
	e.OK("kill", "-s", "TERM", "waited")
	if r := wait.Wait(); r.Out != "9\n" || r.Code != 0 {
		t.Errorf("wait: stdout %q, stderr %q, status %d", r.Out, r.Err, r.Code)
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, e *Env, run []string) {
		// The command line passes signals on two milliseconds after the start; one
		// that comes sooner ends both.
		p := e.Start(append(run, "host", "sh", "-c", `trap "echo hup" HUP; trap "exit 4" TERM; sleep 0.3; echo ready; while :; do sleep 0.05; done`)...)
		p.Expect("ready")
		p.Signal(syscall.SIGHUP)
		p.Expect("hup")
		p.Signal(syscall.SIGTERM)
		if r := p.Wait(); r.Code != 4 {
			t.Errorf("status %d, stderr %q; want 4", r.Code, r.Err)
		}
	})
}
