package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbx/api"
)

func TestRegister(t *testing.T) {
	s, _ := supervisor(t)
	b, err := s.register(named(id("a"), "box"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var kept api.Config
	if err := readJSON(b.dir+"/config.json", &kept); err != nil || kept.ID != id("a") || kept.Name != "box" {
		t.Errorf("config.json: %+v, %v", kept, err)
	}
	if s.names["box"] != b || s.boxes[id("a")] != b || !exists(b.dir+"/upper") || !exists(b.dir+"/work") {
		t.Errorf("%v, %v\n%s", s.names, s.boxes, list(t, b.dir))
	}
	if _, err := s.register(named(id("b"), "box"), false, nil); err == nil || !strings.Contains(err.Error(), "in use by sandbox "+id("a")[:12]) {
		t.Errorf("a name twice: %v", err)
	}
	if unnamed, err := s.register(named(id("c"), ""), false, nil); err != nil || unnamed.config.Name == "" || s.names[unnamed.config.Name] != unnamed {
		t.Errorf("without a name: %v", err)
	}
	if exists(filepath.Join(s.Dirs.Sandboxes(), id("b"))) || len(s.boxes) != 2 {
		t.Errorf("left:\n%s", list(t, s.Dirs.Sandboxes()))
	}
}

// What fails half-way leaves nothing, in the tables or on the disk.
func TestRegisterIsUndone(t *testing.T) {
	s, _ := supervisor(t)
	dir := filepath.Join(s.Dirs.Sandboxes(), id("a"))
	put(t, dir, "in the way")
	if b, err := s.register(named(id("a"), "box"), false, nil); err == nil || b != nil {
		t.Errorf("over a file: %v, %v", b, err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	// A slot that has lost its directory cannot keep a config.json.
	if b, err := s.register(named(id("a"), "box"), true, nil); err == nil || b != nil {
		t.Errorf("without a directory: %v, %v", b, err)
	}
	if len(s.boxes)+len(s.names) != 0 || exists(dir) {
		t.Errorf("%v, %v\n%s", s.boxes, s.names, list(t, s.Dirs.Sandboxes()))
	}
	if _, err := s.register(named(id("a"), "box"), false, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A monitor may report an end, and then die of something else.
func TestTheFirstEndCounts(t *testing.T) {
	s, _ := supervisor(t)
	b := add(s, id("a"), "box")
	l := &link{id: id("a"), box: b}
	b.link = l
	s.programEnded(b, l, api.Status{State: api.Exited, ExitCode: 3})
	s.programEnded(b, l, api.Status{State: api.Exited, ExitCode: 125})
	select {
	case <-b.ended:
	default:
		t.Error("nobody hears of the end")
	}
	if b.status.ExitCode != 3 || s.names["box"] != b {
		t.Errorf("status %+v", b.status)
	}
	gone := add(s, id("b"), "brief")
	gone.config.Lifecycle.AutoRemove = true
	s.programEnded(gone, &link{}, api.Status{State: api.Exited})
	if _, err := s.find("brief"); err == nil {
		t.Error("the name of a sandbox with --rm is taken after its end")
	}
	kept := add(s, id("c"), "restarted")
	kept.config.Lifecycle.AutoRemove, kept.keep = true, true
	s.programEnded(kept, &link{}, api.Status{State: api.Exited})
	if s.names["restarted"] != kept {
		t.Error("a restart has lost its sandbox")
	}
}
