package sandbox

import (
	"path/filepath"
	"strings"
	"testing"

	"sbx/api"
)

func TestLingers(t *testing.T) {
	top := t.TempDir()
	booted, dir := filepath.Join(top, "booted"), filepath.Join(top, "linger")
	if !lingers("me", booted, dir) {
		t.Error("advice about a systemd that is not there")
	}
	put(t, filepath.Join(booted, "x"), "")
	if lingers("me", booted, dir) {
		t.Error("nothing says that it is on")
	}
	put(t, filepath.Join(dir, "me"), "")
	if !lingers("me", booted, dir) || lingers("you", booted, dir) {
		t.Error("it is on for me alone")
	}
}

// The note is for who wants a restart, in the background, and comes once.
func TestAdviseOnce(t *testing.T) {
	s, _ := supervisor(t)
	ours, theirs, err := api.Pair("test")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	c := &conversation{s: s, conn: ours}
	for range 2 {
		if err := c.adviseOnce("me\x1b"); err != nil {
			t.Error(err)
		}
	}
	p, err := theirs.TryRecv()
	var text api.Text
	if err == nil {
		err = p.Decode(&text)
	}
	if want := "loginctl enable-linger 'me\\x1b'\n"; err != nil || p.Kind != api.KindErr || !strings.HasSuffix(text.Text, want) {
		t.Errorf("%v, %q, want %q", err, text.Text, want)
	}
	if p, err := theirs.TryRecv(); err == nil {
		t.Errorf("a second note: %s", p.Body)
	}
	var plain api.Run
	plain.Detach, plain.Spec.Caller.Name = true, "me"
	if err := c.adviseLinger(&plain); err != nil {
		t.Error(err)
	}
}
