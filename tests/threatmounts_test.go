package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What hides /proc or /dev, or is a link, or a link that means something else to
// whoever follows it.
func TestThreat14BindSources(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir, elsewhere := filepath.Join(e.Home, "given"), filepath.Join(e.Home, "elsewhere")
	for _, d := range []string{dir, elsewhere} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "name"), []byte(filepath.Base(d)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(e.Home, "link")); err != nil {
		t.Fatal(err)
	}
	e.Is("given", "run", "--rm", "-v", e.Home+"/link:/mnt", "host", "cat", "/mnt/name")
	// Magic links: the caller's, or an error, but never another process's.
	opened, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for _, source := range []string{"/proc/self/fd/3", "/proc/self/cwd", "/proc/self/root" + dir, "/proc/thread-self/cwd"} {
		c := e.Command(t.Context(), "run", "--rm", "-v", source+":/mnt", "host", "cat", "/mnt/name")
		c.Dir = dir
		c.ExtraFiles = []*os.File{opened}
		out, err := c.CombinedOutput()
		if err == nil && string(out) != "given\n" {
			t.Errorf("-v %s is %q", source, out)
		}
	}
	for _, source := range []string{"/proc/self/fd", "/proc/self", "/proc/1/root"} {
		r := e.Run("run", "--rm", "-v", source+":/mnt", "host", "sh", "-c", "cat /mnt/fd/*/name /mnt/*/name /mnt/root"+elsewhere+"/name /mnt"+elsewhere+"/name")
		if strings.Contains(r.Out, "elsewhere") {
			t.Errorf("-v %s shows the host: %q", source, r.Out)
		}
	}
}

// A volume over the kernel's file systems deceives nobody but the program.
func TestThreat14VolumesOverProc(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := t.TempDir()
	for _, d := range []string{"self/attr", "self/fd", "pts", "fs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "self/setgroups"), []byte("deny\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	usual := e.probe(nil, "host", "rights")
	for _, target := range []string{"/proc", "/proc/self", "/proc/sys", "/sys", "/dev", "/dev/pts", "/proc/self/attr"} {
		args := append(append([]string{"run", "--rm", "-v", dir + ":" + target}, e.probeFlags("rights")...), "host", probeTarget)
		r := e.Run(args...)
		if r.Code >= 125 && r.Err != "" {
			continue
		}
		if got := e.achieved(r); got[0] != usual[0] {
			t.Errorf("-v over %s: %q, usually %q", target, got, usual)
		}
	}
	e.Fails(125, "/", "run", "--rm", "-v", dir+":/", "host", "true")
	e.Fails(125, "/", "run", "--rm", "-v", dir+":/../.", "host", "true")
}

// A mount made inside stays inside.
func TestThreat14MountsDoNotSpread(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := filepath.Join(e.Home, "shared")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{{"--privileged"}, {"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"}} {
		flags = append(flags, "-u", "0") // the host's programs run as the caller
		run := append(append([]string{"run", "--name", "spreader", "-v", dir + ":/mnt"}, e.probeFlags("spread")...), flags...)
		p := e.Start(append(run, "host", probeTarget, "/mnt", "/tmp", "/tmp/stop")...)
		p.Expect("mounted")
		if strings.Contains(p.out.String(), "mount /") {
			t.Errorf("%q: the attack itself did not work: %q", flags, p.out.String())
		}
		for _, pid := range append(e.ByRole("sbxd"), e.ByRole("sbx-keeper")...) {
			mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid.PID))
			if err == nil && strings.Contains(string(mounts), "sbx-spread") {
				t.Errorf("%q: the mount is seen by %s", flags, pid)
			}
		}
		ours, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil || strings.Contains(string(ours), "sbx-spread") {
			t.Errorf("%q: the mount is on the host (%v)", flags, err)
		}
		e.OK("rm", "-f", "spreader")
		p.Wait()
	}
}

// Read-only holds for the mounts below, too.
func TestThreat14ReadOnlyIsRecursive(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, c := range []struct{ source, file string }{{"/dev", "shm/f"}, {"/", "dev/shm/f"}, {"/", "tmp/f"}} {
		r := e.Run("run", "--rm", "-v", c.source+":/mnt:ro", "host", "touch", "/mnt/"+c.file)
		if r.Code == 0 || !strings.Contains(r.Err, "Read-only file system") {
			t.Errorf("-v %s:/mnt:ro: touch /mnt/%s: %+v", c.source, c.file, r)
		}
	}
}

// Read-only mounts stay so for a program with all capabilities of its user
// namespace: the kernel locks what came from a more privileged one.
func TestThreat15ReadOnlyCannotBeRemounted(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := t.TempDir()
	unconfined := []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"}
	for name, flags := range map[string][]string{"usual": nil, "SYS_ADMIN": {"--cap-add", "SYS_ADMIN"}, "unconfined": unconfined, "privileged": {"--privileged"}} {
		flags = append([]string{"-u", "0", "-v", dir + ":/mnt:ro"}, flags...)
		none(t, name, e.probe(flags, "host", "remount", "/mnt", "/", "/usr", "/etc"))
		none(t, name+" of an image", e.probe(flags, e.Busybox(), "remount", "/mnt"))
	}
	isEmpty(t, dir)
}

// What covers the host's private directories cannot be taken away.
func TestThreat15CoversStay(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	secret := filepath.Join(e.Home, "secret")
	if err := os.WriteFile(secret, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	unconfined := []string{"--cap-add", "ALL", "--security-opt", "seccomp=unconfined"}
	for name, flags := range map[string][]string{"usual": nil, "unconfined": unconfined, "privileged": {"--privileged"}} {
		for _, user := range []string{"", "0"} {
			if user != "" {
				flags = append(flags, "-u", user)
			}
			none(t, name, e.probe(flags, "host", "uncover", secret, e.Home, filepath.Dir(e.Home), "/home", "/tmp", "/run", "/var/tmp", "/"))
		}
	}
}
