package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// changes is what a sandbox does to have something of everything to commit, and
// seen what then shows in the image.
const (
	changes = `mkdir -p /new/deep /gone && echo text >/new/file && ln /new/file /new/deep/hard && ln -s file /new/link && mkfifo /new/pipe &&
		chown 7:8 /new/file && chmod 4750 /new/file && touch -d '2001-02-03 00:00:00' /new/deep && rm -r /var && mkdir /var && echo 1 >/var/only &&
		dd if=/dev/zero of=/new/sparse bs=1 count=1 seek=10000000 2>/dev/null && touch "$(printf '/new/\377\n')" "/new/$(printf %0255d 7)" &&
		rm /etc/group && echo 1 >>/etc/passwd && rmdir /gone && echo mine >/etc/hosts && chmod 711 /root`
	seen = `cd / && ls -1 /var && stat -c "%n %u:%g %a %h %s %F" /new/file /new/deep/hard /new/pipe /new/sparse && stat -c "%n %a" /root && readlink /new/link && stat -c %Y /new/deep && ls /new | wc -l && cat /new/file && test ! -e /gone && test ! -e /etc/group && tail -n 1 /etc/passwd`
	sees = `only
/new/file 7:8 4750 2 5 regular file
/new/deep/hard 7:8 4750 2 5 regular file
/new/pipe 0:0 644 1 0 fifo
/new/sparse 0:0 644 1 10000001 regular file
/root 711
file
981158400
7
text
1`
)

func TestCommit(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "--name", "box", "-e", "TZ=UTC", image, "sh", "-ec", changes)
	e.OK("run", "-d", "--name", "up", image, "sh", "-ec", changes+"; sleep 1000")
	e.Eventually("it is done", func() bool {
		return e.Run("exec", "up", "test", "-e", "/root").Code == 0 && e.OK("exec", "up", "stat", "-c", "%a", "/root") == "711"
	})
	for _, name := range []string{"box", "up"} {
		id := e.OK("commit", "-q", name, "made:"+name)
		e.Is(id, "images", "-q", "--no-trunc", "made:"+name)
		e.Is(sees, "run", "--rm", "made:"+name, "sh", "-ec", seen)
		if r := e.Run("run", "--rm", "--network", "none", "made:"+name, "grep", "mine", "/etc/hosts"); r.Code != 1 || r.Out != "" {
			t.Errorf("/etc/hosts was committed: %+v", r)
		}
		e.OK("create", "--name", "again", "made:"+name, "true")
		e.Is("", "diff", "again")
		e.OK("rm", "again")
	}
	// It goes on, and what it does from now on is its own.
	e.Is("running", "inspect", "-f", "{{.State.Status}}", "up")
	e.OK("exec", "up", "rm", "-r", "/new")
	e.Is(sees, "run", "--rm", "made:up", "sh", "-ec", seen)
	e.OK("rm", "-f", "up")
	e.Is(sees, "run", "--rm", "made:up", "sh", "-ec", seen)
	// On top of it once more, and without a name.
	e.OK("run", "--name", "next", "made:box", "rm", "-r", "/new")
	id := e.OK("commit", "next")
	e.Is("gone", "run", "--rm", id, "sh", "-c", "test -e /new || echo gone")
	for _, x := range []struct{ words, name, to string }{
		{"no such sandbox", "none", "x"}, {"lowercase", "next", "BAD"}, {"invalid reference", "next", "a b"},
	} {
		e.Fails(1, x.words, "commit", x.name, x.to)
	}
	e.OK("create", "--name", "host", "host", "true")
	e.Fails(1, "host's own file system", "commit", "host")
	e.OK("run", "--name", "marked", image, "touch", "/root/.wh.x")
	e.Fails(1, "commit /root/.wh.x: in an image, a name that begins with .wh. stands for something deleted", "commit", "marked")
	e.Fails(1, "FROM is not an instruction", "commit", "-c", "FROM x", "next")
}

