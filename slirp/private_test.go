package slirp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPrivateNamesThePackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for program, pack := range map[string]string{Pasta: "passt", Slirp4netns: "slirp4netns"} {
		_, err := Private(program, t.TempDir(), 0, os.Stderr)
		if err == nil || !strings.Contains(err.Error(), program+" is not found in PATH") || !strings.Contains(err.Error(), "install the package "+pack) {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// Its namespace belongs to the user namespace that it is started in, and the sandbox
// of slirp4netns gets along with that.
func TestPrivateArguments(t *testing.T) {
	const netns = "/run/x.net/netns"
	p := &pasta{bin: Pasta, run: "/run/x.net", at: usual, mtu: 1500}
	s := &slirp4netns{bin: Slirp4netns, at: usual, mtu: 1500}
	for _, test := range []struct {
		args       []string
		has, lacks []string
	}{
		{p.args(ownUserns, netns), []string{"--netns-only", "1500", netns}, []string{"--userns"}},
		{p.args(7, netns), []string{"--userns", "/proc/7/ns/user"}, []string{"--netns-only"}},
		{s.args(ownUserns, netns), []string{"--enable-sandbox", "--mtu=1500", netns}, []string{"--userns-path=/proc/0/ns/user"}},
		{s.args(7, netns), []string{"--userns-path=/proc/7/ns/user"}, []string{"--enable-sandbox"}},
	} {
		for _, word := range test.has {
			if !slices.Contains(test.args, word) {
				t.Errorf("%q lacks %s", test.args, word)
			}
		}
		for _, word := range test.lacks {
			if slices.Contains(test.args, word) {
				t.Errorf("%q has %s", test.args, word)
			}
		}
	}
}

// What stands for the host's loopback interface is where both programs put it.
func TestLoopback(t *testing.T) {
	var got []string
	for _, a := range (Outlet{Networks: usual.networks()}).Loopback() {
		got = append(got, a.String())
	}
	if want := []string{"10.0.2.2", "fd00::2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// One of a process that is gone ends by its pid file, and none is no error.
func TestEndPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := EndPrivate(dir); err != nil {
		t.Error(err)
	}
	daemonPasta(t)
	p := &pasta{bin: Pasta, run: dir, at: usual, mtu: MTU}
	if _, err := p.start(t.Context(), ownUserns, thisNetns); err != nil {
		t.Fatal(err)
	}
	pid, err := readPid(p.pidFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := EndPrivate(dir); err != nil {
		t.Error(err)
	}
	if isHelper(pid, Pasta, p.pidFile()) {
		t.Error("it runs")
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}
