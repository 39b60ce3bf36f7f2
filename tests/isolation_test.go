package tests

import (
	"os"
	"path/filepath"
	"slices"
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
