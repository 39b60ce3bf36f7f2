package tests

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbx/tests/instance"
)

// myself is who the tests run as.
func myself(t testing.TB) (uid, gid, name string) {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Uid, u.Gid, u.Username
}

// own is what a host file belongs to.
func own(t testing.TB, path string) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// The program is the caller, by number and by name, whatever user the image names; the
// image's files belong to whom the image says.
func TestUsernsKeepID(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "fuse")
	image := e.Seeded()
	uid, gid, name := myself(t)
	const who = "echo $(id -u):$(id -g) $(id -un) $HOME"
	for home, flags := range map[string][]string{"/": nil, "/opt": {"-w", "/opt"}, e.Home: {"-v", e.Home + ":" + e.Home}} {
		if uid == "1000" { // the image has such a user of its own
			name, home = "alice", "/home"
		}
		args := append([]string{"run", "--rm", "--userns", "keep-id"}, flags...)
		e.Is(uid+":"+gid+" "+name+" "+home, append(args, image, "sh", "-c", who)...)
	}
	e.Is("70:71 70 /", "run", "--rm", "--userns", "keep-id:uid=70,gid=71", image, "sh", "-c", who)
	e.Is("4000000", "run", "--rm", "--userns", "keep-id:uid=4000000", image, "id", "-u")
	e.Is("0", "run", "--rm", "--userns", "keep-id", "-u", "root", image, "id", "-u")
	e.Is("70:71", "run", "--rm", "--userns", "keep-id", "-u", "70:71", image, "sh", "-c", "echo $(id -u):$(id -g)")
	e.Is(uid, "run", "--rm", "--userns", "keep-id", "host", "id", "-u")
	e.Is("0", "run", "--rm", "--userns", "private", image, "id", "-u")
	e.OK("run", "--name", "named", image, "true")
	e.OK("commit", "-q", "-c", "USER 70", "named", "user70")
	e.Is(uid, "run", "--rm", "--userns", "keep-id", "user70", "id", "-u")

	const owners = "stat -c %u:%g / /bin/busybox /etc /etc/hosts /data /in /dev /dev/shm /tmp"
	want := "0:0 0:0 0:0 0:0 70:71 0:0 0:0 0:0 0:0"
	for _, flags := range [][]string{{}, {"--read-only"}, {"--init"}, {"--privileged"}, {"--userns", "keep-id:uid=70"}, {"--userns", "keep-id:uid=0,gid=0"}} {
		args := append([]string{"run", "--rm", "--userns", "keep-id"}, flags...)
		if got := strings.Join(strings.Fields(e.OK(append(args, image, "sh", "-c", owners)...)), " "); got != want {
			t.Errorf("%v: owners are %s, want %s", flags, got, want)
		}
	}
	r := e.Run("run", "--rm", "--userns", "keep-id", image, "sh", "-c", "touch /etc/new")
	if r.Code == 0 || !strings.Contains(r.Err, "Permission denied") {
		t.Errorf("a file of root's: %+v", r)
	}
	e.Is("", "run", "--rm", "--userns", "keep-id:uid=70,gid=71", image, "sh", "-c", "echo more >>/data/file && rm /data/sub/hard")
}

// On the host, what it makes in a bind is the caller's, and what the sandbox's root
// makes is not.
func TestUsernsKeepIDBind(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "fuse")
	image := e.Busybox()
	uid, gid, _ := myself(t)
	dir := filepath.Join(e.Home, "work")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/mine", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e.Is(uid+":"+gid, "run", "--rm", "--userns", "keep-id", "-v", dir+":/w", image, "sh", "-c", "echo x >>/w/mine; echo x >/w/new; stat -c %u:%g /w/mine")
	e.OK("run", "--rm", "--userns", "keep-id", "-u", "0", "-v", dir+":/w", image, "touch", "/w/root")
	if got := own(t, dir+"/new"); got != uid+":"+gid {
		t.Errorf("it is %s's", got)
	}
	if got := own(t, dir+"/root"); got == uid+":"+gid || got == "0:0" {
		t.Errorf("root's is %s's", got)
	}
	// A further program is the same user, and has the same home: the image's own for an
	// id that it knows.
	home := "/w"
	if uid == "1000" {
		home = "/home"
	}
	e.OK("run", "-d", "--name", "kept", "--userns", "keep-id", "-v", dir+":/w", "-w", "/w", image, "sleep", "1000")
	e.Is(uid+" "+home, "exec", "kept", "sh", "-c", "echo $(id -u) $HOME")
	e.Is("0", "exec", "-u", "root", "kept", "id", "-u")
	e.Is("keep-id "+uid+":"+gid, "inspect", "-f", "{{.HostConfig.UsernsMode}} {{.Config.User}}", "kept")
	e.Fails(125, "maps users in another way", "run", "--rm", "--pid", "container:kept", image, "true")
	e.Is(uid, "run", "--rm", "--userns", "keep-id", "--pid", "container:kept", image, "id", "-u")
	e.OK("stop", "-t", "0", "kept")
	e.OK("start", "kept")
	e.Is("1", "exec", "kept", "grep", "-c", ":"+uid+":"+gid+":", "/etc/passwd")
	e.OK("rm", "-f", "kept")
}

