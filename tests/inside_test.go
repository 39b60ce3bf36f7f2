package tests

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The short way through sbx, for a shell in a container with sbx in its path and a root
// file system at /small.tar.
const (
	insideJourney = `set -e
sbx import /small.tar small >/dev/null
sbx run --rm small echo hello
sbx run -d --name box -p 127.0.0.1::80 small sh -c 'mkdir /w; echo page >/w/index.html; echo up; exec httpd -f -p 80 -h /w' >/dev/null
sbx exec box id -u
at=$(sbx port box 80)
n=0; until sbx run --rm --network host small wget -qO- http://$at/ 2>/dev/null; do n=$((n+1)); test $n -lt 200; sleep 0.1; done
sbx logs box
sbx stop -t 0 box >/dev/null
sbx rm box >/dev/null
sbx system reset -f
`
	insideWalked = "hello\n0\npage\nup\n"
)

// What is told about a container that gives little.
const (
	noteProc = "sbx: note: /proc of sandboxes is read-only and lists the processes around them"
	noteIPv4 = "sbx: note: networks have no IPv6"
	noteLone = "sbx: note: all files of images and sandboxes belong to you alone"
)

// insideFlags give a container what is tried in it.
func (e *Env) insideFlags() []string {
	return []string{"-v", e.Bin + ":/usr/local/bin:ro", "-v", os.Getenv("SBX_TEST_BUSYBOX") + ":/small.tar:ro"}
}

// notes says whether standard error has these beginnings of lines, and nothing else.
func notes(text string, want []string) bool {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	for i, line := range lines {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) {
			return false
		}
	}
	return len(lines) == len(want)
}

// Sbx in a sandbox of its own, which allows namespaces and nothing else beyond the usual;
// /proc is covered in part and read-only, and there is no /dev/net/tun.
func TestInsideSandbox(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	deeper := "set -e\nsbx import /small.tar small >/dev/null\n" +
		"sbx run --rm --security-opt seccomp=unconfined -v /usr/local/bin:/usr/local/bin:ro -v /small.tar:/small.tar:ro -v data:/var/lib/sbx small sh -c '" +
		strings.ReplaceAll(insideJourney, "'", `'\''`) + "'\n"
	for name, c := range map[string]struct {
		flags  []string
		script string
		notes  []string
	}{
		"root":       {[]string{"--security-opt", "seccomp=unconfined", "-v", "root:/var/lib/sbx"}, insideJourney, []string{noteProc, noteIPv4}},
		"a user":     {[]string{"--security-opt", "seccomp=unconfined", "-u", "70:71", "--tmpfs", "/data:mode=1777", "-e", "SBX_DATA=/data/sbx"}, insideJourney, []string{noteLone, noteProc, noteIPv4}},
		"privileged": {[]string{"--privileged", "-v", "privileged:/var/lib/sbx"}, insideJourney, nil},
		"two deep":   {[]string{"--privileged", "-v", "deep:/var/lib/sbx"}, deeper, []string{noteProc, noteIPv4}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(append([]string{"run", "--rm"}, e.insideFlags()...), c.flags...)
			r := e.Run(append(args, image, "sh", "-c", c.script)...)
			if r.Code != 0 || r.Out != insideWalked || !notes(r.Err, c.notes) {
				t.Errorf("status %d, stdout %q, stderr:\n%s", r.Code, r.Out, r.Err)
			}
		})
	}
	// What a sandbox does not allow is named, with what allows it.
	args := append(append([]string{"run", "--rm"}, e.insideFlags()...), "-v", "none:/var/lib/sbx", image)
	e.Fails(125, "inside a container allow clone, unshare, mount and pivot_root", append(args, "sbx", "run", "--rm", "small", "true")...)
	args = append(append([]string{"run", "--rm", "--cap-add", "SYS_ADMIN", "-v", "mount:/var/lib/sbx"}, e.insideFlags()...), image)
	r := e.Run(append(args, "sh", "-c", "sbx doctor; sbx import /small.tar small; sbx run --rm small true")...)
	if r.Code != 125 || strings.Count(r.Out+r.Err, "pivot_root: operation not permitted") != 2 || strings.Count(r.Out+r.Err, "allow clone, unshare, mount and pivot_root") != 2 {
		t.Errorf("without pivot_root: %+v", r)
	}
	// On the layers of an image there can be no others.
	args = append(append([]string{"run", "--rm", "--security-opt", "seccomp=unconfined"}, e.insideFlags()...), image)
	e.Fails(1, "in a container to one on a volume", append(args, "sbx", "import", "/small.tar", "small")...)
}

