package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sbx/tests/instance"
)

// fuseOverlay is an sbx whose sandboxes have fuse-overlayfs for an overlay.
func fuseOverlay(t *testing.T) *Env {
	t.Helper()
	Need(t, "fuse")
	e := Sbx(t)
	e.Extra = append(e.Extra, "SBX_OVERLAY=fuse")
	return e
}

// overlayServers are the processes of fuse-overlayfs that serve something of the
// instance.
func (e *Env) overlayServers() []instance.Process {
	return e.ByRole("fuse-overlayfs")
}

func (e *Env) noOverlayServers(after string) {
	e.t.Helper()
	e.Eventually("fuse-overlayfs ends after "+after, func() bool { return len(e.overlayServers()) == 0 })
}

func TestFuseOverlay(t *testing.T) {
	t.Parallel()
	e := fuseOverlay(t)
	image := e.Busybox()
	if out := e.OK("info"); !strings.Contains(out, "\n Overlay: /usr/bin/fuse-overlayfs\n Not The Kernel: SBX_OVERLAY=fuse\n") {
		t.Error(out)
	}
	e.Is("fuse.fuse-overlayfs", "run", "--rm", image, "sh", "-c", `awk '$2 == "/" {print $3}' /proc/mounts`)
	// It leaves room for ".wh." in a name, and 1.14, unlike 1.10, makes a fifo without
	// regard to the umask.
	change := strings.NewReplacer("%0255d", "%0251d", "mkfifo ", "mkfifo -m 644 ").Replace(changes)
	e.OK("run", "--name", "box", image, "sh", "-ec", change)
	e.noOverlayServers("the sandbox")
	e.OK("commit", "box", "made:1")
	// It counts the links that it has seen.
	links := "test /new/file -ef /new/deep/hard && " + strings.Replace(seen, "%h ", "", 1)
	e.Is(strings.NewReplacer("4750 2", "4750", "644 1", "644").Replace(sees), "run", "--rm", "made:1", "sh", "-ec", links)
	e.OK("create", "--name", "again", "made:1", "true")
	e.Is("", "diff", "again")

	// What it has changed is there when it is started again, and when it does not run.
	e.OK("run", "--name", "twice", image, "sh", "-c", "echo x >>/file; rm -f /etc/group; wc -c </file")
	e.Is("4", "start", "-a", "twice")
	file := filepath.Join(e.Home, "in")
	if err := os.WriteFile(file, []byte("copied"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.OK("cp", file, "twice:/file")
	e.OK("cp", "twice:/file", file+".out")
	if text, err := os.ReadFile(file + ".out"); string(text) != "copied" {
		t.Errorf("copied out: %q, %v", text, err)
	}
	e.Is("8", "start", "-a", "twice")
	e.Is("C /etc\nD /etc/group\nA /file", "diff", "twice")
	e.Is("", "run", "--rm", "--read-only", image, "sh", "-c", "touch /x 2>/dev/null && echo written || true")
	e.Is("copied x", "run", "--rm", "-v", e.Home+":/here", "-v", "vol:/vol", image, "sh", "-c", "echo $(cat /here/in.out; echo >/vol/x) $(ls /vol)")
	e.OK("volume", "rm", "vol")
	e.OK("rm", "again", "twice", "box")
	e.noOverlayServers("all of it")
}

// What fuse-overlayfs marks is read as what the kernel marks.
func TestFuseOverlayDiff(t *testing.T) {
	t.Parallel()
	e := fuseOverlay(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", image, "sleep", "1000")
	e.Is("", "diff", "box")
	e.OK("exec", "box", "sh", "-c", "echo >/b; rm -r /var; echo >/a; chmod 600 /etc/passwd")
	e.Is("A /a\nA /b\nC /etc/passwd\nD /var", "diff", "box")
	e.export(filepath.Join(e.Home, "all.tar"), "box")
	names, err := outputOf("tar", "tf", filepath.Join(e.Home, "all.tar"))
	if err != nil || !strings.Contains("\n"+string(names), "\na\n") || strings.Contains(string(names), "var/") || strings.Contains(string(names), ".wh.") {
		t.Errorf("export: %s, %v", names, err)
	}
	e.OK("rm", "-f", "box")
}

// As yourself in any image: the image with other owners lies below.
func TestFuseOverlayKeepID(t *testing.T) {
	t.Parallel()
	e := fuseOverlay(t)
	image := e.Busybox()
	uid := strconv.Itoa(os.Getuid())
	e.Is(uid+"\n0 /etc\n"+uid+" /tmp/mine", "run", "--name", "box", "--userns", "keep-id", image, "sh", "-c",
		"id -u; stat -c '%u %n' /etc; touch /etc/x 2>/dev/null; echo >/tmp/mine; stat -c '%u %n' /tmp/mine")
	if out := e.OK("diff", "box"); !strings.Contains(out, "A /tmp/mine") || strings.Contains(out, "/etc/x") {
		t.Error(out)
	}
	e.OK("commit", "box", "mine:1")
	e.Is(uid, "run", "--rm", "mine:1", "stat", "-c", "%u", "/tmp/mine")
}

// fuse-overlayfs belongs to the sandbox: it goes on without the supervisor, and ends
// with the sandbox, however that ends.
func TestFuseOverlayOutlivesTheSupervisor(t *testing.T) {
	t.Parallel()
	e := fuseOverlay(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", image, "sleep", "1000")
	servers := e.overlayServers()
	if len(servers) != 1 {
		t.Fatalf("servers: %+v", servers)
	}
	// It has nothing of the supervisor's. Pipes are its own.
	for _, fd := range descriptors(t, servers[0].PID) {
		if strings.HasPrefix(fd, "socket:") || strings.Contains(fd, "sbxd.log") {
			t.Errorf("it holds %s", fd)
		}
	}
	for _, p := range e.roles()["supervisor"] {
		e.fell(p)
	}
	e.Is("hello", "exec", "box", "sh", "-c", "echo hello >/x; cat /x")
	e.Is("A /x", "diff", "box")
	e.OK("restart", "-t", "0", "box")
	e.Is("hello", "exec", "box", "cat", "/x")
	e.Is("fuse.fuse-overlayfs", "exec", "box", "sh", "-c", `awk '$2 == "/" {print $3}' /proc/mounts`)
	for _, p := range e.roles()["sbx-monitor"] {
		if slices.Contains(p.Args, e.OK("inspect", "-f", "{{.Id}}", "box")) {
			e.fell(p)
		}
	}
	e.noOverlayServers("its monitor")
	e.OK("rm", "-f", "box")
}

// Who mounts a root goes on doing so.
func TestFuseOverlayStays(t *testing.T) {
	t.Parallel()
	e := fuseOverlay(t)
	image := e.Busybox()
	const which = `awk '$2 == "/" {print $3}' /proc/mounts; rm -r /root; mkdir /root`
	e.Is("fuse.fuse-overlayfs", "run", "--name", "old", image, "sh", "-c", which)
	e.Extra = append(e.Extra, "SBX_OVERLAY=kernel")
	for _, p := range e.roles()["keeper"] {
		e.fell(p)
	}
	for _, role := range []string{"supervisor", "child", "parent"} {
		for _, p := range e.roles()[role] {
			e.fell(p)
		}
	}
	e.Is("overlay", "run", "--name", "new", image, "sh", "-c", which)
	if r := e.Run("start", "-a", "old"); !strings.HasPrefix(r.Out, "fuse.fuse-overlayfs\n") {
		t.Errorf("%+v", r)
	}
	e.Is("D /root", "diff", "old")
	e.Is(e.OK("diff", "old"), "diff", "new")
	e.OK("rm", "old", "new")
}

// Killed, it takes the root along: that is an error of what runs there, and no more.
func TestFuseOverlayDies(t *testing.T) {
	t.Parallel()
	e := fuseOverlay(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", image, "sleep", "1000")
	servers := e.overlayServers()
	if len(servers) != 1 {
		t.Fatalf("servers: %+v", servers)
	}
	if err := syscall.Kill(servers[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := e.Run("exec", "box", "true"); r.Code == 0 {
		t.Errorf("without a root: %+v", r)
	}
	e.Is("", "run", "--rm", image, "true")
	e.OK("rm", "-f", "box")
}

func descriptors(t *testing.T, pid int) []string {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, e := range list {
		if link, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			to = append(to, link)
		}
	}
	return to
}
