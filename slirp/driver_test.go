package slirp

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rootless-containers/rootlesskit/v3/pkg/messages"
	"golang.org/x/sys/unix"
)

func TestChoose(t *testing.T) {
	for have, want := range map[string]string{
		"pasta slirp4netns ip nsenter": Pasta,
		"pasta":                        Pasta,
		"slirp4netns ip nsenter":       Slirp4netns,
		"slirp4netns nsenter":          None,
		"slirp4netns ip":               None,
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
while [ $# -gt 0 ]; do
	[ "$1" = --pid ] && file=$2
	[ "$1" = --userns ] && userns=$2
	shift
done
echo $$ > "$file"
[ "$userns" = /proc/1234/ns/user ]
`)
	run := t.TempDir()
	d := New(run, os.Stderr)
	msg, stop, err := d.ConfigureNetwork(1234, run, thisNetns)
	if err != nil {
		t.Fatal(err)
	}
	if msg.Dev != Device || msg.IP != Address || !slices.Equal(msg.DNS, []string{DNS}) {
		t.Errorf("message %+v", msg)
	}
	o, err := ReadOutlet(run)
	if err != nil || o.Driver != Pasta || o.Reason != "" || o.Netns == 0 {
		t.Errorf("outlet %+v %v", o, err)
	}
	if err := stop(); err != nil { // the script has ended long ago
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(run, "*.pid")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// A pasta that still serves this namespace is left alone; one that serves
// another is replaced.
func TestReconnect(t *testing.T) {
	run := t.TempDir()
	d := &Driver{run: run, log: os.Stderr, name: Pasta, inner: &pasta{bin: "false", run: run}}
	file := filepath.Join(run, "pasta.pid")
	cmd := stand(t, file, "pasta", "--pid", file)
	r, err := openRecord(run, thisNetns)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.finish(Outlet{Driver: Pasta}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Reconnect(os.Getpid(), thisNetns); err != nil {
		t.Fatal(err)
	}
	if !(&pasta{run: run}).running() {
		t.Fatal("the pasta of this namespace was ended")
	}
	r, err = openRecord(run, "/proc/self/ns/mnt") // just another number
	if err != nil {
		t.Fatal(err)
	}
	if err := r.finish(Outlet{Driver: Pasta}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Reconnect(os.Getpid(), thisNetns); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the pasta of another namespace ended by itself")
	}
	// The new one could not be had: false is not pasta.
	if o, err := ReadOutlet(run); err != nil || o.Driver != None {
		t.Errorf("outlet %+v %v", o, err)
	}
}

func TestReadOutlet(t *testing.T) {
	run := t.TempDir()
	if o, err := ReadOutlet(run); err != nil || o.Driver != None {
		t.Errorf("before the first start: %+v %v", o, err)
	}
	if err := os.WriteFile(outletFile(run), []byte("{"), 0o600); err != nil {
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

func TestChildDriver(t *testing.T) {
	if NewChildDriver(Pasta) != nil || NewChildDriver(None) != nil {
		t.Error("pasta needs no help from inside")
	}
	d := NewChildDriver(Slirp4netns)
	for device, configured := range map[string]bool{Device: false, "": true} {
		got, err := d.ConfigureNetworkChild(&messages.ParentInitNetworkDriverCompleted{Dev: device}, "")
		if err != nil || got != device {
			t.Errorf("%q: %q %v", device, got, err)
		}
		if info, err := d.ChildDriverInfo(); err != nil || info.ConfiguresInterface != configured {
			t.Errorf("%q: %+v %v", device, info, err)
		}
	}
}