// Where a sandbox has to take the /proc around it, what runs there is seen by name, and no
// more, not even by the same user.
func TestInsideSharedProc(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	script := `sbx import /small.tar small >/dev/null
sbx run --rm small sh -c 'head -c5 /proc/1/cmdline | tr "\0" " "; echo
  for f in environ maps mem; do head -c1 /proc/1/$f >/dev/null 2>&1 && echo can read $f; done
  for f in root/ cwd/; do ls /proc/1/$f >/dev/null 2>&1 && echo can list $f; done; readlink /proc/1/fd/0 && echo can see a file
  grep -q SBX_DATA /proc/[0-9]*/environ 2>/dev/null && echo can read the supervisor
  for f in oom_score_adj coredump_filter clear_refs; do echo 0 2>/dev/null >/proc/1/$f && echo can write $f; done
  readlink /proc/self/fd/0 >/dev/null && test "$(cat /proc/self/comm)" = cat && echo self; kill -0 1 && echo own; echo over' 2>/dev/null </dev/null
sbx run --rm --hostname named small hostname
sbx doctor | grep -o -E "^yellow +(sandbox namespaces|network settings)" | tr -s " "
sbx run --rm -v /etc:/w:ro --privileged small cat /proc/1/environ 2>/dev/null && echo privileged; :`
	args := append([]string{"run", "--rm", "--security-opt", "seccomp=unconfined", "-u", "70:71", "--tmpfs", "/data:mode=1777", "-e", "SBX_DATA=/data/sbx"}, e.insideFlags()...)
	r := e.Run(append(args, image, "sh", "-c", script)...)
	if want := "sh -c\nself\nown\nover\nnamed\nyellow sandbox namespaces\nyellow network settings\n"; r.Code != 0 || r.Out != want {
		t.Errorf("status %d, stdout %q, want %q; stderr:\n%s", r.Code, r.Out, want, r.Err)
	}
}

// Rootless podman's usual flags are enough; what its filter forbids beyond that is told.
func TestInsidePodman(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "busybox", "podmanrun")
	e.podman("import", "-q", os.Getenv("SBX_TEST_BUSYBOX"), "small")
	for name, flags := range map[string][]string{
		"usual":    nil,
		"unmasked": {"--security-opt", "seccomp=unconfined", "--security-opt", "unmask=ALL"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"run", "--rm", "--network", "none", "-v", "data:/var/lib/sbx"}, e.insideFlags()...)
			args = append(append(args, flags...), "small", "sh", "-c", insideJourney)
			if got := e.podman(args...); got+"\n" != insideWalked {
				t.Errorf("%q", got)
			}
		})
	}
}

// asRoot runs a shell script as root, in a mount and pid namespace of its own, which end
// with it: as root of the machine, or as an ordinary user who is root of a user namespace
// with all that user's ids. The directory dir is /mnt there, with the programs in it.
func asRoot(t *testing.T, dir, script string) Result {
	t.Helper()
	var words []string
	if os.Getuid() != 0 {
		words = []string{"--user", "--map-root-user", "--map-auto"}
	}
	return asRootIn(t, words, dir, script)
}

