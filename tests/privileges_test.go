package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

func TestCapabilitiesWork(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	chown := []string{image, "sh", "-c", "touch /f; chown 1:1 /f && stat -c %u /f"}
	e.Is("1", append([]string{"run", "--rm"}, chown...)...)
	if r := e.Run(append([]string{"run", "--rm", "--cap-drop", "chown"}, chown...)...); r.Code == 0 || !strings.Contains(r.Err, "not permitted") {
		t.Errorf("chown without CAP_CHOWN: %+v", r)
	}
	mount := []string{image, "sh", "-c", "mount -t tmpfs none /tmp && stat -f -c %T /tmp"}
	if r := e.Run(append([]string{"run", "--rm"}, mount...)...); r.Code == 0 {
		t.Errorf("mount without CAP_SYS_ADMIN: %+v", r)
	}
	e.Is("tmpfs", append([]string{"run", "--rm", "--cap-add", "SYS_ADMIN"}, mount...)...)
	e.Fails(125, "NONSENSE", "run", "--rm", "--cap-add", "NONSENSE", image, "true")
}

func TestThreat15ReadOnlyCannotBeUndone(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := filepath.Join(e.Home, "given")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "mount -o remount,rw,bind /mnt; mount -o remount,rw /mnt; umount /mnt; mount -o bind /mnt /tmp && mount -o remount,rw,bind /tmp; touch /mnt/f /tmp/f"
	for _, flag := range []string{"--privileged", "--cap-add=SYS_ADMIN", "--cap-add=ALL"} {
		e.Run("run", "--rm", flag, "--security-opt", "seccomp=unconfined", "-v", dir+":/mnt:ro", image, "sh", "-c", script)
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s: a read-only mount was written to: %v, %v", flag, left, err)
		}
		r := e.Run("run", "--rm", flag, "--security-opt", "seccomp=unconfined", "host", "sh", "-c", "mount -o remount,rw /; mount -o remount,rw,bind /usr; touch /usr/sbx-was-here")
		if r.Code == 0 {
			t.Errorf("%s: the host's system is writable", flag)
		}
	}
}

func TestPrivileged(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	all := e.status(image, "CapEff", "--privileged")
	if all != e.status(image, "CapBnd", "--privileged") || strings.Trim(all, "0123456789abcdef") != "" || !strings.HasSuffix(all, "ffffffffff") {
		t.Errorf("--privileged: CapEff is %s", all)
	}
	if got := e.status(image, "Seccomp", "--privileged"); got != "0" {
		t.Errorf("--privileged: Seccomp is %s", got)
	}
	e.Is("other", "run", "--rm", "--privileged", image, "sh", "-c", "hostname other && hostname")
	// Not more than the user namespace can give: the host's is out of reach.
	for _, script := range []string{
		"echo b >/proc/sysrq-trigger", "mknod /d b 8 0", "test -z \"$(date -s 2000-01-01 2>&1 >/dev/null)\"",
		"sysctl -w kernel.panic=1", "chroot /proc/1/root/.. cat " + e.Home + "/secret",
	} {
		if r := e.Run("run", "--rm", "--privileged", image, "sh", "-c", script); r.Code == 0 {
			t.Errorf("--privileged allows %q: %+v", script, r)
		}
	}
}

func TestSeccompProfiles(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	profile := filepath.Join(e.Home, "profile.json")
	text := `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}`
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := e.Run("run", "--rm", "--security-opt", "seccomp="+profile, image, "mkdir", "/new")
	if r.Code == 0 || !strings.Contains(r.Err, "not supported") {
		t.Errorf("a profile of the user's: %+v", r)
	}
	e.OK("run", "--rm", image, "mkdir", "/new")
	// exec is filtered like the program itself.
	id := e.OK("run", "-d", "--security-opt", "seccomp="+profile, image, "sleep", "1000")
	if r := e.Run("exec", id, "mkdir", "/new"); r.Code == 0 || !strings.Contains(r.Err, "not supported") {
		t.Errorf("exec under a profile: %+v", r)
	}
	// The default denies new user namespaces; unconfined does not.
	if r := e.Run("run", "--rm", "host", "unshare", "--user", "true"); r.Code == 0 {
		t.Error("the default profile allows unshare --user")
	}
	e.OK("run", "--rm", "--security-opt", "seccomp=unconfined", "host", "unshare", "--user", "true")

	if err := os.WriteFile(profile, []byte(`{"defaultAction": "SCMP_ACT_NONSENSE"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Fails(125, "NONSENSE", "run", "--rm", "--security-opt", "seccomp="+profile, image, "true")
	e.Fails(125, "no such file", "run", "--rm", "--security-opt", "seccomp="+e.Home+"/missing", image, "true")
}

func TestNoNewPrivileges(t *testing.T) {
	t.Parallel()
	Need(t, "rootfs", "overlay")
	e := Sbx(t)
	e.OK("import", os.Getenv("SBX_TEST_ROOTFS"), "debian")
	script := "import os; os.setuid(1000); os.execv('/usr/bin/suid', ['cat', '/proc/self/status'])"
	for _, c := range []struct {
		want  string
		flags []string
	}{{"1000\t0", nil}, {"1000\t1000", []string{"--security-opt", "no-new-privileges"}}} {
		args := append(append([]string{"run", "--rm"}, c.flags...), "debian", "sh", "-c",
			"cp /bin/cat /usr/bin/suid; chmod 4755 /usr/bin/suid; python3 -c \""+script+"\" | grep ^Uid: | cut -f2,3")
		e.Is(c.want, args...)
	}
}

func TestUlimits(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	both := []string{"host", "bash", "-c", "echo $(ulimit -Sn) $(ulimit -Hn) $(ulimit -Sc)"}
	e.Is("100 200 0", append([]string{"run", "--rm", "--ulimit", "nofile=100:200", "--ulimit", "core=0"}, both...)...)
	e.Is("150 150 0", append([]string{"run", "--rm", "--ulimit", "nofile=150", "--ulimit", "core=0"}, both...)...)
	id := e.OK("run", "-d", "--ulimit", "nofile=100:200", "--ulimit", "core=0", "host", "sleep", "1000")
	e.Is("100 200 0", append([]string{"exec", id}, both[1:]...)...)
	e.Fails(125, "nonsense", "run", "--rm", "--ulimit", "nonsense=1", "host", "true")
	r := e.Run("run", "--rm", "--ulimit", "nofile=2000000000", "host", "true")
	if r.Code != 125 || !strings.Contains(r.Err, "hard limit") {
		t.Errorf("a limit above the caller's: %+v", r)
	}
}
