package sandbox

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"sbx/api"
	"sbx/network"
)

// onBridge is a sandbox that runs, as far as its own files go.
func onBridge(t *testing.T, s *Supervisor, letter, net string) *box {
	t.Helper()
	c := named(id(letter), "box-"+letter)
	c.Hostname = "host-" + letter
	dir, err := s.makeDirs(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(c, dir)
	b.link = &link{id: c.ID}
	b.net.Endpoints = []network.Endpoint{{Network: net, IP: netip.MustParseAddr("10.88.0.2"), Gateway: netip.MustParseAddr("10.88.0.1")}}
	s.boxes[c.ID], s.names[c.Name] = b, b
	if err := s.writeOwnFiles(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func ownText(t *testing.T, s *Supervisor, b *box, name string) string {
	t.Helper()
	text, err := os.ReadFile(s.ownFile(b.config.ID, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFollowHost(t *testing.T) {
	s, _ := supervisor(t)
	s.nets.host = []byte("nameserver 192.0.2.53\nsearch old.test\n")
	a, b := onBridge(t, s, "a", api.DefaultNetwork), onBridge(t, s, "b", api.DefaultNetwork)
	if text := ownText(t, s, a, "hosts"); strings.Contains(text, "host.sbx.internal") {
		t.Errorf("with no way out: %q", text)
	}
	put(t, s.ownFile(b.config.ID, "hosts"), ownText(t, s, b, "hosts")+"192.0.2.1 mine")
	put(t, s.ownFile(b.config.ID, "resolv.conf"), "nameserver 192.0.2.1\n")
	// Of an earlier supervisor: what is in the files follows from what is known.
	a.own = nil

	s.followHost(func(n *networks) { n.reach = []netip.Addr{netip.MustParseAddr("198.51.100.7")} })
	const host = "198.51.100.7\thost.sbx.internal"
	for _, one := range []*box{a, b} {
		if text := ownText(t, s, one, "hosts"); strings.Count(text, host) != 1 || strings.Count(text, one.config.Hostname) != 1 {
			t.Errorf("%s: %q", one.config.Name, text)
		}
	}
	s.resolversChanged([]byte("nameserver 192.0.2.53\nsearch new.test\n"))
	s.followHost(func(n *networks) { n.reach = []netip.Addr{netip.MustParseAddr("198.51.100.8")} })
	for _, one := range []*box{a, b} {
		if text := ownText(t, s, one, "hosts"); strings.Contains(text, host) || !strings.Contains(text, "198.51.100.8\thost.sbx.internal") {
			t.Errorf("%s: %q", one.config.Name, text)
		}
	}
	if text := ownText(t, s, a, "resolv.conf"); !strings.Contains(text, "search new.test\n") {
		t.Errorf("resolv.conf is %q", text)
	}
	if text := ownText(t, s, b, "resolv.conf"); text != "nameserver 192.0.2.1\n" {
		t.Errorf("a program's resolv.conf became %q", text)
	}
	if text := ownText(t, s, b, "hosts"); !strings.Contains(text, "192.0.2.1 mine\n") {
		t.Errorf("a program's line is gone: %q", text)
	}
}

// A sandbox that has ended, and one whose program has done its worst, are no
// trouble.
func TestFollowHostInVain(t *testing.T) {
	s, _ := supervisor(t)
	a, b, c := onBridge(t, s, "a", api.DefaultNetwork), onBridge(t, s, "b", api.DefaultNetwork), onBridge(t, s, "c", "lab")
	if err := os.RemoveAll(a.dir); err != nil {
		t.Fatal(err)
	}
	huge := strings.Repeat("x", 2<<20)
	put(t, s.ownFile(b.config.ID, "hosts"), huge)
	close(c.ended)
	before := ownText(t, s, c, "hosts")
	s.followHost(func(n *networks) { n.reach = []netip.Addr{netip.MustParseAddr("198.51.100.7")} })
	if ownText(t, s, b, "hosts") != huge {
		t.Error("a file of 2 MB was changed")
	}
	if ownText(t, s, c, "hosts") != before {
		t.Error("the file of an ended sandbox was changed")
	}
	if exists(a.dir) {
		t.Error("files were made for a sandbox that is gone")
	}
}

func TestOverwrite(t *testing.T) {
	path := t.TempDir() + "/file"
	put(t, path, "")
	for _, text := range []string{"one\n", "longer than one\n", "short", ""} {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := overwrite(f, []byte(text)); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v, want %q", got, err, text)
		}
	}
}

// What another sandbox may have a descriptor of is not given to the next one.
func TestPrivate(t *testing.T) {
	for want, b := range map[bool]*box{
		true:  {config: api.Config{Spec: api.Spec{Mounts: []api.Mount{{Type: "tmpfs", Target: "/x"}}}}},
		false: {config: api.Config{Spec: api.Spec{Mounts: []api.Mount{{Type: "bind", Source: "/x", Target: "/x"}}}}},
	} {
		if b.private() != want {
			t.Errorf("%+v: %v", b.config.Mounts, !want)
		}
	}
	s, _ := supervisor(t)
	b := onBridge(t, s, "a", api.DefaultNetwork)
	other := named(id("b"), "other")
	other.Isolation.Network = "container:box-a"
	if mounts := s.ownMounts(&other); len(mounts) != 3 || mounts[0].Source != b.dir+"/hosts" {
		t.Errorf("%+v", mounts)
	}
	if b.private() {
		t.Error("its files are another's, too")
	}
}
