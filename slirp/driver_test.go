package slirp

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestChoose(t *testing.T) {
	for have, want := range map[string]string{
		"pasta slirp4netns ip nsenter": Pasta,
		"pasta":                        Pasta,
		"slirp4netns ip nsenter":       Slirp4netns,
		"slirp4netns":                  Slirp4netns,
		"ip nsenter":                   None,
		"":                             None,
	} {
		got, err := choose(func(name string) (string, error) {
			if slices.Contains(strings.Fields(have), name) {
				return "/bin/" + name, nil
			}
			return "", exec.ErrNotFound
		})
		if got != want || (err == nil) != (want != None) {
			t.Errorf("%q: %q %v, want %q", have, got, err, want)
		}
	}
}

// fakePasta puts a shell script in the place of pasta.
func fakePasta(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Pasta), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

// daemonPasta puts one in the place of pasta that does nothing, in the background.
func daemonPasta(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, Pasta)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv(asDaemon, "1")
}

// lockedBuffer is a log that may be read meanwhile.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

const thisNetns = "/proc/self/ns/net"

// A helper that does not work costs the way out, not the start.
func TestNoWayOutIsNoError(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T){
		"fails": func(t *testing.T) {
			fakePasta(t, "echo 'no such luck' >&2; echo 'Failed to send 3 bytes to syslog'; exit 1\n")
		},
		"missing": func(t *testing.T) { t.Setenv("PATH", t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			run := t.TempDir()
			var log bytes.Buffer
			d := New(run, &log)
			msg, stop, err := d.ConfigureNetwork(os.Getpid(), run, thisNetns)
			if err != nil {
				t.Fatal(err)
			}
			if (name == "missing") != (msg.Dev == "") {
				t.Errorf("device %q", msg.Dev)
			}
			o, err := ReadOutlet(run)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"fails": "no such luck", "missing": "install the package passt"}[name]
			if o.Driver != None || !strings.Contains(o.Reason, want) || strings.Contains(o.Reason, "syslog") {
				t.Errorf("outlet %+v, want the reason %q", o, want)
			}
			if stop != nil {
				if err := stop(); err != nil {
					t.Error(err)
				}
			}
			if !strings.Contains(log.String(), want) {
				t.Errorf("log %q", log.String())
			}
		})
	}
}

