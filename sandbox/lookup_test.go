package sandbox

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbx/api"
	"sbx/internal/dirs"
)

// supervisor is one with directories of its own and nothing in them; what it has
// to complain of is in the buffer.
func supervisor(t *testing.T) (*Supervisor, *bytes.Buffer) {
	t.Helper()
	top := t.TempDir()
	var log bytes.Buffer
	s := &Supervisor{
		Options: Options{
			Dirs: dirs.Dirs{Data: filepath.Join(top, "data"), Run: filepath.Join(top, "run")},
			Log:  slog.New(slog.NewTextHandler(&log, nil)),
		},
		boxes: map[string]*box{}, names: map[string]*box{}, journal: testJournal(t),
	}
	for _, d := range []string{s.Dirs.Sandboxes(), s.Dirs.Run, s.Dirs.Storage()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s, &log
}

// id is one that begins as said.
func id(begin string) string { return begin + strings.Repeat("0", idLength-len(begin)) }

// put writes a file and the directories above it.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// list gives the paths of everything below dir, relative to it.
func list(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		rel, e := filepath.Rel(dir, path)
		if err == nil {
			err = e
		}
		all = append(all, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// This once removed all sandboxes, for a monitor that had none.
func TestRemoveAllTakesIDsOnly(t *testing.T) {
	s, log := supervisor(t)
	top := filepath.Dir(s.Dirs.Data)
	below := s.Dirs.Sandboxes()
	put(t, below+"/"+id("a")+"/upper/file", "a")
	put(t, below+"/"+id("a")+"/config.json", "{}")
	put(t, below+"/"+id("b")+"/upper/file", "b")
	put(t, s.Dirs.Run+"/"+id("a")+"/monitor.sock", "")
	put(t, s.Dirs.Run+"/sock", "")
	put(t, top+"/x/outside", "")
	put(t, below+"/"+strings.Repeat("g", idLength)+"/file", "")
	put(t, below+"/"+strings.Repeat("A", idLength)+"/file", "")
	before := list(t, top)
	for _, name := range []string{
		"", ".", "..", "/", "./", "../x", "*", "a", id("a")[:63], id("a") + "0", id("a")[:12], "\x00", " ", "storage", "sock",
		strings.Repeat("g", idLength), strings.Repeat("A", idLength), strings.Repeat(" ", idLength), strings.Repeat("/", idLength), strings.Repeat("*", idLength),
		// So many characters as an id has; none of them leads beyond top.
		strings.Repeat("./", 32), strings.Repeat("./", 30) + "../x", id("a")[:61] + "/..", id("a") + "/", "/" + id("a")[:63], id("a")[:63] + "\n",
		strings.Repeat("./", 26) + "../../x/././", strings.Repeat("a/", 28) + "../../..",
	} {
		s.removeAll(below, name)
		s.removeAll(s.Dirs.Run, name)
		s.clear(name)
		s.clearRun(name)
		if after := list(t, top); after != before {
			t.Fatalf("%q (%d characters) has removed something:\n%s\nof\n%s", name, len(name), after, before)
		}
	}
	s.clear(id("c")) // not there
	if list(t, top) != before || log.Len() != 0 {
		t.Errorf("an id that does not exist: %s", log)
	}
	s.clearRun(id("a"))
	if exists(s.Dirs.Run+"/"+id("a")) || !exists(below+"/"+id("a")+"/upper/file") {
		t.Error("clearRun is for the runtime directory")
	}
	s.clear(id("a"))
	if exists(below+"/"+id("a")) || !exists(below+"/"+id("b")+"/upper/file") || !exists(s.Dirs.Run+"/sock") {
		t.Errorf("left:\n%s", list(t, top))
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		n := newID()
		if !isID(n) || seen[n] {
			t.Fatalf("%q", n)
		}
		seen[n] = true
	}
}

// add makes a sandbox known.
func add(s *Supervisor, id, name string) *box {
	b := newBox(api.Config{ID: id, Spec: api.Spec{Name: name}}, filepath.Join(s.Dirs.Sandboxes(), id))
	s.boxes[id], s.names[name] = b, b
	return b
}

func TestFind(t *testing.T) {
	s, _ := supervisor(t)
	one, two := add(s, id("abc1"), "one"), add(s, id("abc2"), "two")
	tricky := add(s, id("f"), "abc1") // a name that begins another's id
	named := add(s, id("e"), id("f")) // a name that is another's id
	for name, want := range map[string]*box{
		"one": one, "/one": one, "two": two, id("abc1"): one, id("abc2"): two, "abc2": two, id("abc1")[:12]: one, "abc10": one,
		"abc1": tricky, id("f"): named, "f": tricky, "e": named,
	} {
		if got, err := s.find(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for name, word := range map[string]string{
		"abc": "several", "ab": "several", "a": "several", "": "no such", "/": "no such", "//one": "no such", "on": "no such", "One": "no such",
		id("abc1") + "0": "no such", "ABC2": "no such", "bc1": "no such", "*": "no such", ".": "no such", "..": "no such",
	} {
		if got, err := s.find(name); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, %v, want %q", name, got, err, word)
		}
	}
	s.unlist(one)
	if _, err := s.find("one"); err == nil {
		t.Error("what is unlisted was found")
	}
	if got, err := s.find("ab"); err != nil || got != two {
		t.Errorf("no longer ambiguous: %v, %v", got, err)
	}
}

// A name that has passed to another sandbox stays that one's.
func TestUnlistLeavesTheNextOwnerOfAName(t *testing.T) {
	s, _ := supervisor(t)
	old := add(s, id("1"), "name")
	next := add(s, id("2"), "name")
	s.unlist(old)
	s.unlist(old)
	if s.names["name"] != next || len(s.boxes) != 1 || !old.removed {
		t.Errorf("%v, %v", s.names, s.boxes)
	}
}

func TestRenameASandbox(t *testing.T) {
	s, _ := supervisor(t)
	b := add(s, id("1"), "old")
	add(s, id("2"), "taken")
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"taken", "old", "", "../x", "a b", "-x"} {
		if err := s.rename("old", to); err == nil {
			t.Errorf("renamed to %q", to)
		}
	}
	if err := s.rename("old", "new"); err != nil {
		t.Fatal(err)
	}
	var kept api.Config
	if err := readJSON(b.dir+"/config.json", &kept); err != nil || kept.Name != "new" || kept.ID != b.config.ID {
		t.Errorf("config.json: %+v, %v", kept, err)
	}
	if s.names["new"] != b || s.names["old"] != nil || b.config.Name != "new" {
		t.Errorf("%v", s.names)
	}
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	if err := s.rename("new", "third"); err == nil || s.names["new"] != b || s.names["third"] != nil {
		t.Errorf("what could not be written has another name: %v", err)
	}
}
