package tests

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What a sandbox has left in a directory of the user's, as another user, goes by sbx
// unshare, and by nothing less.
func TestUnshareRemovesWhatOthersOwn(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := filepath.Join(e.Home, "shared")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e.OK("run", "--rm", "-v", dir+":/shared", image, "sh", "-ec", "mkdir /shared/sub; touch /shared/sub/file; chown -R 33:33 /shared/sub; chmod 700 /shared/sub")
	if err := os.RemoveAll(dir); err == nil {
		t.Fatal("nothing had to be removed in a special way")
	}
	e.Is("33 33", "unshare", "stat", "-c", "%u %g", dir+"/sub/file")
	e.OK("unshare", "rm", "-rf", "shared/sub") // in the directory of the caller
	if err := os.Remove(dir); err != nil {
		t.Error(err)
	}
}

// The program is a child on the host as any other: files, arguments, directory,
// environment and status are the caller's.
func TestUnshareIsAPlainChild(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Extra = append(e.Extra, "TOLD=a b")
	e.Is("0 0 "+e.Home+" a b", "unshare", "sh", "-c", `echo $(id -u) $(id -g) "$PWD" "$TOLD"`)
	r := e.RunIn("text", "unshare", "sh", "-c", "cat; echo out; echo err >&2; exit 7")
	if r.Code != 7 || r.Out != "textout\n" || r.Err != "err\n" {
		t.Errorf("%+v", r)
	}
	e.Is("-x --help", "unshare", "echo", "-x", "--help")
	keeper := e.ByRole("sbx-keeper")
	if len(keeper) != 1 {
		t.Fatalf("keepers: %v", keeper)
	}
	for _, kind := range []string{"user", "mnt", "net", "pid"} {
		want, err := os.Readlink("/proc/" + strconv.Itoa(keeper[0].PID) + "/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		e.Is(want, "unshare", "readlink", "/proc/self/ns/"+kind)
	}
	e.Fails(127, "execute no-such-program: no such file or directory", "unshare", "no-such-program")
	e.Fails(126, "execute /etc/passwd: permission denied", "unshare", "/etc/passwd")
	e.Fails(125, "takes at least 1 argument", "unshare")
}

func TestUnshareSignals(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for sig, want := range map[syscall.Signal]int{syscall.SIGTERM: 7, syscall.SIGINT: 8, syscall.SIGKILL: 137} {
		p := e.Start("unshare", "sh", "-c", `trap 'exit 7' TERM; trap 'exit 8' INT; echo ready; while :; do sleep 0.05; done`)
		p.Expect("ready")
		if sig != syscall.SIGKILL {
			p.Signal(sig)
		} else {
			e.killUnshared()
		}
		if r := p.Wait(); r.Code != want {
			t.Errorf("%v: %+v, want status %d", sig, r, want)
		}
	}
}

// killUnshared kills the shell of the test above.
func (e *Env) killUnshared() {
	e.t.Helper()
	for _, p := range e.Processes() {
		if p.Role() == "sh" && strings.Contains(p.String(), "trap") {
			kill(e.t, p)
		}
	}
}

// ^C reaches the program once, and the command line waits for what it makes of it.
func TestUnshareOnATerminal(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	p := e.Terminal("unshare", "sh", "-c", `trap 'echo got one; n=$((n+1)); [ $n = 2 ] && exit 9' INT; tty; echo ready; while :; do sleep 0.05; done`)
	p.Expect("/dev/pts/")
	p.Expect("ready")
	p.Type("\x03")
	p.Expect("got one")
	p.Type("\x03")
	if code := p.Wait(); code != 9 {
		t.Errorf("status %d", code)
	}
}
