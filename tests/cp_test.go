package tests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// made makes a tree on the host that has something of everything.
func (e *Env) made(name string) string {
	e.t.Helper()
	dir := filepath.Join(e.Home, name)
	for _, err := range []error{
		os.MkdirAll(dir+"/sub", 0o755),
		os.WriteFile(dir+"/file", []byte("text\n"), 0o640),
		os.WriteFile(dir+"/sub/tool", []byte("#!/bin/sh\n"), 0o755),
		os.Link(dir+"/file", dir+"/sub/hard"),
		os.Symlink("file", dir+"/link"),
		syscall.Mkfifo(dir+"/pipe", 0o600),
	} {
		if err != nil {
			e.t.Fatal(err)
		}
	}
	return dir
}

const treeSeen = "0:0 640 2 ./file\n0:0 600 1 ./pipe\n0:0 640 2 ./sub/hard\n0:0 755 1 ./sub/tool"

// treeOf is what a sandbox has below a directory.
func (e *Env) treeOf(name, dir string) string {
	e.t.Helper()
	return e.OK("exec", name, "sh", "-c", "cd "+dir+" && find . ! -type d ! -type l | sort | xargs stat -c '%u:%g %a %h %n'")
}

func TestCopyBothWays(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := e.made("tree")
	e.OK("run", "-d", "--name", "up", image, "sleep", "1000")
	e.OK("create", "--name", "new", image, "sleep", "1000")
	e.OK("run", "--name", "ended", image, "sh", "-c", "echo left >/file")
	for _, name := range []string{"up", "new", "ended"} {
		e.OK("cp", dir, name+":/opt")
		e.OK("cp", dir+"/.", name+":/var")
		out := filepath.Join(e.Home, "out-"+name)
		e.OK("cp", name+":/opt", out)
		for path, want := range map[string]string{"/file": "text\n", "/sub/tool": "#!/bin/sh\n", "/sub/hard": "text\n"} {
			if got, err := os.ReadFile(out + path); err != nil || string(got) != want {
				t.Errorf("%s: %s came back as %q, %v", name, path, got, err)
			}
		}
		var st syscall.Stat_t
		if err := syscall.Stat(out+"/file", &st); err != nil || int(st.Uid) != os.Getuid() || st.Nlink != 2 || st.Mode&0o777 != 0o640 {
			t.Errorf("%s: what is copied out: %+v, %v", name, st, err)
		}
		if name != "up" {
			e.OK("start", name)
		}
		if name == "ended" {
			e.OK("wait", name) // it writes its file anew
			continue
		}
		if got := e.treeOf(name, "/opt"); got != treeSeen {
			t.Errorf("%s has\n%s", name, got)
		}
		if got := e.treeOf(name, "/var"); got != treeSeen {
			t.Errorf("%s has\n%s", name, got)
		}
	}
	e.OK("cp", "ended:/file", e.Home+"/left")
	if got, err := os.ReadFile(e.Home + "/left"); err != nil || string(got) != "left\n" {
		t.Errorf("of a sandbox that has ended: %q, %v", got, err)
	}
	e.OK("cp", "up:/opt", "ended:/between")
	e.OK("cp", "ended:/between/file", "up:/again")
	e.Is("text", "exec", "up", "cat", "/again")
	e.Fails(1, "no such sandbox", "cp", "nobody:/file", e.Home)
	e.Fails(1, "cannot be copied", "cp", "up:/proc/self/status", e.Home)
	e.Fails(1, "cannot be copied", "cp", "up:/sys/kernel", e.Home)
	e.Fails(1, "/proc or /sys", "cp", dir+"/file", "up:/proc/sys/kernel/")
	e.Fails(1, "device node", "cp", "up:/dev/null", e.Home)
}

func TestCopyOwners(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "up", image, "sleep", "1000")
	e.OK("exec", "up", "sh", "-c", "echo x >/tmp/f; chown 1000:50 /tmp/f; chmod 4755 /tmp/f")
	owner := func(path string) (uid uint32, mode uint32) {
		t.Helper()
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Uid, st.Mode & 0o7777
	}
	e.OK("cp", "up:/tmp/f", e.Home+"/plain")
	if uid, mode := owner(e.Home + "/plain"); int(uid) != os.Getuid() || mode != 0o755 {
		t.Errorf("without -a: owner %d, mode %o", uid, mode)
	}
	e.OK("cp", "-a", "up:/tmp/f", e.Home+"/kept")
	if uid, mode := owner(e.Home + "/kept"); int(uid) == os.Getuid() || uid == 1000 || mode != 0o4755 {
		t.Errorf("with -a: owner %d, mode %o", uid, mode)
	}
	e.OK("cp", e.Home+"/kept", "up:/tmp/roots")
	e.OK("cp", "-a", e.Home+"/kept", "up:/tmp/back")
	e.Is("0:0 4755\n1000:50 4755", "exec", "up", "stat", "-c", "%u:%g %a", "/tmp/roots", "/tmp/back")
	// In a directory that gives its group away too.
	e.OK("exec", "up", "sh", "-c", "mkdir /tmp/g; chgrp 7 /tmp/g; chmod 2777 /tmp/g")
	e.OK("cp", e.Home+"/plain", "up:/tmp/g/")
	e.Is("0:0", "exec", "up", "stat", "-c", "%u:%g", "/tmp/g/plain")
	e.OK("exec", "up", "rm", "-rf", "/tmp/f")
	e.OK("run", "--rm", "-v", e.Home+":/mnt", image, "rm", "/mnt/kept")
}

