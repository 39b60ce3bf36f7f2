package image

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"sbx/api"
)

func TestResolve(t *testing.T) {
	s := open(t)
	ids := map[string]string{}
	for _, name := range []string{"debian", "alice/tool:1", "localhost/mine", "quay.io/x/y:z", "localhost:5000/reg", "deadbeef"} {
		ids[name] = load(t, s, name, pack(t, regular("name", name))).ID
	}
	record, err := s.store.Image("docker.io/library/debian:latest")
	if err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]string{
		"debian": "debian", "debian:latest": "debian", "library/debian": "debian",
		"docker.io/debian": "debian", "docker.io/library/debian:latest": "debian",
		"debian@" + record.Digest.String(): "debian",
		"alice/tool:1":                     "alice/tool:1", "docker.io/alice/tool:1": "alice/tool:1",
		"mine": "localhost/mine", "localhost/mine:latest": "localhost/mine",
		"quay.io/x/y:z": "quay.io/x/y:z", "localhost:5000/reg": "localhost:5000/reg",
		"deadbeef":    "deadbeef",
		ids["debian"]: "debian", ids["debian"][:20]: "debian", "sha256:" + ids["debian"]: "debian",
	} {
		img, err := s.Resolve(typed)
		if err != nil || img.ID != ids[want] {
			t.Errorf("%q is %v, %v; want %s", typed, img.Names, err, want)
		}
	}
	for _, typed := range []string{
		"debian:12", "alice/tool", "docker.io/mine", "x/y:z", "quay.io/debian", "", "Debian", "a b", "\x1b[2J",
		"debian@sha256:" + strings.Repeat("0", 64), strings.Repeat("0", 64), "sha256:" + strings.Repeat("0", 64),
		"../debian", "-", pending + ids["debian"],
	} {
		img, err := s.Resolve(typed)
		var e *api.Error
		if !errors.As(err, &e) || e.Hint == "" || e.ExitCode() != 125 || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q: %v, %v", typed, img.Names, err)
		}
	}
}

func TestResolveAmbiguous(t *testing.T) {
	ix := &index{ids: []string{"aa11", "aa22", "bb33"}, byID: map[string]*entry{"aa11": {}, "aa22": {}, "bb33": {}}}
	if _, err := ix.abbreviated("aa"); err == nil || !strings.Contains(err.Error(), "more than one") {
		t.Errorf("aa: %v", err)
	}
	for prefix, want := range map[string]string{"aa1": "aa11", "aa22": "aa22", "b": "bb33"} {
		if e, err := ix.abbreviated(prefix); err != nil || e != ix.byID[want] {
			t.Errorf("%s: %v, %v", prefix, e, err)
		}
	}
	if e, err := ix.abbreviated("cc"); e != nil || err != nil {
		t.Errorf("cc: %v, %v", e, err)
	}
}

// An image whose records are damaged is reported when it is used, and harms no other.
func TestResolveBroken(t *testing.T) {
	s := open(t)
	good := load(t, s, "good", pack(t, tree()...))
	if _, err := s.store.CreateImage("", []string{"localhost/bad:latest"}, "", "", nil); err != nil {
		t.Fatal(err)
	}
	s.index.Store(nil)
	if got, err := s.Resolve("good"); err != nil || got.ID != good.ID {
		t.Errorf("good: %v", err)
	}
	if _, err := s.Resolve("bad"); err == nil || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("bad: %v", err)
	}
}

// Once read, the disk is not needed, and nobody waits for an import.
func TestResolveFromMemory(t *testing.T) {
	s := open(t)
	load(t, s, "x", pack(t, tree()...))
	s.write.Lock()
	defer s.write.Unlock()
	store := s.store
	s.store = nil
	defer func() { s.store = store }()
	if _, err := s.Resolve("x"); err != nil {
		t.Error(err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestResolveParallel(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { load(t, s, "x", pack(t, tree()...)) })
	}
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				if img, err := s.Resolve("x"); err == nil && len(img.Layers) != 1 {
					t.Errorf("half an image: %+v", img)
				}
			}
		})
	}
	wg.Wait()
	if list, err := s.List(); err != nil || len(list) != 4 {
		t.Errorf("%d images, %v", len(list), err)
	}
}

func BenchmarkResolve(b *testing.B) {
	s := open(b)
	load(b, s, "debian", pack(b, tree()...))
	for b.Loop() {
		if _, err := s.Resolve("debian"); err != nil {
			b.Fatal(err)
		}
	}
}
