package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of an image beside those of the sandbox's own: as that image has them, and for
// nobody to change.
func TestImageMount(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	seeded := e.Seeded()
	image := e.Busybox()
	mount := "type=image,source=" + seeded + ",target=/img"
	seen := "cat /img/data/file; stat -c %u:%g /img/data; ls -d /img/proc/* /img/dev/* 2>/dev/null; touch /img/new"
	flags := [][]string{nil, {"-u", "0", "--privileged"}, {"--read-only"}}
	if _, err := os.Stat("/dev/fuse"); err == nil {
		flags = append(flags, []string{"--userns", "keep-id", "-u", "0"})
	}
	for _, flags := range flags {
		args := append(append([]string{"run", "--rm", "--mount", mount}, flags...), image, "sh", "-c", seen)
		if r := e.Run(args...); r.Out != "text\n70:71\n" || !strings.Contains(r.Err, "Read-only file system") {
			t.Errorf("%q: %+v", flags, r)
		}
	}
	e.Is("file\nlink\nsub", "run", "--rm", "--mount", mount+",subpath=data", image, "sh", "-c", "ls /img")
	e.Is("text", "run", "--rm", "--mount", mount+",image-subpath=data/file", image, "cat", "/img")
	e.Is("file", "run", "--rm", "--mount", mount+",subpath=in", image, "sh", "-c", "ls /img | head -n 1")
	// A link in the image leads to the image, whatever it says.
	e.Fails(125, "must exist", "run", "--rm", "--mount", mount+",subpath=out", image, "true")
	e.Fails(125, "no image of this name", "run", "--rm", "--mount", "type=image,src=missing,dst=/img", image, "true")
	e.Is("directory", "run", "--rm", "--mount", strings.Replace(mount, "/img", "/mnt", 1), "host", "stat", "-c", "%F", "/mnt/data")
	// With rw, the changes are the sandbox's own.
	for range 2 {
		e.Is("text\nx", "run", "--rm", "--mount", mount+",rw", image, "sh", "-c", "cat /img/data/file; echo x >/img/data/file; cat /img/data/file; rm -r /img/data")
	}
	// The sandbox's own image, once more.
	e.Is("text", "run", "--rm", "--mount", mount, seeded, "cat", "/img/data/file")
}

// The image stays as long as a sandbox has it, and the sandbox keeps the one that it was
// made with.
func TestImageMountStays(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	seeded := e.Seeded()
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", "--mount", "type=image,src="+seeded+",dst=/img", image, "sleep", "1000")
	e.Fails(1, "sandbox box uses it", "rmi", seeded)
	e.OK("tag", image, seeded) // the name means another one from now on
	e.Is("text", "exec", "box", "cat", "/img/data/file")
	e.OK("stop", "-t", "0", "box")
	e.Fails(1, "an image is mounted at /img", "cp", "box:/img/data/file", e.Home+"/out")
	kill(t, e.roles()["supervisor"][0])
	e.OK("start", "box")
	e.Is("text", "exec", "box", "cat", "/img/data/file")
	e.Is("A /img", "diff", "box")
	e.OK("rm", "-f", "box")
	e.Eventually("nothing is left of it", func() bool {
		found, err := filepath.Glob(filepath.Join(e.Data, "owners/image-*"))
		return err == nil && len(found) == 0
	})
}
