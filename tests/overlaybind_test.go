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

// What a program writes over a source with the option O is seen by it, and by nobody else:
// not on the host, not after its end, not in an image.
func TestOverlayBind(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	dir := e.made("tree")
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	before := packed(t, dir)
	change := "rm -r /m/sub && mkdir /m/sub && echo new >/m/sub/new && echo more >>/m/file && chmod 700 /m && stat -c '%a %u:%g' /m && find /m/sub && tail -n 1 /m/file"
	uid, gid, _ := myself(t)
	for _, c := range []struct {
		name, owner string
		flags       []string
	}{
		{"as root", "0:0", nil}, {"as oneself", uid + ":" + gid, []string{"--userns", "keep-id"}},
		{"with privileges", "0:0", []string{"--privileged"}}, {"read-only", "0:0", []string{"--read-only"}},
	} {
		if c.flags != nil && c.flags[0] == "--userns" {
			Need(t, "fuse")
		}
		args := append(append([]string{"run", "--rm", "-v", dir + ":/m:O"}, c.flags...), image, "sh", "-c", change)
		if r := e.Run(args...); r.Code != 0 || r.Out != "700 "+c.owner+"\n/m/sub\n/m/sub/new\nmore\n" {
			t.Errorf("%s: %+v", c.name, r)
		}
		if after := packed(t, dir); after != before {
			t.Errorf("%s: the source has been changed", c.name)
		}
	}
	// U gives the overlay away, and not the source.
	e.Is("70:70", "run", "--rm", "-u", "70:70", "-v", dir+":/m:O,U", image, "sh", "-c", "echo x >>/m/file && stat -c %u:%g /m/file")
	// A volume is a source like any other, and is filled first.
	e.Is("text", "run", "--rm", "-v", "db:/data:O", image, "sh", "-c", "rm -r /data/sub && cat /data/file && echo x >/data/file")
	e.Is("text\ntext", "run", "--rm", "-v", "db:/data", image, "cat", "/data/file", "/data/sub/hard")
	if r := e.Run("run", "--rm", "-v", dir+":/m:O,ro", image, "touch", "/m/x"); !strings.Contains(r.Err, "Read-only file system") {
		t.Errorf("with ro: %+v", r)
	}
	// Two of them, one in the other, and in the host's own root.
	e.Is("text\nx", "run", "--rm", "-v", dir+":/m:O", "-v", "db:/m/sub:O", image, "sh", "-c", "cat /m/sub/file; echo x >/m/sub/file; cat /m/sub/file")
	e.Is("x", "run", "--rm", "-v", dir+":/mnt:O", "host", "sh", "-c", "echo x >/mnt/file; cat /mnt/file")
	if after := packed(t, dir); after != before {
		t.Error("the source has been changed")
	}
}

// packed is all that can be said of a tree, but for the time of the last reading.
func packed(t testing.TB, dir string) string {
	t.Helper()
	out, err := exec.Command("tar", "-C", dir, "--sort=name", "--xattrs", "--pax-option=delete=atime", "-cf", "-", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// It is gone with the program, not only with the sandbox.
func TestOverlayBindEnds(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	dir := e.made("tree")
	e.OK("run", "--name", "box", "-v", dir+":/new:O", image, "sh", "-c", "test ! -e /new/was && touch /new/was")
	e.Eventually("it is cleared", func() bool {
		found, err := filepath.Glob(filepath.Join(e.Data, "sandboxes/*/overlays"))
		return err == nil && len(found) == 0
	})
	e.OK("start", "-a", "box")
	e.Is("A /new", "diff", "box")
	e.Fails(1, "an overlay is mounted at /new", "cp", "box:/new/file", e.Home+"/out")
	e.OK("commit", "box", "copy")
	e.Is("", "run", "--rm", "copy", "ls", "/new")
	e.OK("start", "box")
	// Another one with the same source begins anew.
	e.Is("no", "run", "--rm", "--volumes-from", "box", image, "sh", "-c", "test -e /new/was || echo no; touch /new/was2")
	for _, name := range []string{"was", "was2"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is in the source", name)
		}
	}
	if err := os.Rename(dir, dir+"-moved"); err != nil {
		t.Fatal(err)
	}
	e.Fails(125, "must exist", "start", "-a", "box")
	if _, err := os.Lstat(dir); err == nil {
		t.Error("a source that is gone has been made")
	}
}

func TestOverlayBindRefused(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	dir := e.made("tree")
	for want, volume := range map[string]string{
		"is for directories":          dir + "/file:/m:O",
		"goes with the sandbox":       dir + ":/m:O,upperdir=/tmp,workdir=/tmp",
		"does not show what the host": "/dev:/m:O,rslave",
		"name a directory without":    "/:/m:O",
		"data directory of sbx":       e.Data + ":/m:O",
	} {
		if want == "does not show what the host" && !shared(t, "/dev") {
			continue
		}
		e.Fails(125, want, "run", "--rm", "-v", volume, image, "true")
	}
}

// shared says whether the host's mount at a place is a shared one.
func shared(t testing.TB, at string) bool {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[4] == at && strings.Contains(line, " shared:") {
			return true
		}
	}
	return false
}

// The source is a link that is turned from one directory to another while sandboxes start:
// nothing is written to any of them.
func TestThreat14OverlaySourceSwapped(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(e.Home, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(e.Home, name, "name"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(e.Home, "link")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	stop, turns := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { turns <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			os.Symlink([]string{"one", "two"}[n%2], link+".new")
			os.Rename(link+".new", link)
			time.Sleep(time.Millisecond)
		}
	}()
	seen := map[string]int{}
	for i := range 40 {
		r := e.Run("run", "--rm", "-v", link+":/m:O", image, "sh", "-c", "cat /m/name; echo x >/m/name; touch /m/new"+strconv.Itoa(i))
		switch {
		case r.Code == 0 && (r.Out == "one" || r.Out == "two"):
			seen[r.Out]++
		case r.Code == 125 && strings.Contains(r.Err, "another file"):
			seen["refused"]++
		default:
			t.Fatalf("%+v", r)
		}
	}
	close(stop)
	if n := <-turns; n < 40 || len(seen) < 2 {
		t.Errorf("turned %d times, seen %v", n, seen)
	}
	for _, name := range []string{"one", "two"} {
		entries, err := os.ReadDir(filepath.Join(e.Home, name))
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: %v %v", name, entries, err)
		}
		if text, err := os.ReadFile(filepath.Join(e.Home, name, "name")); err != nil || string(text) != name {
			t.Errorf("%s: %q %v", name, text, err)
		}
	}
}
