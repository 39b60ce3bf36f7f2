package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A device is the host's, with what it allows the user; one of a sandbox is not another
// one's, and neither lists it as a mount.
func TestDevice(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.Is("4", "run", "--rm", "--device", "/dev/zero:/dev/null-too", image, "sh", "-c", "head -c 4 /dev/null-too | wc -c")
	e.Is("4", "run", "--rm", "--read-only", "--cap-drop", "all", "--device", "/dev/zero:/dev/z:rwm", image, "sh", "-c", "head -c 4 /dev/z | wc -c")
	e.Is("4", "run", "--rm", "--device", "/dev/zero:/dev/z", "host", "sh", "-c", "head -c 4 /dev/z | wc -c")
	e.Is("fails", "run", "--rm", "-v", "/dev/zero:/z", image, "sh", "-c", "head -c 4 /z 2>/dev/null || echo fails") // a bind alone is none

	e.OK("run", "-d", "--name", "box", "--device", "/dev/zero:/dev/z", "--device", "/dev/pts:/terminals", image, "sleep", "1000")
	e.Is(`[{"PathOnHost":"/dev/zero","PathInContainer":"/dev/z","CgroupPermissions":"rwm"},{"PathOnHost":"/dev/pts","PathInContainer":"/terminals","CgroupPermissions":"rwm"}] [] null`,
		"inspect", "-f", "{{json .HostConfig.Devices}} {{json .Mounts}} {{json .HostConfig.Binds}}", "box")
	e.Is("", "ps", "--format", "{{.Mounts}}")
	e.Is("4", "exec", "box", "sh", "-c", "head -c 4 /dev/z | wc -c")
	e.Is("none", "run", "--rm", "--volumes-from", "box", image, "sh", "-c", "ls /dev/z 2>/dev/null || echo none")
	e.OK("restart", "-t", "0", "box")
	e.Is("4", "exec", "box", "sh", "-c", "head -c 4 /dev/z | wc -c")
	// It is seen, and no new one can be made.
	e.Is("refused", "run", "--rm", "--cap-add", "all", "--device", "/dev/zero:/dev/z", image, "sh", "-c", "mknod /n c 1 5 2>/dev/null || echo refused")
}

func TestGroupAdd(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.Is("0 7 44", "run", "--rm", "--group-add", "44", "--group-add", "7", image, "sh", "-c", "id -G | tr ' ' '\n' | sort -n | xargs")
	e.Is("6 7 44", "run", "--rm", "-u", "5:6", "--group-add", "44", "--group-add", "7", image, "sh", "-c", "id -G | tr ' ' '\n' | sort -n | xargs")
	e.Fails(125, `look up group "nosuch": no such group in the image's /etc/group`, "run", "--rm", "--group-add", "nosuch", image, "id")
	e.Fails(125, "invalid argument", "run", "--rm", "--group-add", "4000000000", image, "id")

	groups := filepath.Join(e.Home, "group")
	if err := os.WriteFile(groups, []byte("audio:x:29:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.OK("run", "-d", "--name", "box", "-v", groups+":/etc/group:ro", "--group-add", "audio", image, "sleep", "1000")
	e.Is("0 29", "exec", "box", "sh", "-c", "id -G | tr ' ' '\n' | sort -n | xargs")
	e.Is("5 29", "exec", "-u", "5:5", "box", "sh", "-c", "id -G | tr ' ' '\n' | sort -n | xargs")
	e.Is(`["audio"]`, "inspect", "-f", "{{json .HostConfig.GroupAdd}}", "box")
}

// Settings of the sandbox's own namespaces are its own, and it cannot change them.
func TestSysctl(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const show = "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start | xargs"
	here, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Fatal(err)
	}
	settings := []string{"--sysctl", "net.core.somaxconn=1234", "--sysctl", "net.ipv4.ip_unprivileged_port_start=5"}
	e.Is("1234 5", append(append([]string{"run", "--rm"}, settings...), image, "sh", "-c", show)...)
	e.Is("1234 5", append(append([]string{"run", "--rm", "--network", "none", "--read-only"}, settings...), "host", "sh", "-c", show)...)
	e.OK(append(append([]string{"run", "-d", "--name", "box"}, settings...), image, "sleep", "1000")...)
	e.OK("restart", "-t", "0", "box")
	e.Is("1234 5", "exec", "box", "sh", "-c", show)
	e.Is("read-only", "exec", "box", "sh", "-c", "echo 9 2>/dev/null >/proc/sys/net/core/somaxconn || echo read-only")
	e.Is("1234 5", "run", "--rm", "--network", "container:box", image, "sh", "-c", show)
	e.Is("map[net.core.somaxconn:1234 net.ipv4.ip_unprivileged_port_start:5]", "inspect", "-f", "{{.HostConfig.Sysctls}}", "box")
	e.Is(strings.TrimSpace(string(here)), "run", "--rm", image, "cat", "/proc/sys/net/core/somaxconn")
	if now, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err != nil || string(now) != string(here) {
		t.Errorf("the machine's own: %q, %v", now, err)
	}
	for setting, words := range map[string]string{
		"net.nosuch=1":           "set sysctl net.nosuch=1: no such file or directory: in the sandbox the kernel has no setting of that name",
		"net.core.somaxconn=all": "set sysctl net.core.somaxconn=all: invalid argument: the kernel does not take that value",
		"net.core=1":             "set sysctl net.core=1: ",
	} {
		e.Fails(125, words, "run", "--rm", "--sysctl", setting, image, "true")
	}
}

func TestDomainname(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Is("lab.example", "run", "--rm", "--domainname", "lab.example", "host", "cat", "/proc/sys/kernel/domainname")
	e.Is("(none)", "run", "--rm", "host", "cat", "/proc/sys/kernel/domainname")
	e.OK("create", "--name", "box", "--domainname", "lab.example", "host", "true")
	e.Is("lab.example", "inspect", "-f", "{{.Config.Domainname}}", "box")
}