// A copy sees what the sandbox sees: binds, a tmpfs, single files.
func TestCopyMounts(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := e.made("tree")
	shared, one := filepath.Join(e.Home, "shared"), filepath.Join(e.Home, "one")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(one, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.OK("run", "-d", "--name", "up", "-v", shared+":/data", "-v", shared+":/fixed:ro", "-v", one+":/etc/one", "--tmpfs", "/scratch", image, "sleep", "1000")
	content := func(path, want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v", path, got, err)
		}
	}
	check := func() {
		t.Helper()
		e.OK("cp", dir+"/file", "up:/data/in")
		content(shared+"/in", "text\n")
		e.Fails(1, "read-only", "cp", dir+"/file", "up:/fixed/x")
		e.OK("cp", "up:/fixed/in", e.Home+"/back")
		content(e.Home+"/back", "text\n")
		e.OK("cp", dir+"/file", "up:/etc/one")
		content(one, "text\n")
	}
	check()
	// The mount is still there.
	e.OK("exec", "up", "sh", "-c", "echo inside >/etc/one")
	content(one, "inside\n")
	e.OK("cp", dir, "up:/scratch")
	if got := e.treeOf("up", "/scratch/tree"); got != treeSeen {
		t.Errorf("the tmpfs has\n%s", got)
	}
	e.OK("cp", "up:/scratch/tree/sub", e.Home+"/sub")
	content(e.Home+"/sub/tool", "#!/bin/sh\n")
	e.OK("cp", "up:/data/.", "up:/scratch")
	e.Is("text", "exec", "up", "cat", "/scratch/in")
	e.Fails(1, "into itself", "cp", e.Home+"/.", "up:/data")
	e.OK("stop", "-t", "0", "up")
	if err := os.WriteFile(one, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	check()
	e.Fails(1, "it does not run", "cp", dir+"/file", "up:/scratch/x")
	e.Fails(1, "it does not run", "cp", "up:/scratch", e.Home+"/scratch")
	// A program that has changed its root is not asked where that is.
	e.OK("run", "-d", "--name", "jailed", image, "sh", "-c", "mkdir -p /jail/bin; cp /bin/busybox /jail/bin; chroot /jail /bin/busybox sleep 1000")
	e.OK("cp", dir+"/file", "jailed:/top")
	e.Eventually("it has changed its root", func() bool { return e.Run("cp", "-q", "jailed:/jail/bin/busybox", e.Home+"/busybox").Code == 0 })
	e.OK("cp", "jailed:/top", e.Home+"/top")
	content(e.Home+"/top", "text\n")
	e.OK("run", "-d", "--name", "fixed", "--read-only", image, "sleep", "1000")
	e.Fails(1, "read-only", "cp", dir+"/file", "fixed:/x")
	e.OK("stop", "-t", "0", "fixed")
	e.Fails(1, "read-only", "cp", dir+"/file", "fixed:/x")
}

func TestCopyStreams(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "up", image, "sleep", "1000")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o750, Uid: 5, Gid: 6},
		{Typeflag: tar.TypeReg, Name: "d/.wh.f", Mode: 0o640, Uid: 5, Size: 4},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "text"[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	if _, err := zw.Write(b.Bytes()); err != nil || zw.Close() != nil {
		t.Fatal(err)
	}
	for _, packed := range []string{b.String(), z.String()} {
		if r := e.RunIn(packed, "cp", "-", "up:/var"); r.Code != 0 || r.Err != "" {
			t.Fatalf("cp -: %+v", r)
		}
		e.Is("5:6 750 /var/d\n5:0 640 /var/d/.wh.f", "exec", "up", "stat", "-c", "%u:%g %a %n", "/var/d", "/var/d/.wh.f")
		e.OK("exec", "up", "rm", "-rf", "/var/d/.wh.f")
	}
	e.OK("exec", "up", "sh", "-c", "echo y >/var/d/y; mknod /var/d/p p")
	for _, name := range []string{"up"} {
		r := e.Run("cp", name+":/var/d", "-")
		var got []string
		for in := tar.NewReader(strings.NewReader(r.Out)); ; {
			h, err := in.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v; %+v", err, r)
			}
			got = append(got, fmt.Sprint(h.Name, " ", h.Uid))
		}
		if want := "d/ 5,d/p 0,d/y 0"; r.Code != 0 || strings.Join(got, ",") != want {
			t.Errorf("cp - has %q, status %d, %s", got, r.Code, r.Err)
		}
	}
	for in, want := range map[string]string{"not an archive": "not a tar archive", b.String()[:1100]: "cut off"} {
		if r := e.RunIn(in, "cp", "-", "up:/var"); r.Code != 1 || !strings.Contains(r.Err, want) {
			t.Errorf("a bad archive: %+v", r)
		}
	}
	if r := e.RunIn(b.String(), "cp", "-", "up:/etc/passwd"); r.Code != 1 || !strings.Contains(r.Err, "not a directory") {
		t.Errorf("to a file: %+v", r)
	}
	e.Fails(1, "must be in a sandbox", "cp", "-", "up")
}

