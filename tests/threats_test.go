package tests

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The runtime cannot be overwritten from inside: what runs there is a sealed copy.
// CVE-2019-5736.
func TestThreat01RuntimeIsSealed(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	before, err := os.ReadFile(e.Sbx())
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{
		"echo evil >/proc/1/exe", "exec 3<>/proc/1/exe", "dd if=/dev/zero of=/proc/1/exe count=1 conv=notrunc",
	} {
		if r := e.Run("run", "--rm", "--init", "--privileged", image, "sh", "-c", script); r.Code == 0 {
			t.Errorf("%q succeeds: %+v", script, r)
		}
	}
	id := e.OK("run", "-d", "--privileged", image, "sh", "-c",
		"while :; do for p in /proc/[0-9]*; do case $(readlink $p/exe) in *memfd*|*sbx*) echo evil >$p/exe && echo written;; esac; done; done 2>/dev/null")
	for range 20 {
		e.Is("ok", "exec", id, "echo", "ok")
	}
	if out := e.Run("logs", id).Out; strings.Contains(out, "written") {
		t.Error("an entering process was overwritten")
	}
	after, err := os.ReadFile(e.Sbx())
	if err != nil || string(after) != string(before) {
		t.Errorf("the binary on the host has changed: %v", err)
	}
}

// CVE-2021-3602, CVE-2026-57231: nothing of the host's environment or groups, and
// no user by mistake.
func TestThreat04ExecIsAsStrictAsRun(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	id := e.OK("run", "-d", "-u", "alice", "-e", "A=1", image, "sleep", "1000")
	e.Is("1000 1000 1000 1001", "exec", id, "sh", "-c", "echo $(id -u) $(id -g) $(id -G)")
	e.Is("0 0 0", "exec", "-u", "0", id, "sh", "-c", "echo $(id -u) $(id -g) $(id -G)")
	for _, user := range []string{"mallory", "-1", "0x0", "1e3", "00:", ":", "4294967296", "alice:mallory", " 0"} {
		if r := e.Run("exec", "-u", user, id, "id"); r.Code == 0 || r.Out != "" {
			t.Errorf("exec -u %q: %+v", user, r)
		}
	}
	out := e.OK("exec", id, "env")
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(line, "=")
		if !strings.Contains(" A PATH HOME HOSTNAME SHLVL PWD ", " "+name+" ") {
			t.Errorf("the environment has %q", line)
		}
	}
}

// What an image makes of the places that are mounted on does not lead out, nor
// unmask anything. CVE-2025-31133, CVE-2025-52565, CVE-2026-47766.
func TestThreat07SpecialPathsOfAnImage(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	outside := filepath.Join(e.Home, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip(err)
	}
	started := 0
	for _, name := range []string{"dev", "proc", "sys", "etc", "tmp", "dev/null", "dev/console", "dev/pts", "dev/shm", "proc/kcore"} {
		list := []tar.Header{{Typeflag: tar.TypeDir, Name: "bin"}}
		if dir := filepath.Dir(name); dir != "." {
			list = append(list, tar.Header{Typeflag: tar.TypeDir, Name: dir})
		}
		list = append(list, tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: outside})
		archive := strings.TrimRight(entries(t, list...), "\x00")
		archive += strings.Repeat("\x00", (512-len(archive)%512)%512) + executable(t, "bin/busybox", busybox)
		if r := e.RunIn(archive, "import", "-", "evil"); r.Code != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
		r := e.Run("run", "--rm", "evil", "/bin/busybox", "sh", "-c", "/bin/busybox cat /proc/kcore; /bin/busybox echo >/dev/null; /bin/busybox stat -c '%t:%T' /dev/null")
		if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
			t.Fatalf("%s: something was made on the host: %v, %v", name, left, err)
		}
		if r.Code == 0 {
			started++
		}
		if r.Code == 0 && r.Out != "1:3\n" || r.Code != 0 && strings.Count(r.Err, "\n") > 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if started == 0 {
		t.Error("none of the images can be run: nothing was tested")
	}
}

// Knobs of the kernel are not to be turned from inside. CVE-2025-52881,
// CVE-2019-19921.
func TestThreat09KernelKnobs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	for _, path := range []string{"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/irq/default_smp_affinity",
		"/sys/kernel/uevent_helper", "/proc/self/attr/current"} {
		script := fmt.Sprintf("test ! -e %[1]s || echo x >%[1]s", path)
		r := e.Run("run", "--rm", image, "sh", "-c", "[ -e "+path+" ] || exit 9; echo x >"+path)
		if r.Code == 0 {
			t.Errorf("%q succeeds: %+v", script, r)
		}
	}
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/acpi", "/proc/scsi", "/sys/firmware"} {
		if r := e.Run("run", "--rm", image, "sh", "-c", "[ -e "+path+" ] && find "+path+" -type f -exec cat {} + ; [ -f "+path+" ] && cat "+path); r.Out != "" {
			t.Errorf("%s shows %q", path, tail([]byte(r.Out), 100))
		}
	}
}

// A target behind the usual link is inside, and is not made anywhere else.
// CVE-2024-45310, CVE-2026-87766.
func TestThreat11MountTargetsAreInside(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	given := filepath.Join(e.Home, "given")
	if err := os.Mkdir(given, 0o755); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(e.Home, "missing")
	e.OK("run", "--rm", "-v", given+":"+missing+"/deep", image, "test", "-d", missing+"/deep")
	e.Run("run", "--rm", "-v", given+":/../../../.."+missing+"/deep", image, "true")
	if _, err := os.Lstat(missing); err == nil {
		t.Error("the mount's target was made on the host")
	}
	e.OK("run", "--name", "linked", image, "sh", "-c", "rm -rf /var/run; ln -s /run /var/run")
	e.OK("rm", "linked")
	r := e.Run("run", "--rm", "-v", given+":/var/run/given", "host", "test", "-d", "/run/given")
	if r.Code != 0 {
		t.Errorf("a target behind /var/run -> /run: %+v", r)
	}
}

// The files of other users, and what is on the way to them, are not shown by a
// socket, a descriptor or a process of the host.
func TestThreat43NothingInherited(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	secret, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	c := e.Command(t.Context(), "run", "--rm", "host", "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; ls -d /proc/[0-9]* | wc -l")
	c.ExtraFiles = []*os.File{secret, secret, secret}
	out, err := c.CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || strings.Join(got[:len(got)-1], " ") != "0 1 2 3" {
		t.Errorf("%v, descriptors and processes %q", err, out)
	}
}