// Files that were made with it get into images, archives, volumes and copies as those
// that are seen in the sandbox.
func TestUsernsKeepIDFiles(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "fuse")
	image := e.Seeded()
	uid, gid, _ := myself(t)
	me := uid + ":" + gid
	e.OK("run", "-d", "--name", "kept", "--userns", "keep-id", "-v", "vol:/data", image, "sleep", "1000")
	e.OK("exec", "-u", "0", "kept", "sh", "-c", "mkdir /opt; touch /opt/root; rm /in; rm -r /bare; mkdir /bare; touch /bare/r; chown 70:71 /opt; chmod 700 /etc")
	e.OK("exec", "kept", "touch", "/tmp/mine")
	if err := os.WriteFile(e.Home+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	e.OK("cp", e.Home+"/file", "kept:/opt/copied")
	const names = "/opt /opt/root /opt/copied /bare /bare/r /tmp/mine"
	want := "70:71 0:0 0:0 0:0 0:0 " + me
	stat := func(when string, args ...string) {
		t.Helper()
		got := strings.Join(strings.Fields(e.OK(append(args, "sh", "-c", "stat -c %u:%g "+names)...)), " ")
		if got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	stat("in the sandbox", "exec", "kept")
	e.Is("70:71 70:71", "exec", "-u", "70:71", "kept", "sh", "-c", "echo $(stat -c %u:%g /data /data/file)")
	const diff = "C /bare\nA /bare/r\nC /etc\nD /in\nA /opt\nA /opt/copied\nA /opt/root\nC /tmp\nA /tmp/mine"
	if got := e.OK("diff", "kept"); strings.ReplaceAll(got, "D /bare\n", "C /bare\n") != diff {
		t.Errorf("diff:\n%s\nwant\n%s", got, diff)
	}
	e.OK("commit", "-q", "kept", "committed")
	stat("in an image of it", "run", "--rm", "--userns", "keep-id", "committed")
	stat("in an image of it, as root", "run", "--rm", "committed")
	e.export(e.Home+"/x.tar", "kept")
	e.OK("import", e.Home+"/x.tar", "exported")
	stat("exported", "run", "--rm", "exported")
	for _, running := range []bool{true, false} {
		if !running {
			e.OK("stop", "-t", "0", "kept")
			e.OK("cp", e.Home+"/file", "kept:/opt/copied")
		}
		r := e.Run("cp", "kept:/opt", "-")
		if owners := tarOwners(t, r.Out); owners["opt/"] != "70:71" || owners["opt/root"] != "0:0" || owners["opt/copied"] != "0:0" {
			t.Errorf("running %v: in an archive: %v", running, owners)
		}
	}
	e.OK("start", "kept")
	stat("started again", "exec", "kept")
	e.OK("rm", "-f", "kept")
	e.OK("volume", "rm", "vol")
}

// Nothing that dies but the process itself takes the files away, and that only from
// those who have it.
func TestUsernsKeepIDFaults(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "fuse")
	image := e.Seeded()
	e.OK("run", "-d", "--name", "first", "--userns", "keep-id", image, "sleep", "1000")
	server := e.showing()
	if len(server) != 1 {
		t.Fatalf("%d servers", len(server))
	}
	kill(t, e.roles()["supervisor"][0])
	e.Is("text", "exec", "-u", "70", "first", "cat", "/data/file") // nobody has read it so far
	e.OK("run", "-d", "--name", "second", "--userns", "keep-id", image, "sleep", "1000")
	e.OK("run", "--rm", "--userns", "keep-id", image, "true")
	if n := len(e.showing()); n != 2 {
		t.Errorf("%d servers after a new supervisor's start", n)
	}
	kill(t, server[0])
	e.Eventually("it has died", func() bool { return !runs(server[0]) })
	if r := e.Run("exec", "-u", "70", "first", "cat", "/data/sub/hard"); r.Code == 0 {
		t.Errorf("read without a server: %+v", r)
	}
	e.Is("text", "exec", "-u", "70", "second", "cat", "/data/file")
	all := e.roles()["sbx-owners"] // the supervisor may just be preparing one more
	for _, p := range all {
		kill(t, p)
	}
	e.Eventually("all have died", func() bool { return !slices.ContainsFunc(all, runs) })
	e.Is("text", "run", "--rm", "--userns", "keep-id", "-u", "70", image, "cat", "/data/file")
	e.OK("rm", "-f", "first", "second")
	e.OK("system", "reset", "-f")
	e.Eventually("no server is left", func() bool { return len(e.roles()["sbx-owners"]) == 0 })
	if left, err := os.ReadDir(e.Data + "/owners"); err == nil {
		t.Errorf("left: %v", left)
	}
}

