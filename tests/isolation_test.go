package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestHostProcessesAreHidden(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Is("1", "run", "--rm", "host", "sh", "-c", "echo $$")
	e.Is("1", "run", "--rm", "host", "sh", "-c", "set -- /proc/[0-9]*; echo $#")
}

func TestHostHomeIsPrivate(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	if err := os.WriteFile(filepath.Join(e.Home, "secret"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"$HOME", "/tmp", "/var/tmp"} {
		e.Is("", "run", "--rm", "host", "sh", "-c", "ls -A "+dir)
		e.Is("written", "run", "--rm", "host", "sh", "-c", "echo written >"+dir+"/f && cat "+dir+"/f")
	}
	e.Is(e.Home, "run", "--rm", "host", "sh", "-c", "echo $HOME")
	if _, err := os.Stat(filepath.Join(e.Home, "f")); err == nil {
		t.Error("what a sandbox wrote to its home is in the host's")
	}
	if r := e.Run("run", "--rm", "host", "cat", "/proc/1/root"+filepath.Join(e.Home, "secret")); r.Code == 0 {
		t.Errorf("a sandbox read the host's home: %q", r.Out)
	}
}

func TestHostRunDirectoryIsPrivate(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	// Sockets of the host's services are a way out: bus, docker, agents.
	e.Is("", "run", "--rm", "host", "find", "/run", "/tmp", "-type", "s")
	e.Is("", "run", "--rm", "host", "sh", "-c", "ls -d "+e.Instance.Run+" "+e.Data+" 2>/dev/null; true")
}

func TestHostSystemIsReadOnly(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, dir := range []string{"/", "/usr", "/etc", "/var", "/boot", "/opt", "/proc/sys/kernel", "/sys"} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		r := e.Run("run", "--rm", "host", "sh", "-c", "touch "+dir+"/sbx-was-here")
		if r.Code == 0 {
			t.Errorf("%s is writable", dir)
		}
	}
	// No mount below may be writable but the private ones.
	out := e.OK("run", "--rm", "host", "cat", "/proc/self/mountinfo")
	private := []string{"tmpfs", "devpts", "proc", "mqueue"}
	for line := range strings.Lines(out) {
		mount, super, _ := strings.Cut(line, " - ")
		target, options := strings.Fields(mount)[4], strings.Split(strings.Fields(mount)[5], ",")
		fstype := strings.Fields(super)[0]
		device := strings.HasPrefix(target, "/dev/") || fstype == "devtmpfs" // masked files are /dev/null
		if slices.Contains(options, "rw") && !slices.Contains(private, fstype) && !device {
			t.Errorf("writable %s on %s", fstype, target)
		}
	}
}

func TestHostHere(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	here := filepath.Join(e.Home, "project")
	if err := os.Mkdir(here, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(here, "src"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := e.Command(t.Context(), "run", "--rm", "--here", "host", "sh", "-c", "pwd; ls; ls -A ..; touch made")
	c.Dir = here
	out, err := c.CombinedOutput()
	if want := here + "\nsrc\nproject\n"; err != nil || string(out) != want {
		t.Errorf("%v, printed %q, want %q", err, out, want)
	}
	if _, err := os.Stat(filepath.Join(here, "made")); err != nil {
		t.Errorf("--here is not the host's directory: %v", err)
	}
}

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

// status is a field of /proc/self/status.
func (e *Env) status(image, field string, flags ...string) string {
	e.t.Helper()
	args := append(append([]string{"run", "--rm"}, flags...), image, "grep", "^"+field+":", "/proc/self/status")
	_, value, _ := strings.Cut(e.OK(args...), ":")
	return strings.TrimSpace(value)
}

func TestPrivileges(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const docker = "00000000a80425fb" // Docker's default list: 14 capabilities
	for _, c := range []struct {
		field, want string
		flags       []string
	}{
		{"CapBnd", docker, nil},
		{"CapEff", docker, nil},
		{"CapInh", "0000000000000000", nil}, // CVE-2022-24769
		{"CapAmb", "0000000000000000", nil},
		{"CapBnd", "0000000000000000", []string{"--cap-drop", "ALL"}},
		{"CapBnd", "0000000000000400", []string{"--cap-drop", "ALL", "--cap-add", "CAP_NET_BIND_SERVICE"}},
		{"CapEff", "0000000000000000", []string{"-u", "1"}},
		{"Seccomp", "2", nil},
		{"Seccomp", "0", []string{"--security-opt", "seccomp=unconfined"}},
		{"NoNewPrivs", "0", nil},
		{"NoNewPrivs", "1", []string{"--security-opt", "no-new-privileges"}},
	} {
		if got := e.status(image, c.field, c.flags...); got != c.want {
			t.Errorf("run %v: %s is %s, want %s", c.flags, c.field, got, c.want)
		}
	}
	// A program of the host's is the caller, not root.
	if got := e.status("host", "CapEff"); got != "0000000000000000" {
		t.Errorf("run host: CapEff is %s", got)
	}
}

// Nothing of ours may stay open in the program. CVE-2024-21626, CVE-2016-9962.
func TestThreat02NoDescriptorLeaks(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	// ls itself opens the directory: the fourth.
	e.Is("0\n1\n2\n3", "run", "--rm", "host", "ls", "/proc/self/fd")
	id := e.OK("run", "-d", "host", "sleep", "1000")
	e.Is("0\n1\n2\n3", "exec", id, "ls", "/proc/self/fd")
	r := e.Run("run", "--rm", "-w", "/proc/self/fd/7", "host", "pwd")
	if r.Code < 125 || r.Out != "" {
		t.Errorf("a working directory by descriptor: status %d, stdout %q", r.Code, r.Out)
	}
}