// The configuration is that of the sandbox, with the changes.
func TestCommitConfig(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("create", "--name", "plain", image, "sh")
	e.OK("commit", "-c", "ENV A=1 PATH=/bin:/usr/bin", "-c", "LABEL of=image", "-c", "EXPOSE 80", "-c", `ENTRYPOINT ["echo"]`, "-c", `CMD ["from", "image"]`,
		"-c", "VOLUME /data", "-c", "ONBUILD RUN x", "-c", "STOPSIGNAL INT", "-c", "HEALTHCHECK --retries=2 CMD true", "plain", "base")
	e.Is("from image", "run", "--rm", "--network", "none", "base")
	e.OK("create", "--name", "box", "--tty", "-e", "B=2", "-l", "of=sandbox", "-l", "more=1", "-p", "127.0.0.1::53/udp", "--expose", "81", "-u", "7", "-w", "/tmp", "base", "my", "words")
	e.OK("commit", "-a", "Ann <ann@example.org>", "-m", "what it is", "-c", "ENV C=$B", "box", "made")
	const form = `{{json .Author}} {{json .Comment}} {{json .Config.User}} {{json .Config.Env}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.WorkingDir}} ` +
		`{{json .Config.Labels}} {{json .Config.ExposedPorts}} {{json .Config.Volumes}} {{json .Config.OnBuild}} {{json .Config.StopSignal}}`
	e.Is(`"Ann <ann@example.org>" "what it is" "7" ["PATH=/bin:/usr/bin","A=1","B=2","C=2"] ["my","words"] ["echo"] "/tmp" `+
		`{"more":"1","of":"sandbox"} {"53/udp":{},"80/tcp":{},"81/tcp":{}} {"/data":{}} null "INT"`, "image", "inspect", "-f", form, "made")
	e.Is("[true] 2", "image", "inspect", "-f", "{{slice .Config.Healthcheck.Test 1}} {{.Config.Healthcheck.Retries}}", "made")
	// An entry point of its own forgets the command.
	e.OK("commit", "-c", `ENTRYPOINT ["printf", "x"]`, "box", "other")
	e.Is("null", "image", "inspect", "-f", "{{json .Config.Cmd}}", "other")
	lines := strings.Split(e.OK("history", "--format", "{{.CreatedBy}}|{{.Comment}}|{{.Size}}", "made"), "\n")
	if len(lines) != 3 || lines[0] != "echo my words|what it is|0B" || lines[1] != "sh||0B" {
		t.Errorf("history: %q", lines)
	}
	e.eventuallyPast([]string{"what it is made", " other"}, "{{.Actor.Attributes.comment}} {{.Actor.Attributes.imageRef}}", "event=commit", "container=box")
}

// Without mounts: the empty place stays.
func TestCommitWithoutMounts(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "--name", "box", "-v", e.Home+":/here/deep", "-v", "named:/vol", "-v", "/anonymous", "--tmpfs", "/scratch", image, "sh", "-c",
		"echo secret >/here/deep/secret; echo secret >/vol/secret; echo secret >/anonymous/secret; echo secret >/scratch/secret; echo secret >/dev/shm/secret; echo secret >>/etc/resolv.conf; echo secret >/etc/hostname; echo kept >/kept")
	e.OK("commit", "box", "made")
	e.Is("/here/deep\n/scratch\n/vol\n/kept\n/anonymous", "run", "--rm", "made", "find", "/here/deep", "/scratch", "/vol", "/kept", "/anonymous")
	e.Is("map[/anonymous:{}]", "image", "inspect", "-f", "{{.Config.Volumes}}", "made")
	if r := e.Run("run", "--rm", "made", "grep", "-rs", "secret", "/here", "/scratch", "/vol", "/anonymous", "/dev/shm", "/etc"); r.Code != 1 || r.Out != "" {
		t.Errorf("something that is mounted was committed: %+v", r)
	}
}

