package tests

import (
	"strings"
	"syscall"
	"testing"
)

// orphan leaves a process that ends without a parent of its own: whoever is the
// first process inherits it.
const orphan = `sh -c '(sleep 0.05; exit 0) & echo $!' >/tmp/pid; pid=$(cat /tmp/pid); `

func TestInitReapsOrphans(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	// The entry in /proc goes away only when somebody has waited for the process.
	e.Is("reaped", "run", "--rm", "--init", "host", "sh", "-c",
		orphan+`while [ -e /proc/$pid ]; do sleep 0.02; done; echo reaped`)
	e.Is("1", "run", "--rm", "--init", "host", "sh", "-c", "echo $PPID")
}

// Without --init the program is the first process, and orphans are its own
// affair, as with Docker.
func TestWithoutInitTheProgramIsFirst(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Is("Z", "run", "--rm", "host", "python3", "-c", `
import os, time
r, w = os.pipe()
if os.fork() == 0:
    child = os.fork()
    if child == 0:
        time.sleep(0.05)
        os._exit(0)
    os.write(w, str(child).encode())
    os._exit(0)
os.wait()
path = "/proc/%s/stat" % os.read(r, 20).decode()
while True:
    state = open(path).read().split(")")[1].split()[0]
    if state == "Z":
        break
    time.sleep(0.02)
print(state)`)
}

func TestInitForwardsSignals(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	script := `for s in HUP USR1 USR2 WINCH; do trap "echo $s" $s; done; trap 'echo TERM; exit 9' TERM; echo ready; while :; do sleep 0.02; done`
	e.OK("run", "-d", "--init", "--name", "target", "host", "sh", "-c", script)
	logs := func() string { return e.Run("logs", "target").Out }
	e.Eventually("the traps are set", func() bool { return strings.Contains(logs(), "ready") })
	for _, name := range []string{"HUP", "USR1", "USR2", "WINCH"} {
		e.OK("kill", "-s", name, "target")
		e.Eventually("the program got "+name, func() bool { return strings.Contains(logs(), name) })
	}
	e.OK("stop", "target")
	e.Is("9", "wait", "target")
	if !strings.HasSuffix(logs(), "TERM\n") {
		t.Errorf("the log is %q", logs())
	}
}

// A stopped program is no dead one for its init.
func TestInitKeepsStoppedPrograms(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	p := e.Start("run", "--rm", "--init", "host", "sh", "-c", "sleep 0.3; echo ready; kill -STOP $$; echo again; exit 5")
	p.Expect("ready")
	e.Eventually("it has stopped", func() bool {
		id := e.OK("ps", "-q")
		return e.Run("exec", id, "sh", "-c", "grep -q 'T (stopped)' /proc/[0-9]*/status").Code == 0
	})
	p.Signal(syscall.SIGCONT)
	if r := p.Wait(); r.Out != "ready\nagain\n" || r.Code != 5 {
		t.Errorf("%+v", r)
	}
}
