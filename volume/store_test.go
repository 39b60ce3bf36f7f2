package volume

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// users is who has which volume, as a supervisor would know it.
type users struct {
	mu  sync.Mutex
	all map[string][]string
}

func (u *users) of(name string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all[name]
}

func (u *users) set(name string, boxes ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all[name] = boxes
}

func openStore(t *testing.T, dir string) (*Store, *users) {
	t.Helper()
	u := &users{all: map[string][]string{}}
	s, err := Open(Options{Dir: dir, Used: u.of, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s, u
}

func ensure(t *testing.T, s *Store, name string) {
	t.Helper()
	if made, err := s.Ensure(Volume{Name: name}, true); err != nil || !made {
		t.Fatalf("%s: made %t, %v", name, made, err)
	}
}

func namesOf(s *Store) []string {
	var list []string
	for _, v := range s.List() {
		list = append(list, v.Name)
	}
	return list
}

func TestCreateListRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "volumes")
	s, u := openStore(t, dir)
	want := Volume{Name: "db", Labels: map[string]string{"a": "b"}, Options: map[string]string{"type": "tmpfs"}}
	if made, err := s.Ensure(want, true); err != nil || !made {
		t.Fatal(made, err)
	}
	if made, err := s.Ensure(want, true); err != nil || made {
		t.Errorf("once more: %t, %v", made, err)
	}
	if made, err := s.Ensure(Volume{Name: "db"}, true); err != nil || made {
		t.Errorf("nothing asked for: %t, %v", made, err)
	}
	for _, other := range []Volume{
		{Name: "db", Labels: map[string]string{"a": "c"}}, {Name: "db", Labels: map[string]string{"c": ""}},
		{Name: "db", Options: map[string]string{"type": "tmpfs", "o": "size=1m"}},
	} {
		if _, err := s.Ensure(other, true); err == nil || !strings.Contains(err.Error(), "there is one of that name") {
			t.Errorf("%+v: %v", other, err)
		}
	}
	ensure(t, s, "cache")
	for path, mode := range map[string]os.FileMode{dir: 0o700, dir + "/cache": 0o700, dir + "/cache/_data": 0o755} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %o", path, st.Mode(), err, mode)
		}
	}
	u.set("db", "web", "job")
	err := s.Remove("db")
	var e *api.Error
	if !errors.Is(err, ErrUsed) || !errors.As(err, &e) || !strings.Contains(err.Error(), "web, job") || e.ExitCode() != 1 {
		t.Errorf("in use: %v", err)
	}
	s, u = openStore(t, dir)
	if got := namesOf(s); !slices.Equal(got, []string{"cache", "db"}) {
		t.Errorf("opened again: %q", got)
	}
	v, err := s.Find("db")
	if err != nil || v.Labels["a"] != "b" || v.Options["type"] != "tmpfs" || v.Created.IsZero() {
		t.Errorf("db is %+v, %v", v, err)
	}
	if err := s.Remove("db"); err != nil {
		t.Error(err)
	}
	for _, missing := range []error{s.Remove("db"), s.Remove("../../etc"), s.Remove("")} {
		if !errors.Is(missing, ErrMissing) || !errors.As(missing, &e) || e.ExitCode() != 1 {
			t.Errorf("missing: %v", missing)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "cache" {
		t.Errorf("left: %v, %v", left, err)
	}
	_ = u
}

func TestCheckRefuses(t *testing.T) {
	s, _ := openStore(t, filepath.Join(t.TempDir(), "volumes"))
	for _, test := range []struct {
		v    Volume
		want string
	}{
		{Volume{Name: "a"}, "two characters"},
		{Volume{Name: ".new-1"}, "begins with a letter"},
		{Volume{Name: "a/b"}, "only letters"},
		{Volume{Name: strings.Repeat("x", 255)}, "at most"},
		{Volume{Name: "a\xff"}, "only letters"},
		{Volume{Name: "ab", Options: map[string]string{"type": "nfs", "device": ":/x"}}, "only root may mount"},
		{Volume{Name: "ab", Options: map[string]string{"o": "bind", "device": "x"}}, "not an absolute path"},
		{Volume{Name: "ab", Options: map[string]string{"o": "bind,uid=3", "device": "/x"}}, "no such option"},
		{Volume{Name: "ab", Options: map[string]string{"size": "1"}}, "unknown option"},
	} {
		if err := s.Check(test.v); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.v, err, test.want)
		}
		if made, err := s.Ensure(test.v, false); err == nil || made {
			t.Errorf("%+v was made", test.v)
		}
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestDevice(t *testing.T) {
	for _, test := range []struct {
		options map[string]string
		want    Device
	}{
		{nil, Device{}},
		{map[string]string{"type": "none", "o": "bind", "device": "/x"}, Device{Type: "bind", Source: "/x"}},
		{map[string]string{"o": "ro,rbind", "device": "/x"}, Device{Type: "bind", Source: "/x", ReadOnly: true}},
		{map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,rw,uid=5"}, Device{Type: "tmpfs", Options: "size=1m,uid=5"}},
	} {
		if got, err := (&Volume{Name: "vv", Options: test.options}).Device(); err != nil || got != test.want {
			t.Errorf("%v: %+v, %v", test.options, got, err)
		}
	}
}

// What was half made or half removed when the process ended is gone, what has data and
// no record is a volume, and what is not ours is left alone.
func TestOpenAfterACrash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "volumes")
	s, _ := openStore(t, dir)
	ensure(t, s, "kept")
	for _, path := range []string{".new-123/_data", ".gone-abc/_data/sub", "torn/_data", "lost+found", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/torn/volume.json", []byte(`{"name":"ot`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = openStore(t, dir)
	if got := namesOf(s); !slices.Equal(got, []string{"kept", "torn"}) {
		t.Errorf("volumes: %q", got)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if err != nil || !slices.Equal(left, []string{"empty", "kept", "lost+found", "torn"}) {
		t.Errorf("left: %q, %v", left, err)
	}
}

// A name is made and removed from all sides at once: there is one of it, or none, and
// one that somebody has is never removed.
func TestCreateWhileRemove(t *testing.T) {
	s, u := openStore(t, filepath.Join(t.TempDir(), "volumes"))
	var all sync.WaitGroup
	for i := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			name := "v" + strconv.Itoa(i%2)
			for range 200 {
				if _, err := s.Ensure(Volume{Name: name}, false); err != nil {
					t.Errorf("create: %v", err)
				}
				if err := s.Remove(name); err != nil && !errors.Is(err, ErrMissing) {
					t.Errorf("remove: %v", err)
				}
			}
		}()
	}
	for range 200 { // as a supervisor does: who wants it is known first
		u.set("mine", "box")
		if _, err := s.Ensure(Volume{Name: "mine"}, false); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove("mine"); !errors.Is(err, ErrUsed) {
			t.Fatalf("one in use: %v", err)
		}
		if _, err := os.Stat(s.Data("mine")); err != nil {
			t.Fatal(err)
		}
		u.set("mine")
		if err := s.Remove("mine"); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != len(s.List()) {
		t.Errorf("%d directories, %d volumes, %v", len(left), len(s.List()), err)
	}
}

// A full disk: a clear error, and nothing half made.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,nr_inodes=20"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, 0)
	s, _ := openStore(t, dir+"/volumes")
	ensure(t, s, "there")
	from := t.TempDir()
	if err := os.WriteFile(from+"/big", make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	err := fill(t, s, "there", from)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "SBX_DATA") {
		t.Errorf("fill: %v", err)
	}
	if left, err := os.ReadDir(dir + "/volumes/there"); err != nil || len(left) != 2 {
		t.Errorf("left of it: %v, %v", left, err)
	}
	if empty, err := s.Empty("there"); err != nil || !empty {
		t.Errorf("empty %t, %v", empty, err)
	}
	for i := range 20 {
		if _, err = s.Ensure(Volume{Name: "more" + strconv.Itoa(i)}, true); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "full") {
		t.Errorf("create: %v", err)
	}
	left, err := os.ReadDir(dir + "/volumes")
	if err != nil || len(left) != len(s.List()) {
		t.Errorf("%d directories, %d volumes, %v", len(left), len(s.List()), err)
	}
	// A full disk keeps nobody from removing.
	for _, name := range namesOf(s) {
		if err := s.Remove(name); err != nil {
			t.Error(err)
		}
	}
}