// A sandbox stands still while it is committed, if it can be made to, and goes on.
func TestCommitPauses(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable()
	image := e.Busybox()
	// Two files with the same number, but for a moment, and much to read between them.
	e.OK("run", "-d", "--name", "box", image, "sh", "-c",
		"dd if=/dev/urandom of=/big bs=1M count=20; i=0; while :; do i=$((i+1)); echo $i >/t; mv /t /a; echo $i >/t; mv /t /zz; done")
	e.Eventually("it is at it", func() bool { return e.Run("exec", "box", "test", "-e", "/zz").Code == 0 })
	for n := range 3 {
		tag := fmt.Sprintf("made:%d", n)
		e.OK("commit", "--pause", "box", tag)
		e.Is("same", "run", "--rm", tag, "sh", "-c", `a=$(cat /a) z=$(cat /zz); if [ $((a - z)) -gt 1 ] || [ $a -lt $z ]; then echo $a $z; else echo same; fi`)
	}
	e.Is("running", "inspect", "-f", "{{.State.Status}}", "box")
	e.OK("pause", "box")
	e.OK("commit", "box", "made:paused")
	e.Is("paused", "inspect", "-f", "{{.State.Status}}", "box")
	e.OK("unpause", "box")
	e.OK("commit", "--pause=false", "box", "made:going")
}

// A supervisor that dies in the middle leaves no sandbox standing still.
func TestCommitKilledGoesOn(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable()
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", image, "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=200; touch /done; sleep 1000")
	e.Eventually("it has written", func() bool { return e.Run("exec", "box", "test", "-e", "/done").Code == 0 })
	before := e.usage()
	commit := e.Start("commit", "box", "made")
	e.Eventually("some of it is on the disk", func() bool { return e.usage() > before+4<<20 })
	state := e.OK("inspect", "-f", "{{.State.Status}}", "box")
	for _, victim := range e.roles()["supervisor"] {
		e.fell(victim)
	}
	if r := commit.Wait(); r.Code == 0 || state != "paused" {
		t.Fatalf("it was %s; the commit: %+v", state, r)
	}
	e.Is("running", "inspect", "-f", "{{.State.Status}}", "box")
	e.OK("exec", "box", "true")
}

// Without a cgroup, a pause that was asked for is an error, and none is made without.
func TestCommitCannotPause(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", image, "sleep", "1000")
	if e.OK("info", "-f", "{{.CgroupDriver}}") != "none" {
		t.Skip("there are cgroups")
	}
	e.Fails(1, "cgroup", "commit", "--pause", "box")
	e.OK("commit", "box")
	e.OK("commit", "-p=false", "box")
}

// What sbx commits, podman and skopeo read.
func TestCommitForPodman(t *testing.T) {
	t.Parallel()
	Need(t, "registry")
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "--name", "box", image, "sh", "-ec", changes)
	id := e.OK("commit", "-m", "for podman", "-c", "CMD [\"x\"]", "box", "localhost/made:1")
	for _, format := range []string{"docker-archive", "oci-archive"} {
		file := filepath.Join(t.TempDir(), format)
		e.OK("save", "-q", "--format", format, "-o", file, "localhost/made:1")
		e.skopeo("inspect", format+":"+file)
		e.podman("load", "-q", "-i", file)
		if got := e.podman("image", "inspect", "-f", "sha256:{{.Id}} {{.Comment}} {{.Config.Cmd}}", "localhost/made:1"); format == "docker-archive" && got != id+" for podman [x]" {
			t.Errorf("podman has %s, want %s", got, id)
		}
		if got := e.podmanSees("localhost/made:1", strings.ReplaceAll(seen, `"`, `'`)); got != sees {
			t.Errorf("%s: podman shows\n%s", format, got)
		}
		e.podman("rmi", "-f", "localhost/made:1")
	}
}

// big runs a sandbox that has written so many MiB of noise.
func (e *Env) big(image string, mib int) {
	e.t.Helper()
	e.OK("run", "--name", "box", image, "sh", "-c", fmt.Sprintf("dd if=/dev/urandom of=/big bs=1M count=%d 2>/dev/null", mib))
}

