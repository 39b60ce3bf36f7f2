package tests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Seeded is an image with something of its own at /data, owned by another user.
func (e *Env) Seeded() string {
	e.t.Helper()
	e.OK("run", "--name", "seed", e.Busybox(), "sh", "-c", "mkdir -p /data/sub /bare && echo text >/data/file && ln /data/file /data/sub/hard && "+
		"ln -s file /data/link && chown -R 70:71 /data && chmod 1770 /data && ln -s ../../../../../../../.."+e.Home+" /out && ln -s /data /in")
	archive := filepath.Join(e.Home, "seeded.tar")
	e.export(archive, "seed")
	e.OK("rm", "seed")
	e.OK("import", archive, "seeded")
	return "seeded"
}

// volumeDirs are the directories that are there for volumes.
func (e *Env) volumeDirs() []string {
	e.t.Helper()
	entries, err := os.ReadDir(filepath.Join(e.Data, "volumes"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		e.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func (e *Env) noVolumesLeft() {
	e.t.Helper()
	e.Eventually("no volume is left", func() bool { return len(e.volumeDirs()) == 0 })
}

func TestVolumesNamed(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	e.OK("run", "--rm", "-v", "db:/plain", image, "sh", "-c", "echo written >/plain/file")
	at := e.OK("volume", "inspect", "-f", "{{.Mountpoint}}", "db")
	if !strings.HasSuffix(at, "/volumes/db/_data") {
		t.Errorf("Mountpoint is %s", at)
	}
	if text, err := os.ReadFile(at + "/file"); err != nil || string(text) != "written\n" {
		t.Errorf("on the host: %q, %v", text, err)
	}
	if err := os.WriteFile(at+"/from-host", []byte("host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Is("host", "run", "--rm", "-v", "db:/elsewhere:ro", image, "cat", "/elsewhere/from-host")
	r := e.Run("run", "--rm", "-v", "db:/x:ro", image, "touch", "/x/new")
	if r.Code == 0 || !strings.Contains(r.Err, "Read-only file system") {
		t.Errorf(":ro: %+v", r)
	}
	e.OK("create", "--name", "user1", "-v", "db:/x", image, "true")
	e.Fails(1, "in use by user1", "volume", "rm", "db")
	e.Is("user1", "ps", "-a", "--filter", "volume=db", "--format", "{{.Names}}")
	e.OK("rm", "-v", "user1") // a volume with a name stays
	e.Is("db", "volume", "ls", "-q")
	e.Is("db", "volume", "rm", "db")
	e.Fails(1, "no such volume", "volume", "rm", "db")
	e.Is("db", "volume", "rm", "-f", "db")
	e.noVolumesLeft()
	log := e.OK("events", "--since", "10m", "--until", "0s", "--filter", "type=volume", "--format", "{{.Action}}")
	if want := "create\nmount\nunmount\nmount\nunmount\nmount\nunmount\ndestroy"; log != want {
		t.Errorf("events:\n%s\nwant\n%s", log, want)
	}
}

func TestVolumesAreFilled(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	const look = "cd /data && stat -c '%n %u:%g %a %h' . file sub/hard && readlink link"
	const want = ". 70:71 1770 3\nfile 70:71 644 2\nsub/hard 70:71 644 2\nfile"
	e.Is(want, "run", "--rm", "-v", "db:/data", image, "sh", "-c", look)
	e.Is(want, "run", "--rm", "-v", "/data", image, "sh", "-c", look)
	e.Is(want, "run", "--rm", "--mount", "target=/data", image, "sh", "-c", look)
	e.Is(want, "run", "--rm", "-v", "by-link:/in", image, "sh", "-c", look)
	// Once it has something, it is left as it is; and it is filled as long as it has not.
	e.OK("run", "--rm", "-v", "db:/data", image, "rm", "/data/file")
	e.Is("sub", "run", "--rm", "-v", "db:/data", image, "sh", "-c", "ls /data | grep -v link")
	e.OK("run", "--rm", "-v", "late:/bare", image, "true")
	e.Is(want, "run", "--rm", "-v", "late:/data", image, "sh", "-c", look)
	for _, flags := range [][]string{{"-v", "none:/data:nocopy"}, {"--mount", "src=none,dst=/data,volume-nocopy"}, {"-v", e.Home + "/given:/data"}} {
		if err := os.MkdirAll(filepath.Join(e.Home, "given"), 0o755); err != nil {
			t.Fatal(err)
		}
		e.Is("0:0 755", append(append([]string{"run", "--rm"}, flags...), image, "sh", "-c", "ls -A /data; stat -c '%u:%g %a' /data")...)
	}
	// A read-only root has one as well, and only the volume can be written.
	e.Is("text", "run", "--rm", "--read-only", "-v", "ro:/data", image, "sh", "-c", "touch /data/new && cat /data/file")
}

// CVE-2022-23648: a link in the image at the place of a volume leads nowhere but
// within the image.
func TestThreat18VolumeBehindALink(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	if err := os.WriteFile(filepath.Join(e.Home, "secret"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.OK("import", "--change", "VOLUME /out /../../out/sub", filepath.Join(e.Home, "seeded.tar"), "evil")
	for _, args := range [][]string{{"-v", "vol:/out", image}, {"-v", "vol:/out/deeper", image}, {"evil"}} {
		r := e.Run(append(append([]string{"run", "--rm"}, args...), "sh", "-c", "find /out/ /data -name secret; touch /out/sub/made /out/made")...)
		if strings.Contains(r.Out, "secret") {
			t.Errorf("%q: the host's file is seen: %q", args, r.Out)
		}
	}
	err := filepath.WalkDir(filepath.Join(e.Data, "volumes"), func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) == "secret" {
			t.Errorf("the host's file was copied to %s", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, name := range []string{"made", "sub", "deeper"} {
		if _, err := os.Lstat(filepath.Join(e.Home, name)); err == nil {
			t.Errorf("%s was made on the host", name)
		}
	}
}

func TestVolumesAnonymous(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Seeded()
	e.OK("import", "--change", "VOLUME /data /vol", filepath.Join(e.Home, "seeded.tar"), "declares")
	e.OK("run", "--rm", "-v", "/extra", "declares", "sh", "-c", "echo 1 >/vol/f; echo 2 >/extra/f; cat /data/file >/dev/null")
	e.noVolumesLeft() // with --rm they go
	e.OK("run", "--name", "box", "-v", "keep:/vol", "-v", "/extra", "declares", "sh", "-c", "echo 1 >/vol/f; echo 2 >/extra/f")
	e.Is("/vol volume keep;/extra volume;/data volume;", "inspect", "-f",
		`{{range .Mounts}}{{.Destination}} {{.Type}}{{if eq .Name "keep"}} keep{{end}};{{end}}`, "box")
	if n := len(e.volumeDirs()); n != 3 {
		t.Errorf("%d volumes, want 3", n)
	}
	e.Is("2", "run", "--rm", "--volumes-from", "box", "seeded", "cat", "/extra/f")
	r := e.Run("run", "--rm", "--volumes-from", "box:ro", "seeded", "sh", "-c", "cat /vol/f && touch /extra/no")
	if r.Out != "1\n" || !strings.Contains(r.Err, "Read-only file system") {
		t.Errorf("--volumes-from box:ro: %+v", r)
	}
	// What is given counts before what others have.
	e.Is("", "run", "--rm", "--volumes-from", "box", "--tmpfs", "/extra", "seeded", "ls", "/extra")
	e.OK("create", "--name", "heir", "--volumes-from", "box", "seeded", "cat", "/extra/f")
	e.OK("rm", "-v", "box")
	e.Is("2", "start", "-a", "heir") // its anonymous volumes are in use
	e.OK("rm", "-v", "heir")
	e.Is("keep", "volume", "ls", "-q")
	e.OK("run", "--name", "left", "-v", "/extra", "seeded", "true")
	e.OK("rm", "left") // without -v they stay
	if out := e.OK("volume", "prune", "-f"); !strings.HasPrefix(out, "Deleted Volumes:\n") || strings.Contains(out, "keep") || !strings.Contains(out, "Total reclaimed space: ") {
		t.Errorf("prune: %q", out)
	}
	e.Is("keep", "volume", "ls", "-q")
	e.OK("volume", "prune", "-af")
	e.noVolumesLeft()
	e.Fails(125, "no such sandbox", "run", "--rm", "--volumes-from", "no-such", "seeded", "true")
}

// A mount in any order, at places that do not exist, on files and below links.
func TestVolumesInAnyOrder(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	dir := e.made("tree")
	e.OK("run", "--rm", "-v", "deep:/a/b/c/d", "-v", dir+":/a/b", "-v", "top:/a", "-v", dir+"/file:/a/b/c/d/one", "-v", "/a/b/c", image,
		"sh", "-c", "test -f /a/b/file && test -f /a/b/c/d/one && test ! -e /a/b/c/file && echo x >/a/b/c/d/two")
	if _, err := os.Stat(filepath.Join(e.Data, "volumes/deep/_data/two")); err != nil {
		t.Error(err)
	}
	// What is mounted below makes its place in what it is mounted on, as with Docker.
	if _, err := os.Stat(filepath.Join(e.Data, "volumes/top/_data/b")); err != nil {
		t.Error(err)
	}
	long := strings.Repeat("n", 255)
	e.OK("run", "--rm", "-v", "deep:/"+long+"/"+long, image, "test", "-f", "/"+long+"/"+long+"/two")
	e.Fails(125, "name too long", "run", "--rm", "-v", "deep:/"+long+"n", image, "true")
	e.Fails(125, "not UTF-8", "run", "--rm", "-v", "deep:/a\xff", image, "true")
	e.Fails(125, "not a directory", "run", "--rm", "-v", "deep:/data/file", image, "true")
	e.OK("run", "--rm", "-v", dir+"/pipe:/p", "-v", dir+":/home/me", "-e", "HOME=/home/me", image, "sh", "-c", "test -p /p && test -f ~/file")
	gone := filepath.Join(e.Home, "gone")
	if err := os.Mkdir(gone, 0o755); err != nil {
		t.Fatal(err)
	}
	e.OK("create", "--name", "orphan", "-v", gone+":/mnt", image, "true")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	r := e.Run("start", "orphan")
	if r.Code == 0 || !strings.Contains(r.Err, gone+": no such file or directory") {
		t.Errorf("a source that has gone: %+v", r)
	}
}

func TestVolumesSubpath(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	e.OK("run", "--rm", "-v", "db:/v", image, "sh", "-c", "mkdir -p /v/a/b && echo x >/v/a/b/f && ln -s ../../../../../.. /v/up && ln -s / /v/root && ln -s a/b /v/ab")
	e.Is("f", "run", "--rm", "--mount", "src=db,dst=/mnt,volume-subpath=a/b", image, "ls", "/mnt")
	e.Is("f", "run", "--rm", "--mount", "src=db,dst=/mnt,subpath=ab", image, "ls", "/mnt")
	e.Is("x", "run", "--rm", "--mount", "src=db,dst=/etc/f,volume-subpath=a/b/f,ro", image, "cat", "/etc/f")
	for _, link := range []string{"up", "root"} { // they lead to the volume's own root
		e.Is("a", "run", "--rm", "--mount", "src=db,dst=/mnt,volume-subpath="+link, image, "sh", "-c", "ls /mnt | head -n 1")
	}
	e.Fails(125, "must exist", "run", "--rm", "--mount", "src=db,dst=/mnt,volume-subpath=none", image, "true")
}

// Another sandbox swaps the subpath for a link that leads out, as fast as it can:
// what is mounted is in the volume, or it is an error.
func TestThreat06SubpathSwapped(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	if err := os.WriteFile(filepath.Join(e.Home, "secret"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	e.OK("run", "-d", "--name", "swapper", "-v", "db:/v", image, "sh", "-c", "mkdir /v/real && touch /v/real/inside && ln -s "+up+e.Home+" /v/link && "+
		"while :; do mv -T /v/real /v/p; mv -T /v/p /v/real; mv -T /v/link /v/p; mv -T /v/p /v/link; done 2>/dev/null")
	e.Eventually("it swaps", func() bool { _, err := os.Lstat(filepath.Join(e.Data, "volumes/db/_data/link")); return err == nil })
	seen := map[string]int{}
	for range 40 {
		r := e.Run("run", "--rm", "--mount", "src=db,dst=/mnt,volume-subpath=p", image, "ls", "/mnt")
		switch {
		case r.Code == 0 && r.Out == "inside\n":
			seen["inside"]++
		case r.Code == 125 && r.Out == "":
			seen["refused"]++
		default:
			t.Fatalf("%+v", r)
		}
	}
	if seen["inside"] == 0 || seen["refused"] == 0 {
		t.Errorf("%v: this tests nothing", seen)
	}
	e.OK("rm", "-f", "swapper")
}

func TestVolumesOptions(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	dir := e.made("tree")
	e.Is("x", "run", "--rm", "-v", dir+":/m:z,cached,rprivate,rw", image, "sh", "-c", "echo x >/m/new && cat /m/new")
	r := e.Run("run", "--rm", "-v", dir+":/m:noexec", image, "/m/sub/tool")
	if r.Code != 126 || !strings.Contains(r.Err, "ermission denied") {
		t.Errorf("noexec: %+v", r)
	}
	e.OK("run", "--rm", "-v", dir+":/m", image, "sh", "/m/sub/tool")
	// U: what is there belongs to the program's user, by the numbers of the sandbox.
	e.Is("70:70 f\n70:70 d", "run", "--rm", "-u", "70:70", "-v", "own:/m", "-v", dir+":/s:U", image, "sh", "-c",
		"touch /s/made && echo $(stat -c %u:%g /s/file) f && echo $(stat -c %u:%g /s/sub) d")
	e.OK("run", "--rm", "-v", dir+":/s:U", image, "true")
	if st, err := os.Stat(filepath.Join(dir, "made")); err != nil || int(st.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
		t.Errorf("given back: %v, %v", st, err)
	}
	e.Is("70", "run", "--rm", "-u", "70", "-v", "mine:/bare:U", image, "stat", "-c", "%u", "/bare")
	l, err := net.Listen("unix", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e.OK("run", "--rm", "-v", dir+"/socket:/run/s", image, "test", "-S", "/run/s")
	e.Is("noatime", "run", "--rm", "--tmpfs", "/t:suid,noatime,sync", image, "sh", "-c", "grep ' /t ' /proc/mounts | grep -v nosuid | grep -o noatime")
	// A volume that is something else.
	e.OK("volume", "create", "-o", "type=tmpfs", "-o", "o=size=64k,mode=711", "mem")
	e.Is("711 tmpfs", "run", "--rm", "-v", "mem:/m", image, "sh", "-c", "echo $(stat -c %a /m) $(stat -f -c %T /m)")
	e.OK("run", "-d", "--name", "has", "-v", "mem:/m", image, "sleep", "1000")
	e.Fails(125, "sandbox has has it", "run", "--rm", "-v", "mem:/m", image, "true")
	e.OK("rm", "-f", "has")
	e.OK("volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", "device="+dir, "bound")
	r = e.Run("run", "--rm", "-v", "bound:/m", image, "sh", "-c", "cat /m/file; touch /m/x")
	if r.Out != "text\n" || !strings.Contains(r.Err, "Read-only file system") {
		t.Errorf("o=bind,ro: %+v", r)
	}
	e.Fails(125, "only root", "run", "--rm", "--mount", "src=net,dst=/m,volume-opt=type=nfs", image, "true")
	e.OK("run", "--rm", "--mount", "src=labelled,dst=/m,volume-label=team=a", image, "true")
	e.Is("labelled", "volume", "ls", "-q", "--filter", "label=team=a")
	e.Fails(125, "without the label", "run", "--rm", "--mount", "src=labelled,dst=/m,volume-label=team=b", image, "true")
}

// Read-only stays so for a program that may mount, in volumes as in binds.
func TestThreat15VolumesStayReadOnly(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("volume", "create", "db")
	for name, flags := range map[string][]string{
		"usual": nil, "SYS_ADMIN": {"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"}, "privileged": {"--privileged"},
	} {
		none(t, name, e.probe(append([]string{"-u", "0", "-v", "db:/mnt:ro"}, flags...), e.Busybox(), "remount", "/mnt"))
	}
	isEmpty(t, filepath.Join(e.Data, "volumes/db/_data"))
}

// A volume is not a part of what is exported, and the place of it is.
func TestVolumesAreNotExported(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	e.OK("run", "--name", "box", "-v", "/data", "-v", "db:/new/place", image, "sh", "-c", "echo x >/new/place/in-volume; echo x >/data/in-volume")
	archive := filepath.Join(e.Home, "box.tar")
	e.export(archive, "box")
	e.OK("import", archive, "copy")
	e.Is("/data/file\n/data/link\n/data/sub\n/data/sub/hard", "run", "--rm", "copy", "sh", "-c", "ls -A /new/place; find /data/* | sort")
	out := filepath.Join(e.Home, "out")
	e.OK("cp", "box:/new/place/in-volume", out) // cp sees what the program saw
	if text, err := os.ReadFile(out); err != nil || string(text) != "x\n" {
		t.Errorf("cp: %q, %v", text, err)
	}
}

func TestVolumesInLists(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	e.OK("volume", "create", "--label", "a=b", "free")
	e.Is("free", "volume", "create", "free")
	if name := e.OK("volume", "create"); len(name) != 64 {
		t.Errorf("an anonymous one is called %q", name)
	}
	e.OK("create", "--name", "box", "-v", "used:/m", image, "true")
	e.Is("used /m", "inspect", "-f", "{{range .Mounts}}{{.Name}} {{.Destination}}{{end}}", "box")
	df := e.OK("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}")
	if !strings.Contains(df, "Local Volumes 3 1\n") {
		t.Errorf("system df: %q", df)
	}
	if v := e.OK("system", "df", "-v"); !strings.Contains(v, "\nused ") {
		t.Errorf("system df -v: %q", v)
	}
	e.Is("free", "volume", "ls", "-q", "--filter", "label=a=b")
	e.OK("system", "prune", "-f", "--volumes")
	e.Is("free\nused", "volume", "ls", "-q") // a prune of sandboxes leaves theirs to the next one
	e.Is("free\nused", "__complete", "volume", "rm", "")
	e.Is("free:", "__complete", "run", "-v", "fr")
}

// The supervisor is killed again and again while volumes are made, filled and removed:
// what is there afterwards is whole, and the next run has what it should.
func TestVolumesSurviveKills(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Seeded()
	for i := range 6 {
		var all sync.WaitGroup
		for j := range 4 {
			all.Add(1)
			go func() {
				defer all.Done()
				e.Run("run", "--rm", "-v", fmt.Sprintf("db%d:/data", j), "-v", "/data/sub", image, "true")
			}()
		}
		time.Sleep(time.Duration(20+15*i) * time.Millisecond)
		for _, p := range e.roles()["supervisor"] {
			_ = unix.Kill(p.PID, unix.SIGKILL) // it may be gone already
		}
		all.Wait()
	}
	for j := range 4 {
		name := fmt.Sprintf("db%d", j)
		e.Is("file\nlink\nsub", "run", "--rm", "-v", name+":/data", image, "ls", "/data")
		e.OK("volume", "rm", name)
	}
	e.OK("container", "prune", "-f")
	e.OK("volume", "prune", "-f")
	e.noVolumesLeft()
}

// Who waits for a volume to be filled may go: the copy ends, nothing of it is left, and
// the next one fills it.
func TestVolumesFillEnded(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	const mib = 400
	e.OK("run", "--name", "seed", e.Busybox(), "sh", "-c", fmt.Sprintf("mkdir /data; i=0; while [ $i -lt %d ]; do dd if=/dev/urandom of=/data/$i bs=1M count=8 2>/dev/null; i=$((i+8)); done", mib))
	e.OK("commit", "-q", "seed", "large")
	e.OK("rm", "seed")
	volumes := filepath.Join(e.Data, "volumes")
	there := "" // short id of a sandbox that stays
	// ended starts what fills a volume, and sends it a signal in the middle.
	ended := func(sig syscall.Signal, args ...string) Result {
		for range 5 {
			p := e.Start(args...)
			e.Eventually("it is being filled", func() bool {
				found, err := filepath.Glob(volumes + "/*/fill.new/*")
				return err == nil && len(found) > 0
			})
			p.Signal(sig)
			r := p.Wait()
			e.Eventually("the copy is gone", func() bool {
				found, err := filepath.Glob(volumes + "/*/fill*")
				return err == nil && len(found) == 0
			})
			found, err := filepath.Glob(volumes + "/*/_data/*")
			switch {
			case err != nil:
				t.Fatal(err)
			case len(found) == 0:
				return r
			case len(found) != mib/8:
				t.Fatalf("%q: in the volume are %q", args, found)
			}
			// It was full before the signal came.
			for _, id := range strings.Fields(e.OK("ps", "-aq", "--filter", "ancestor=large")) {
				if id != there {
					e.OK("rm", "-fv", id)
				}
			}
			e.OK("run", "--rm", "-v", "db:/v", "large", "sh", "-c", "rm -rf /v/*")
		}
		t.Fatalf("%q: it fills faster than it can be ended", args)
		return Result{}
	}
	for _, c := range []struct {
		sig  syscall.Signal
		code int
		how  []string
	}{
		{syscall.SIGINT, 128 + 2, []string{"run", "--rm", "-v", "db:/data"}},
		{syscall.SIGKILL, 128 + 9, []string{"run", "-d", "-v", "db:/data"}},
		{syscall.SIGTERM, 128 + 15, []string{"create", "-v", "/data"}},
	} {
		if r := ended(c.sig, append(c.how, "large", "true")...); r.Code != c.code || r.Out != "" {
			t.Errorf("%v: %+v", c.sig, r)
		}
		e.Eventually("the sandbox is gone", func() bool { return e.OK("ps", "-aq") == "" })
		e.Is("db", "volume", "ls", "-q")
	}
	e.Is(fmt.Sprint(mib/8), "run", "--rm", "-v", "db:/data", "large", "sh", "-c", "ls /data | wc -l")
	// A sandbox that there is stays, to be started once more, whichever way it was started.
	there = e.OK("create", "--name", "there", "-v", "db:/data", "large", "sh", "-c", "ls /data | wc -l")[:12]
	for _, start := range [][]string{{"start"}, {"start", "-a"}, {"restart"}} {
		e.OK("run", "--rm", "-v", "db:/v", "large", "sh", "-c", "rm -rf /v/*")
		if r := ended(syscall.SIGINT, append(start, "there")...); r.Code == 0 || r.Out != "" {
			t.Errorf("%q: %+v", start, r)
		}
	}
	e.Is(fmt.Sprint(mib/8), "start", "-a", "there")
}

// The disk is full while a volume is filled: a clear error, nothing is left, and it is
// filled once there is room.
func TestVolumesFillDiskFull(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	j := e.jail("mount -t tmpfs -o mode=700,size=34m sbx-full " + e.Data)
	j.must(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "busybox")
	j.must(nil, "run", "--network", "none", "--name", "seed", "busybox", "sh", "-c", "mkdir /data; for i in 1 2 3; do dd if=/dev/urandom of=/data/$i bs=1M count=4 2>/dev/null; done")
	j.must(nil, "commit", "seed", "large")
	j.must(nil, "rm", "seed")
	fill := func(name string) Result {
		return j.Run(nil, "run", "--rm", "--network", "none", "-v", name+":/data", "large", "ls", "/data")
	}
	if r := fill("first"); r.Out != "1\n2\n3\n" {
		t.Fatalf("with room: %+v", r)
	}
	for range 2 {
		r := fill("second")
		if r.Code != 125 || !strings.Contains(r.Err, "fill volume second") || !strings.Contains(r.Err, "no space left") || strings.Count(r.Err, "\n") != 1 || r.Out != "" {
			t.Errorf("without room: %+v", r)
		}
		if out := j.must(nil, "ps", "-aq"); out != "" {
			t.Errorf("sandboxes are left: %q", out)
		}
	}
	j.must(nil, "volume", "rm", "first")
	if r := fill("second"); r.Out != "1\n2\n3\n" {
		t.Errorf("with room again: %+v", r)
	}
}
