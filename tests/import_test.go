package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestImportBusybox(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	id := e.OK("import", "-c", `CMD ["echo", "from the image"]`, "-c", "ENV A=b", "-c", "WORKDIR /usr", os.Getenv("SBX_TEST_BUSYBOX"), "small:v1")
	if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(id) {
		t.Errorf("import printed %q, want an image id", id)
	}
	e.Is("from the image", "run", "--rm", "small:v1")
	e.Is("b /usr", "run", "--rm", "small:v1", "sh", "-c", `echo "$A $PWD"`)
	e.Fails(125, "small", "run", "--rm", "small", "true") // it has no :latest

	// Two sandboxes of an image do not see each other's files, nor the image.
	one := e.OK("run", "-d", "small:v1", "sh", "-c", "echo 1 >/f; exec sleep 1000")
	two := e.OK("run", "-d", "small:v1", "sh", "-c", "echo 2 >/f; exec sleep 1000")
	for id, want := range map[string]string{one: "1\n", two: "2\n"} {
		e.Eventually("the file is there", func() bool { return e.Run("exec", id, "cat", "/f").Out == want })
	}
	if r := e.Run("run", "--rm", "small:v1", "cat", "/f"); r.Code != 1 {
		t.Errorf("the image has what a sandbox wrote: %+v", r)
	}

	// What a sandbox wrote is there when it starts again.
	e.Run("run", "--name", "again", "small:v1", "sh", "-c", "echo x >>/n; cat /n")
	r := e.Run("start", "-a", "again")
	if r.Out != "x\nx\n" {
		t.Errorf("second start: %+v", r)
	}
}

func TestImportFromPipeAndCompressed(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay", "zstd", "xz")
	e := Sbx(t)
	archive := os.Getenv("SBX_TEST_BUSYBOX")
	dir := t.TempDir()
	for _, c := range []struct{ name, tool string }{{"gz", "gzip"}, {"xz", "xz"}, {"zst", "zstd"}} {
		file := filepath.Join(dir, "root.tar."+c.name)
		if out, err := exec.Command("sh", "-c", c.tool+" -1 -c <'"+archive+"' >'"+file+"'").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.tool, err, out)
		}
		e.OK("import", file, c.name)
		e.Is("ok", "run", "--rm", c.name, "echo", "ok")
	}
	raw, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if r := e.RunIn(string(raw), "import", "-", "piped"); r.Code != 0 {
		t.Fatalf("import -: %+v", r)
	}
	e.Is("ok", "run", "--rm", "piped", "echo", "ok")
	e.Fails(1, "no-such.tar", "import", filepath.Join(dir, "no-such.tar"), "x")
	if r := e.RunIn(string(raw[:len(raw)/2]), "import", "-", "half"); r.Code == 0 {
		t.Error("half an archive was imported")
	}
	e.Fails(125, "half", "run", "--rm", "half", "true")
}

// A real distribution, and a real program in it.
func TestImportDebian(t *testing.T) {
	t.Parallel()
	Need(t, "rootfs", "overlay")
	e := Sbx(t)
	e.OK("import", os.Getenv("SBX_TEST_ROOTFS"), "debian")
	e.Is("45", "run", "--rm", "debian", "python3", "-c", "print(sum(range(10)))")
	if r := e.RunIn("b\na\n", "run", "--rm", "-i", "debian", "python3", "-c", "import sys; print(''.join(sorted(sys.stdin)), end='')"); r.Out != "a\nb\n" {
		t.Errorf("python3 on a pipe: %+v", r)
	}
	if out := e.OK("run", "--rm", "debian", "ps", "-e", "-o", "pid,comm"); strings.Count(out, "\n") != 1 {
		t.Errorf("ps inside shows others:\n%s", out)
	}
	// Owners other than root survive the import, and may be changed: subordinate ids.
	e.Is("0:42", "run", "--rm", "debian", "stat", "-c", "%u:%g", "/etc/shadow")
	e.Is("33 33", "run", "--rm", "debian", "sh", "-c", "touch /f && chown www-data:www-data /f && stat -c '%u %g' /f")
	e.Is("1000", "run", "--rm", "debian", "sh", "-c", "useradd -m someone && su someone -c 'id -u'")
}