// asRootIn is asRoot with other arguments of unshare(1).
func asRootIn(t *testing.T, words []string, dir, script string) Result {
	t.Helper()
	bin, err := binaries()
	if err == nil {
		err = os.CopyFS(dir+"/bin", os.DirFS(bin))
	}
	if err != nil {
		t.Fatal(err)
	}
	words = append(append([]string{"unshare"}, words...), "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
		"mount --bind "+dir+" /mnt && cd /mnt && trap 'chown -R 0:0 /mnt' EXIT || exit\n"+script)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Env = []string{"PATH=/mnt/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root", "SBX_DATA=/mnt/data", "SBX_RUN=/mnt/run"}
	c.Dir = dir
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", words, err)
	}
	return Result{Out: out.String(), Err: errs.String(), Code: c.ProcessState.ExitCode()}
}

// rootsPlace is a directory for asRoot.
func rootsPlace(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		Need(t, "userns", "subids")
	}
	dir, err := os.MkdirTemp("/tmp", "sbx-t-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Root's sandboxes are an unprivileged user's, who has nothing of root's but what
// everybody has.
func TestAsRoot(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	dir := rootsPlace(t)
	r := asRoot(t, dir, strings.ReplaceAll(insideJourney, "/small.tar", os.Getenv("SBX_TEST_BUSYBOX"))+`
sbx import `+os.Getenv("SBX_TEST_BUSYBOX")+` small >/dev/null
mkdir -m 700 mine; mkdir -m 755 all mine/context; echo secret >mine/file; echo public >all/file; chmod 600 mine/file
printf 'FROM small\nCOPY file /file\nRUN cat /file\n' >mine/context/Dockerfile
echo built >mine/context/file
sbx build -q -t built mine/context >/dev/null
sbx run --rm built cat /file
sbx run --rm -v $PWD/all:/all small cat /all/file
sbx run --rm -v $PWD/all:/all small touch /all/new 2>/dev/null && echo wrote
sbx run --rm -v $PWD/mine/context:/mine small ls /mine 2>&1 | grep -o 'root is in no sandbox'
sbx run -d --name box small sleep 1000 >/dev/null
test $(stat -c %u /proc/$(sbx inspect -f '{{.State.Pid}}' box)) != 0 && echo somebody
tar -C mine -cf - file | sbx cp - box:/tmp
sbx exec box cat /tmp/file
for p in /proc/[0-9]*; do
  tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^sbxd parent' && grep -E '^(Uid|Cap(Prm|Amb))' $p/status | awk '{print $1, $2 == 0 || $2 ~ /^0*$/ ? "none" : "some"}'
done
sbx unshare id -u
sbx doctor | grep -o 'root itself is in no sandbox'
mkdir -m 777 open; SBX_DATA=/mnt/open/data SBX_RUN=/mnt/open/run sbx ps 2>&1 | grep -o 'others than root can write to /mnt/open'
sbx rm -f box >/dev/null
`)
	want := insideWalked + "built\npublic\nroot is in no sandbox\nsomebody\nsecret\nUid: some\nCapPrm: none\nCapAmb: none\n0\nroot itself is in no sandbox\nothers than root can write to /mnt/open\n"
	if r.Code != 0 || r.Out != want {
		log, _ := os.ReadFile(filepath.Join(dir, "data/sbxd.log"))
		t.Errorf("status %d, stdout:\n%s\nwant:\n%s\nstderr:\n%s\n%s", r.Code, r.Out, want, r.Err, log)
	}
}

// Root of a namespace that has no other id is root in sandboxes, too, unless that is root
// of the machine.
func TestAsRootWithOneID(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	dir := rootsPlace(t)
	one := []string{"--user", "--map-root-user"}
	if os.Getuid() == 0 {
		r := asRootIn(t, one, dir, "sbx run --rm host true")
		if want := "sbx: start the supervisor: root of the machine is in no sandbox"; r.Code != 125 || !strings.HasPrefix(r.Err, want) {
			t.Errorf("%+v", r)
		}
		return
	}
	r := asRootIn(t, one, dir, strings.ReplaceAll(insideJourney, "/small.tar", os.Getenv("SBX_TEST_BUSYBOX")))
	if r.Code != 0 || r.Out != insideWalked || !notes(r.Err, []string{noteLone}) {
		t.Errorf("%+v", r)
	}
}