// Many at once, first starts all of them, have one server.
func TestUsernsKeepIDAtOnce(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "fuse")
	image := e.Seeded()
	var all []*Proc
	for i := range 8 {
		all = append(all, e.Start("run", "--rm", "--name", "at"+strconv.Itoa(i), "--userns", "keep-id", "-u", "70", image, "cat", "/data/file"))
	}
	for i, p := range all {
		if r := p.Wait(); r.Code != 0 || r.Out != "text\n" {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if n := len(e.showing()); n != 1 {
		t.Errorf("%d servers", n)
	}
}

// showing are the servers that show something: one more may wait for its turn.
func (e *Env) showing() []instance.Process {
	var all []instance.Process
	for _, p := range e.roles()["sbx-owners"] {
		open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID))
		if err != nil {
			e.t.Fatal(err)
		}
		for _, fd := range open {
			if name, err := os.Readlink(fd); err == nil && name == "/dev/fuse" {
				all = append(all, p)
				break
			}
		}
	}
	return all
}

// What is made ready for the next sandbox with keep-id has the ids of the last one that was
// asked for, and serves nobody who asks for others.
func TestUsernsKeepIDReady(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "fuse")
	image := e.Seeded()
	uid, gid, _ := myself(t)
	for _, c := range [][2]string{
		{":uid=500,gid=600", "500:600"}, {"", uid + ":" + gid}, {":uid=501,gid=600", "501:600"}, {":uid=501,gid=601", "501:601"}, {":uid=500,gid=600", "500:600"},
	} {
		for range 3 { // the first is made for it, the next find what was made ready
			e.Is(c[1]+"\n0:0\n70:71\n0:0", "run", "--rm", "--userns", "keep-id"+c[0], image, "sh", "-c", "echo $(id -u):$(id -g); stat -c %u:%g / /data /etc/hosts")
			time.Sleep(100 * time.Millisecond)
		}
		e.Is("0:0", "run", "--rm", image, "sh", "-c", "echo $(id -u):$(id -g)")
	}
}

func tarOwners(t testing.TB, archive string) map[string]string {
	t.Helper()
	found := map[string]string{}
	r := tar.NewReader(strings.NewReader(archive))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = fmt.Sprintf("%d:%d", h.Uid, h.Gid)
	}
}

// The accounts that are added at the start are no change of the sandbox's, and in no
// image or archive of it, unless a program has changed the file too.
func TestUsernsKeepIDAccounts(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "fuse")
	image := e.Busybox()
	e.OK("run", "-d", "--name", "kept", "--userns", "keep-id:uid=4000,gid=4001", image, "sleep", "1000")
	const seen = "grep -c 400 /etc/passwd; grep -c 400 /etc/group"
	e.Is("1\n1", "exec", "kept", "sh", "-c", seen)
	archive := filepath.Join(e.Home, "kept.tar")
	for _, change := range []struct{ do, diff, passwd, group string }{
		{"true", "", "0", "0"},
		{"touch /etc/new", "A /etc/new", "0", "0"},
		{"echo more:x:4002: >>/etc/group", "A /etc/new C /etc/group", "0", "2"},
		{"sed -i 's/^root:/toor:/' /etc/passwd", "A /etc/new C /etc/group C /etc/passwd", "1", "2"},
		{"rm /etc/passwd", "A /etc/new C /etc/group D /etc/passwd", "", "2"},
	} {
		e.OK("exec", "-u", "0", "kept", "sh", "-c", change.do)
		got := strings.Join(changedPaths(e.OK("diff", "kept")), " ")
		got = strings.TrimSpace(strings.ReplaceAll(" "+got, " C /etc ", " "))
		if got != change.diff {
			t.Errorf("after %s the changes are %q, want %q", change.do, got, change.diff)
		}
		want := strings.TrimSpace(change.passwd + "\n" + change.group)
		e.OK("commit", "-q", "kept", "committed")
		e.export(archive, "kept")
		e.OK("import", archive, "imported")
		for _, made := range []string{"committed", "imported"} {
			e.Is(want, "run", "--rm", made, "sh", "-c", "("+seen+") 2>/dev/null; true")
			if change.passwd != "" {
				e.Is("4000", "run", "--rm", "--userns", "keep-id:uid=4000,gid=4001", made, "id", "-un")
			}
		}
	}
}