// waiting starts a copy into a sandbox that has begun and cannot go on.
func (e *Env) waiting(to string) *Proc {
	e.t.Helper()
	p := e.Start("cp", "-", to)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "first", Mode: 0o644, Size: 3})
	if err == nil {
		_, err = io.WriteString(w, "abc")
	}
	if err == nil {
		err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "second", Mode: 0o644, Size: 1 << 30})
	}
	if err != nil {
		e.t.Fatal(err)
	}
	b.Write(make([]byte, 3<<20))
	if _, err := p.In.Write(b.Bytes()); err != nil {
		e.t.Fatal(err)
	}
	return p
}

// A copy keeps a sandbox from being started or removed, and does not keep one that
// runs from ending.
func TestCopyHolds(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("create", "--name", "box", image, "sh", "-c", "ls /var; sleep 1000")
	p := e.waiting("box:/var")
	upper := func(name string) bool {
		found, err := filepath.Glob(e.Data + "/sandboxes/*/upper/var/" + name)
		return err == nil && len(found) > 0
	}
	e.Eventually("the first file is there", func() bool { return upper("first") })
	e.Fails(1, "being copied", "rm", "box")
	start := e.Start("start", "box")
	time.Sleep(200 * time.Millisecond)
	if got := e.OK("inspect", "-f", "{{.State.Status}}", "box"); got != "created" {
		t.Errorf("it is %s while files are copied into it", got)
	}
	p.Signal(syscall.SIGKILL)
	p.Wait()
	if r := start.Wait(); r.Code != 0 {
		t.Fatalf("start: %+v", r)
	}
	// No half file, and none with another name.
	e.Eventually("it has begun", func() bool { return e.OK("logs", "box") != "" })
	e.Is("first\ntmp", "logs", "box")

	if r := e.RunIn("", "cp", "-", "box:/missing"); r.Code != 1 || !strings.Contains(r.Err, "not a directory") {
		t.Errorf("%+v", r)
	}
	e.OK("exec", "box", "mkdir", "/into")
	p = e.waiting("box:/into")
	e.Eventually("the first file is there", func() bool { return e.Run("exec", "box", "test", "-e", "/into/first").Code == 0 })
	e.OK("stop", "-t", "0", "box")
	if r := p.Wait(); r.Code != 1 || !strings.Contains(r.Err, "has ended meanwhile") {
		t.Errorf("the copy into a sandbox that was stopped: %+v", r)
	}
	p = e.waiting("box:/into")
	time.Sleep(200 * time.Millisecond)
	e.OK("rm", "-f", "box")
	if r := p.Wait(); r.Code != 1 || !strings.Contains(r.Err, "removed") {
		t.Errorf("the copy into a sandbox that was removed: %+v", r)
	}
	if found, err := filepath.Glob(e.Data + "/sandboxes/*/config.json"); err != nil || len(found) != 0 {
		t.Errorf("left: %v, %v", found, err)
	}
}