// halfCommitted commits it. It comes back when some of the layer is on the disk.
func (e *Env) halfCommitted() (commit *Proc, before int64) {
	e.t.Helper()
	before = e.usage()
	commit = e.Start("commit", "box", "made")
	e.Eventually("some of it is on the disk", func() bool { return e.usage() > before+4<<20 })
	return commit, before
}

// kill -9 in the middle: no half image, and the disk is given back.
func TestCommitKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"supervisor", "command"} {
		t.Run(who, func(t *testing.T) {
			e := Sbx(t)
			image := e.Busybox()
			e.big(image, 200)
			var before int64
			for tries := 0; ; tries++ {
				var commit *Proc
				commit, before = e.halfCommitted()
				if who == "command" {
					commit.Signal(syscall.SIGKILL)
				}
				for _, victim := range e.roles()[who] {
					e.fell(victim)
				}
				r := commit.Wait()
				if r.Code == 0 && tries < 4 { // it was faster
					e.OK("rmi", "made")
					continue
				}
				if r.Code == 0 || r.Out != "" {
					t.Fatalf("the commit: %+v", r)
				}
				break
			}
			e.Eventually("there is no image", func() bool { return e.OK("images", "-qa") == e.OK("images", "-q", image) })
			e.Eventually("the disk is given back", func() bool { return e.usage() < before+4<<20 })
			e.OK("commit", "box", "made")
			e.Is("209715200", "run", "--rm", "made", "stat", "-c", "%s", "/big")
		})
	}
}

// A sandbox that ends or is removed while it is committed.
func TestCommitWhileItEnds(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--rm", "--name", "brief", image, "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null; touch /done; sleep 1000")
	e.Eventually("it has written", func() bool { return e.Run("exec", "brief", "test", "-e", "/done").Code == 0 })
	before := e.usage()
	commit := e.Start("commit", "brief", "made")
	e.Eventually("some of it is on the disk", func() bool { return e.usage() > before+4<<20 })
	e.OK("kill", "brief")
	start := time.Now()
	if r := commit.Wait(); r.Code == 0 {
		// It was faster than the kill: then it is whole.
		e.Is("104857600", "run", "--rm", "made", "stat", "-c", "%s", "/big")
	} else if !strings.Contains(r.Err, "no such sandbox") && !strings.Contains(r.Err, "ended meanwhile") && !strings.Contains(r.Err, "removed") {
		t.Errorf("the commit: %+v after %v", r, time.Since(start))
	}
	// One that stays is committed as it is then.
	e.big(image, 100)
	commit, _ = e.halfCommitted()
	e.OK("start", "box")
	if r := commit.Wait(); r.Code != 0 {
		t.Errorf("the commit of one that was started: %+v", r)
	}
}

// The disk is full in the middle: a clear error, and nothing is left.
func TestCommitDiskFull(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	j := e.jail("mount -t tmpfs -o mode=700,size=40m sbx-full " + e.Data)
	j.must(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "busybox")
	j.must(nil, "run", "--network", "none", "--name", "box", "busybox", "sh", "-c", "for i in 1 2 3 4 5; do dd if=/dev/urandom of=/big$i bs=1M count=4 2>/dev/null; done")
	for range 2 {
		if r := j.Run(nil, "commit", "box", "made"); r.Code != 1 || !strings.Contains(r.Err, "commit") || !strings.Contains(r.Err, "space") || strings.Count(r.Err, "\n") != 1 || r.Out != "" {
			t.Errorf("commit: %+v", r)
		}
		if out := j.must(nil, "images", "-q"); strings.Count(out, "\n") != 0 {
			t.Errorf("images: %q", out)
		}
	}
	j.must(nil, "rm", "box")
	j.must(nil, "run", "--network", "none", "--name", "box", "busybox", "touch", "/f")
	j.must(nil, "commit", "box", "made")
}