func TestPastaIsToldEverything(t *testing.T) {
	fakePasta(t, `
args=$*
while [ $# -gt 0 ]; do
	[ "$1" = --pid ] && file=$2
	[ "$1" = --userns ] && userns=$2
	shift
done
echo $$ > "$file"
printf '%s' "$args" > "$file.args"
[ "$userns" = /proc/1234/ns/user ]
`)
	run := t.TempDir()
	d := New(run, os.Stderr)
	msg, stop, err := d.ConfigureNetwork(1234, run, thisNetns)
	if err != nil {
		t.Fatal(err)
	}
	if msg.Dev != Device || msg.IP != "10.0.2.100" {
		t.Errorf("message %+v", msg)
	}
	o, err := ReadOutlet(run)
	if err != nil || o.Driver != Pasta || o.Reason != "" || o.Netns == 0 {
		t.Errorf("outlet %+v %v", o, err)
	}
	if err := stop(); err != nil { // the script has ended long ago
		t.Error(err)
	}
	args, err := os.ReadFile(filepath.Join(run, "pasta.pid.args"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--gateway 10.0.2.2", "--gateway fd00::2", "--mtu 65520", "--tcp-ports none", "--udp-ns none", "--address fd00::100", "--netns " + thisNetns} {
		if !strings.Contains(string(args)+" ", want+" ") {
			t.Errorf("pasta %s\nwithout %s", args, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(run, "*.pid")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// A pasta that still serves this namespace is left alone; one that serves
// another is replaced.
func TestReconnect(t *testing.T) {
	daemonPasta(t)
	for serves, kept := range map[string]bool{thisNetns: true, "/proc/self/ns/mnt": false} { // just another number
		run := t.TempDir()
		p := &pasta{bin: Pasta, run: run, at: usual, mtu: MTU}
		if _, err := p.start(t.Context(), os.Getpid(), serves); err != nil {
			t.Fatal(err)
		}
		r, err := openRecord(run, serves, usual)
		if err != nil {
			t.Fatal(err)
		}
		at := place{places4[1], places6[1]} // not what this one would choose
		if err := r.finish(Outlet{Driver: Pasta, Networks: at.networks()}); err != nil {
			t.Fatal(err)
		}
		before, err := readPid(p.pidFile())
		if err != nil {
			t.Fatal(err)
		}
		stop, err := New(run, io.Discard).Reconnect(os.Getpid(), thisNetns)
		if err != nil {
			t.Fatal(err)
		}
		if o, err := ReadOutlet(run); err != nil || o.Driver != Pasta || slices.Contains(o.Networks, at.v4) != kept {
			t.Errorf("%+v %v", o, err)
		}
		if after, err := readPid(p.pidFile()); err != nil || (after == before) != kept {
			t.Errorf("it was %d, it is %d, %v", before, after, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if p.adopt() != nil {
			t.Error("pasta is left")
		}
	}
}

// One that dies is started again, and that is said once for each death.
func TestDeadPastaIsReplaced(t *testing.T) {
	daemonPasta(t)
	run := t.TempDir()
	var log lockedBuffer
	_, stop, err := New(run, &log).ConfigureNetwork(os.Getpid(), run, thisNetns)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadOutlet(run); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(run, "pasta.pid")
	last, err := readPid(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := unix.Kill(last, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if pid, err := readPid(file); err == nil && pid != last && isHelper(pid, Pasta, file) {
				last = pid
				break
			}
			if time.Now().After(end) {
				t.Fatal("it was not started again")
			}
		}
		if o, err := ReadOutlet(run); err != nil || o.Driver != Pasta {
			t.Errorf("outlet %+v %v", o, err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if isHelper(last, Pasta, file) {
		t.Error("pasta is left")
	}
	if n := strings.Count(log.String(), "has ended"); n != 2 {
		t.Errorf("two deaths were told %d times: %q", n, log.String())
	}
}

// What could not be started is tried again when the network of the host changes.
func TestTriesAgainWhenTheHostChanges(t *testing.T) {
	if os.Getenv(ownNetwork) == "" {
		t.Skip("needs a network namespace")
	}
	flag := filepath.Join(t.TempDir(), "flag")
	fakePasta(t, "test -e "+flag+" || { echo 'no external interface' >&2; exit 1; }\n")
	run := t.TempDir()
	var log lockedBuffer
	_, stop, err := New(run, &log).ConfigureNetwork(os.Getpid(), run, thisNetns)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := ReadOutlet(run); err != nil || o.Driver != None {
		t.Fatalf("%+v %v", o, err)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("192.0.2.9/32")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.AddrDel(lo, addr) })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		o, err := ReadOutlet(run)
		if err != nil {
			t.Fatal(err)
		}
		if o.Driver == Pasta {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v; log %s", o, log.String())
		}
		// Until the subscription is there, a change goes unnoticed.
		_ = netlink.AddrDel(lo, addr)
		_ = netlink.AddrAdd(lo, addr)
		time.Sleep(settle)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestSlirp4netnsThatFails(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{
		"fails":       "echo 'no such luck' >&2; exit 1\n",
		"is no slirp": "exit 0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, Slirp4netns), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":/usr/bin:/bin")
		run := t.TempDir()
		d := &Driver{run: run, log: io.Discard, name: Slirp4netns, at: usual, inner: &slirp4netns{bin: filepath.Join(dir, Slirp4netns), at: usual, mtu: MTU}}
		_, stop, err := d.ConfigureNetwork(os.Getpid(), run, thisNetns)
		if err != nil {
			t.Fatal(err)
		}
		o, err := ReadOutlet(run)
		if err != nil || o.Driver != None || name == "fails" && !strings.Contains(o.Reason, "no such luck") {
			t.Errorf("%s: %+v %v", name, o, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// It ends with us, and is started again when it dies.
func TestSlirp4netnsLives(t *testing.T) {
	dir := t.TempDir()
	count := filepath.Join(dir, "count")
	script := "#!/bin/sh\necho $$ >>" + count + "\necho >&3\nexec 3>&-\nread end <&4\n"
	if err := os.WriteFile(filepath.Join(dir, Slirp4netns), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	run := t.TempDir()
	var log lockedBuffer
	d := &Driver{run: run, log: &log, name: Slirp4netns, at: usual, inner: &slirp4netns{bin: filepath.Join(dir, Slirp4netns), at: usual, mtu: MTU}}
	_, stop, err := d.ConfigureNetwork(os.Getpid(), run, thisNetns)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := ReadOutlet(run); err != nil || o.Driver != Slirp4netns {
		t.Fatalf("%+v %v", o, err)
	}
	pids := func() []string {
		text, err := os.ReadFile(count)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(text))
	}
	pid, err := strconv.Atoi(pids()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); len(pids()) < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it was not started again")
		}
	}
	if o, err := ReadOutlet(run); err != nil || o.Driver != Slirp4netns {
		t.Errorf("%+v %v", o, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if last := pids()[1]; unix.Access("/proc/"+last, unix.F_OK) == nil {
		t.Errorf("process %s is left", last)
	}
}

func TestReadOutlet(t *testing.T) {
	run := t.TempDir()
	if o, err := ReadOutlet(run); err != nil || o.Driver != None {
		t.Errorf("before the first start: %+v %v", o, err)
	}
	if err := os.WriteFile(OutletFile(run), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o, err := ReadOutlet(run); err == nil {
		t.Errorf("half a file: %+v", o)
	}
}

// Who asks too early waits for the result.
func TestReadOutletWaits(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fakePasta(t, "read line <"+fifo+"\n")
	run := t.TempDir()
	_, stop, err := New(run, os.Stderr).ConfigureNetwork(os.Getpid(), run, thisNetns)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan Outlet, 1)
	go func() {
		o, err := ReadOutlet(run)
		if err != nil {
			t.Error(err)
		}
		got <- o
	}()
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if o := <-got; o.Driver != Pasta {
		t.Errorf("%+v", o)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// An end in the middle of the start does not wait for a helper that hangs.
func TestStopDuringStart(t *testing.T) {
	fakePasta(t, "exec sleep 60\n")
	run := t.TempDir()
	_, stop, err := New(run, io.Discard).ConfigureNetwork(os.Getpid(), run, thisNetns)
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if o, err := ReadOutlet(run); err != nil || o.Driver != None {
		t.Errorf("%+v %v", o, err)
	}
}