// Whoever is killed in the middle of a copy leaves no half file and nothing open.
func TestCopyKilled(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "up", image, "sleep", "1000")
	big := filepath.Join(e.Home, "big")
	const size = 300 << 20
	if err := os.WriteFile(big, bytes.Repeat([]byte("0123456789abcdef"), size/16), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(e.Home, "out")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e.OK("cp", big, "up:/big")
	in := func() []string {
		return strings.Fields(e.OK("exec", "up", "sh", "-c", "cd /into && stat -c '%n=%s' $(ls -A)"))
	}
	for round := range 6 {
		e.OK("exec", "up", "sh", "-c", "rm -rf /into; mkdir /into; echo old >/into/big")
		wait := time.Duration(10+15*round) * time.Millisecond
		for _, args := range [][]string{{"cp", big, "up:/into/"}, {"cp", "up:/big", dir}} {
			p := e.Start(args...)
			time.Sleep(wait)
			if round%2 == 0 {
				p.Signal(syscall.SIGKILL)
			} else {
				p.Signal(syscall.SIGINT)
			}
			p.Wait()
		}
		for _, got := range in() {
			if got != "big=4" && got != fmt.Sprintf("big=%d", size) {
				t.Errorf("in the sandbox: %s", got)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range entries {
			if st, err := f.Info(); err == nil && (f.Name() != "big" || st.Size() != size) {
				t.Errorf("on the host: %s of %d bytes", f.Name(), st.Size())
			}
		}
	}
	// The supervisor too, with what it has mounted for a sandbox that does not run.
	e.OK("stop", "-t", "0", "up")
	for round := range 3 {
		p := e.Start("cp", big, "up:/into/late")
		time.Sleep(time.Duration(20+30*round) * time.Millisecond)
		for _, s := range e.roles()["supervisor"] {
			e.fell(s)
		}
		p.Wait()
	}
	e.OK("start", "up")
	for _, got := range in() {
		if got != "big=4" && got != fmt.Sprintf("big=%d", size) && got != fmt.Sprintf("late=%d", size) {
			t.Errorf("after the death of the supervisor: %s", got)
		}
	}
	e.OK("rm", "-f", "up")
}

func TestCopyFull(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "up", "--tmpfs", "/small:size=1m", image, "sleep", "1000")
	big := filepath.Join(e.Home, "big")
	if err := os.WriteFile(big, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(big, bytes.Repeat([]byte("x"), 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Fails(1, "no space left", "cp", big, "up:/small/")
	e.Is("", "exec", "up", "ls", "-A", "/small")
	e.Fails(1, "no such file", "cp", e.Home+"/nothing", "up:/small/")
}

// A program that swaps a directory for a link to the host's as fast as it can, while
// files are copied in both directions: CVE-2018-15664, CVE-2019-10152.
func TestThreat23CopyRacesProgram(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	outside := e.outside()
	if err := os.WriteFile(outside+"/secret", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(outside)
	if err != nil {
		t.Fatal(err)
	}
	tree := e.made("tree")
	// The link names what is outside by its path on the host, and by way of "..".
	e.OK("run", "-d", "--name", "up", image, "sh", "-c",
		"mkdir -p /a/dir; echo own >/a/dir/own; ln -s "+outside+" /a/abs; ln -s ../../../../../../../.."+outside+" /a/rel; "+
			"cd /a; while true; do mv dir d1; mv abs dir; mv dir abs; mv rel dir; mv dir rel; mv d1 dir; done")
	end := time.Now().Add(3 * time.Second)
	through := 0
	for n := 0; time.Now().Before(end); n++ {
		if e.Run("cp", tree+"/.", "up:/a/dir").Code == 0 {
			through++
		}
		out := filepath.Join(e.Home, fmt.Sprint("out", n))
		if e.Run("cp", "up:/a/dir/.", out).Code == 0 {
			through++
			entries, err := os.ReadDir(out)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range entries {
				for _, host := range before {
					if f.Name() == host.Name() {
						t.Fatalf("%s of the host was read", f.Name())
					}
				}
			}
		}
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.ReadDir(outside)
	if err != nil || len(after) != len(before) {
		t.Fatalf("the host's directory had %v and has %v, %v", before, after, err)
	}
	if through == 0 {
		t.Error("no copy got through: this tests nothing")
	}
}

// The disk of the sandboxes is full in the middle of a copy: a clear error, and nothing
// of it is left.
func TestCopyDiskFull(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	j := e.jail("mount -t tmpfs -o mode=700,size=24m sbx-full " + e.Data)
	j.must(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "busybox")
	big := filepath.Join(e.Home, "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("x"), 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	j.must(nil, "run", "-d", "--network", "none", "--name", "up", "busybox", "sleep", "1000")
	j.must(nil, "create", "--network", "none", "--name", "created", "busybox", "true")
	for _, name := range []string{"up", "created", "up"} {
		r := j.Run(nil, "cp", big, name+":/big")
		if r.Code != 1 || !strings.Contains(r.Err, "no space left") || strings.Count(r.Err, "\n") != 1 || r.Out != "" {
			t.Errorf("cp to %s: %+v", name, r)
		}
		if out := j.must(nil, "diff", name); out != "" {
			t.Errorf("in %s is left: %s", name, out)
		}
	}
	// What it has taken is free again.
	if err := os.Truncate(big, 12<<20); err != nil {
		t.Fatal(err)
	}
	j.must(nil, "cp", big, "up:/big")
	j.must(nil, "rm", "-f", "up", "created")
}
