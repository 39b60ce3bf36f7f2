package tests

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRunMounts(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Is("from the host", "run", "--rm", "-v", dir+":/mnt", "host", "cat", "/mnt/in")
	e.OK("run", "--rm", "-v", dir+":/mnt", "host", "sh", "-c", "echo from inside >/mnt/out")
	st, err := os.Stat(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := st.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Getuid() {
		t.Errorf("what root in the sandbox makes in a bind mount belongs to %d, not to the caller", owner)
	}
	r := e.Run("run", "--rm", "-v", dir+":/mnt:ro", "host", "sh", "-c", "echo x >/mnt/in")
	if r.Code == 0 || !strings.Contains(r.Err, "Read-only file system") {
		t.Errorf(":ro is writable: status %d, stderr %q", r.Code, r.Err)
	}
	e.Is("tmpfs", "run", "--rm", "--tmpfs", "/mnt:size=1m", "host", "stat", "-f", "-c", "%T", "/mnt")
}

func TestRunReadOnly(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.Is("ok", "run", "--rm", image, "sh", "-c", "touch /file && echo ok")
	e.Is("ok", "run", "--rm", "--read-only", "--tmpfs", "/tmp", image, "sh", "-c", "touch /tmp/file && echo ok")
	r := e.Run("run", "--rm", "--read-only", image, "touch", "/file")
	if r.Code != 1 || !strings.Contains(r.Err, "Read-only file system") {
		t.Errorf("--read-only: status %d, stderr %q", r.Code, r.Err)
	}
}

func TestMountsOwners(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := filepath.Join(e.Home, "shared")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e.OK("run", "--rm", "-v", dir+":/mnt", image, "sh", "-c", "echo x >/mnt/root; touch /mnt/other; chown 1000:1000 /mnt/other")
	owner := func(name string) int {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return int(st.Sys().(*syscall.Stat_t).Uid)
	}
	if got := owner("root"); got != os.Getuid() {
		t.Errorf("root's file belongs to %d on the host", got)
	}
	if got := owner("other"); got == os.Getuid() || got == 1000 {
		t.Errorf("uid 1000's file belongs to %d on the host, not to a subordinate id", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e.Is("0", "run", "--rm", "-v", dir+":/mnt", image, "stat", "-c", "%u", "/mnt/mine")
	e.OK("run", "--rm", "-v", dir+":/mnt", image, "rm", "/mnt/other")
}

func TestMountsKinds(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := filepath.Join(e.Home, "dir")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Is("content", "run", "--rm", "-v", file+":/etc/one.conf:ro", image, "cat", "/etc/one.conf")
	e.Is("content", "run", "--rm", "-v", dir+":/a/b/c", image, "cat", "/a/b/c/file")
	e.Is("content", "run", "--rm", "--mount", "type=bind,source="+dir+",target=/mnt,readonly", image, "cat", "/mnt/file")
	for _, flags := range [][]string{
		{"-v", dir + ":/mnt:ro"}, {"--mount", "type=bind,src=" + dir + ",dst=/mnt,ro"},
	} {
		args := append(append([]string{"run", "--rm"}, flags...), image, "sh", "-c", "touch /mnt/new; touch /mnt/sub/new; echo >>/mnt/file")
		if r := e.Run(args...); strings.Count(r.Err, "Read-only file system") != 3 {
			t.Errorf("%q: stderr %q", flags, r.Err)
		}
	}
	e.Is("700 tmpfs", "run", "--rm", "--tmpfs", "/scratch:size=64k,mode=700", image, "sh", "-c", "echo $(stat -c %a /scratch) $(stat -f -c %T /scratch)")
	r := e.Run("run", "--rm", "--tmpfs", "/scratch:size=64k", image, "sh", "-c", "dd if=/dev/zero of=/scratch/f bs=1k count=100")
	if r.Code == 0 || !strings.Contains(r.Err, "No space left") {
		t.Errorf("a full tmpfs: %+v", r)
	}
	e.Fails(125, "no such file", "run", "--rm", "-v", e.Home+"/missing:/mnt", image, "true")
	e.Fails(125, "absolute", "run", "--rm", "-v", dir+":mnt", image, "true")
	e.Fails(125, "nonsense", "run", "--rm", "-v", dir+":/mnt:nonsense", image, "true")
}

func TestThreat06MountTargetBehindLink(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	outside := filepath.Join(e.Home, "outside")
	given := filepath.Join(e.Home, "given")
	for _, dir := range []string{outside, given} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	e.OK("create", "--name", "linked", "-v", given+":/link/deep/down", image, "sh", "-c", "echo x >/link/deep/down/f")
	// The sandbox's own layer gets a link that names a directory of the host.
	e.OK("run", "--name", "evil", image, "ln", "-s", outside, "/link")
	upper := func(name string) string {
		return filepath.Join(e.Data, "sandboxes", e.OK("inspect", "-f", "{{.Id}}", name), "upper")
	}
	if err := os.Rename(filepath.Join(upper("evil"), "link"), filepath.Join(upper("linked"), "link")); err != nil {
		t.Fatal(err)
	}
	e.OK("start", "-a", "linked")
	if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
		t.Errorf("the target was made on the host: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(given, "f")); err != nil {
		t.Errorf("the mount is not where it should be: %v", err)
	}
}
