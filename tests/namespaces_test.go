package tests

import (
	"os"
	"strconv"
	"testing"
)

func TestNetworkModes(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Is("lo", "run", "--rm", "--network", "none", "host", "sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '")
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	e.Is(ours, "run", "--rm", "--network", "host", "host", "readlink", "/proc/self/ns/net")
	if got := e.OK("run", "--rm", "--network", "none", "host", "readlink", "/proc/self/ns/net"); got == ours {
		t.Error("--network none is the host's network")
	}
}

func TestNamespacesAreOwn(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, ns := range []string{"user", "mnt", "pid", "ipc", "uts", "cgroup"} {
		ours, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if e.OK("run", "--rm", "host", "readlink", "/proc/self/ns/"+ns) == ours {
			t.Errorf("the sandbox shares the host's %s namespace", ns)
		}
	}
}

func TestNamespacesOfTheHost(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, ns := range []string{"pid", "ipc", "uts"} {
		ours, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		e.Is(ours, "run", "--rm", "--"+ns, "host", "host", "readlink", "/proc/self/ns/"+ns)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	e.Is(name, "run", "--rm", "--uts", "host", "host", "uname", "-n")
	e.Is(strconv.Itoa(os.Getpid()), "run", "--rm", "--pid", "host", "host",
		"sh", "-c", "test -d /proc/$0 && echo $0", strconv.Itoa(os.Getpid()))
	e.Fails(125, "--ipc", "run", "--rm", "--ipc", "container:x", "host", "true")
	e.Fails(125, "--uts", "run", "--rm", "--uts", "nonsense", "host", "true")
}

func TestPIDOfAnotherSandbox(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("run", "-d", "--name", "first", "host", "sleep", "12345")
	theirs := e.OK("exec", id, "readlink", "/proc/self/ns/pid")
	e.Is(theirs, "run", "--rm", "--pid", "container:first", "host", "readlink", "/proc/self/ns/pid")
	e.Is("sleep 12345", "run", "--rm", "--pid", "container:"+id, "host", "sh", "-c", `tr '\0' ' ' </proc/1/cmdline | sed 's/ $//'`)
	// Its end is not the other's.
	e.Is("true", "inspect", "-f", "{{.State.Running}}", "first")
	e.OK("kill", "first")
	e.Is("137", "wait", "first")
	e.Fails(125, "not running", "run", "--rm", "--pid", "container:first", "host", "true")
	e.Fails(125, "no-such", "run", "--rm", "--pid", "container:no-such", "host", "true")
}
