package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// passthrough mounts a directory of the user's at another place by FUSE, as sshfs would
// one of another machine, and gives both. die kills the server, and leaves the mount.
func (e *Env) passthrough() (from, at string, die func()) {
	t := e.t
	t.Helper()
	// Not a directory of the instance's: it shows in the mount namespaces of others.
	top := t.TempDir()
	from, at = filepath.Join(top, "from"), filepath.Join(top, "at")
	for _, dir := range []string{filepath.Join(from, "sub"), at} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"file": "text", "sub/deep": "deep"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("bindfs", "-f", "--no-allow-other", from, at)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	die = func() {
		c.Process.Kill()
		c.Wait()
	}
	t.Cleanup(func() {
		die()
		if err := output("fusermount3", "-u", "-z", at); err != nil {
			t.Error(err)
		}
	})
	e.Eventually("it is mounted", func() bool {
		_, err := os.Lstat(filepath.Join(at, "file"))
		return err == nil
	})
	return from, at, die
}

// What the user has mounted by FUSE is a source as any other, for who is the user.
func TestFuseSource(t *testing.T) {
	t.Parallel()
	Need(t, "bindfs")
	e := Sbx(t)
	from, at, _ := e.passthrough()
	image := e.Busybox()
	e.Is("text\ndeep", "run", "--rm", "-v", at+":/s", image, "sh", "-c", "cat /s/file; echo; cat /s/sub/deep; echo new >/s/new")
	if text, err := os.ReadFile(filepath.Join(from, "new")); string(text) != "new\n" {
		t.Errorf("written: %q, %v", text, err)
	}
	e.Is("text", "run", "--rm", "-v", at+"/file:/s", image, "cat", "/s")
	e.Is("deep", "run", "--rm", "-v", at+"/sub:/s", image, "cat", "/s/deep")
	e.Is("text", "run", "--rm", "--mount", "type=bind,source="+at+",target=/s", image, "cat", "/s/file")
	uid := strconv.Itoa(os.Getuid())
	e.Is(uid+" /s/mine", "run", "--rm", "--userns", "keep-id", "-v", at+":/s", image, "sh", "-c", "echo >/s/mine; stat -c '%u %n' /s/mine")
	e.Is("text", "run", "--rm", "--cap-add", "SYS_ADMIN", "-v", at+":/s", image, "cat", "/s/file")
	e.Is("text\nx", "run", "--rm", "-v", at+":/s:O", image, "sh", "-c", "cat /s/file; echo; echo x >/s/file; rm -r /s/sub; cat /s/file")
	if text, err := os.ReadFile(filepath.Join(from, "file")); string(text) != "text" {
		t.Errorf("below an overlay: %q, %v", text, err)
	}
	// Somebody else it is not for, and that is FUSE's rule.
	if r := e.Run("run", "--rm", "-u", "5", "-v", at+":/s", image, "cat", "/s/file"); r.Code != 1 || !strings.Contains(r.Err, "Permission denied") {
		t.Errorf("as somebody else: %+v", r)
	}
	// Read-only is, itself and below something else.
	for source, path := range map[string]string{at: "/s", filepath.Dir(at): "/s/at"} {
		for _, flags := range [][]string{nil, {"--cap-add", "SYS_ADMIN"}} {
			args := append(append([]string{"run", "--rm"}, flags...), "-v", source+":/s:ro", image, "sh", "-c",
				"cat "+path+"/file; mount -o remount,rw,bind "+path+" 2>/dev/null; touch "+path+"/x 2>&1")
			if r := e.Run(args...); r.Code != 1 || r.Out != "texttouch: "+path+"/x: Read-only file system\n" {
				t.Errorf("%q: %+v", args, r)
			}
		}
	}
}

// A server that has died is said to have, by the source's name, before a program runs.
func TestFuseSourceDead(t *testing.T) {
	t.Parallel()
	Need(t, "bindfs")
	e := Sbx(t)
	_, at, die := e.passthrough()
	image := e.Busybox()
	e.Is("text", "run", "--rm", "-v", at+":/s", image, "cat", "/s/file")
	die()
	const words = `transport endpoint is not connected: the FUSE server of it has died: unmount it with fusermount3 -u`
	// At once the kernel still knows what the server has said of the directory, and a
	// second later no more.
	for range 2 {
		for _, flags := range [][]string{nil, {"--cap-add", "SYS_ADMIN"}} {
			r := e.Run(append(append([]string{"run", "--rm"}, flags...), "-v", at+":/s", image, "true")...)
			if r.Code != 125 || !strings.Contains(r.Err, words) || !strings.Contains(r.Err, at) || strings.Count(r.Err, "\n") != 1 {
				t.Errorf("%q: %+v", flags, r)
			}
		}
		time.Sleep(1200 * time.Millisecond)
	}
	// What lies above it can be shown, and the rest of it read.
	e.Is("from", "run", "--rm", "-v", filepath.Dir(at)+":/s:ro", image, "sh", "-c", "ls /s 2>/dev/null; true")
}
