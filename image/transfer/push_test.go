package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
)

func TestPushUnchanged(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", []layer{{"one", "1", "gzip"}, {"two", "2", "zstd"}}, nil)
	name := s.host() + "/lib/app:1"
	mustPull(t, o, name, PullOptions{})
	s.forget()
	file := filepath.Join(t.TempDir(), "digest")
	d, err := Push(context.Background(), o, api.Push{Name: name, To: s.host() + "/lib/app:2", Reach: o.Reach, DigestFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if d != p.desc.Digest {
		t.Errorf("digest %s, want %s: the manifest has changed", d, p.desc.Digest)
	}
	if data, err := os.ReadFile(file); string(data) != d.String() {
		t.Errorf("digest file %q, %v", data, err)
	}
	if n := s.asked("POST") + s.asked("PATCH"); n != 0 {
		t.Errorf("everything is there, but %d uploads were begun", n)
	}
}

func TestPushElsewhere(t *testing.T) {
	from, to, o := newServer(t), newServer(t), newOptions(t)
	p := from.make("lib/app", "1", threeLayers(), nil)
	mustPull(t, o, from.host()+"/lib/app:1", PullOptions{})
	dest := to.host() + "/mine/app:1"
	push := api.Push{Name: from.host() + "/lib/app:1", To: dest}
	first, err := Push(context.Background(), o, push)
	if err != nil {
		t.Fatal(err)
	}
	other := newOptions(t)
	got := mustPull(t, other, dest, PullOptions{})
	if got.Image.ID != p.id || got.Digest != first {
		t.Errorf("pulled id %s and digest %s, want %s and %s", got.Image.ID, got.Digest, p.id, first)
	}
	to.forget()
	second, err := Push(context.Background(), o, push)
	if err != nil || second != first {
		t.Errorf("pushed again: %s, %v; want %s", second, err, first)
	}
	if n := to.asked("PATCH"); n != 0 {
		t.Errorf("pushed again: %d uploads", n)
	}
}

func TestPushFormat(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", threeLayers(), nil)
	name := s.host() + "/lib/app:1"
	mustPull(t, o, name, PullOptions{})
	for _, c := range []struct {
		push     api.Push
		manifest string
		layer    string
	}{
		{api.Push{Format: "v2s2"}, dockerManifest, dockerLayer + ".gzip"},
		{api.Push{Format: "oci", Compression: "zstd"}, imgspecv1.MediaTypeImageManifest, imgspecv1.MediaTypeImageLayerZstd},
		{api.Push{Compression: "gzip"}, imgspecv1.MediaTypeImageManifest, imgspecv1.MediaTypeImageLayerGzip},
	} {
		c.push.Name, c.push.To = name, s.host()+"/lib/converted:1"
		if _, err := Push(context.Background(), o, c.push); err != nil {
			t.Fatal(err)
		}
		other := newOptions(t)
		other.Report = nil
		got := mustPull(t, other, c.push.To, PullOptions{})
		r, err := other.Store.Record(got.Image.ID)
		if err != nil {
			t.Fatal(err)
		}
		var m imgspecv1.Manifest
		if err := json.Unmarshal(r.Manifest, &m); err != nil {
			t.Fatal(err)
		}
		if m.MediaType != c.manifest || got.Image.ID != p.id || !bytes.Equal(r.Config, p.config) {
			t.Errorf("%+v: %s, id %s", c.push, m.MediaType, got.Image.ID)
		}
		for _, l := range m.Layers {
			if l.MediaType != c.layer {
				t.Errorf("%+v: layer is %s, want %s", c.push, l.MediaType, c.layer)
			}
		}
	}
	_, err := Push(context.Background(), o, api.Push{Name: name, Format: "v2s2", Compression: "zstd"})
	if err == nil || !strings.Contains(err.Error(), "zstd") {
		t.Errorf("v2s2 with zstd: %v", err)
	}
}

func TestPushAllTags(t *testing.T) {
	s, to, o := newServer(t), newServer(t), newOptions(t)
	s.make("lib/app", "1", []layer{{"one", "1", "gzip"}}, nil)
	mustPull(t, o, s.host()+"/lib/app:1", PullOptions{})
	for _, tag := range []string{"a", "b"} {
		if err := o.Store.Tag(s.host()+"/lib/app:1", to.host()+"/x/app:"+tag); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Push(context.Background(), o, api.Push{Name: to.host() + "/x/app", AllTags: true}); err != nil {
		t.Fatal(err)
	}
	if a, b := to.asked("PUT /v2/x/app/manifests/a"), to.asked("PUT /v2/x/app/manifests/b"); a != 1 || b != 1 {
		t.Errorf("manifests put: a %d, b %d", a, b)
	}
	// The other way round, all tags are pulled.
	other := newOptions(t)
	got := mustPull(t, other, to.host()+"/x/app", PullOptions{AllTags: true})
	if len(got.All) != 2 {
		t.Errorf("pulled %d tags", len(got.All))
	}
}

func TestPushTransports(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", threeLayers(), nil)
	name := s.host() + "/lib/app:1"
	mustPull(t, o, name, PullOptions{})
	dir := t.TempDir()
	for _, to := range []string{
		"oci:" + dir + "/layout:v1", "oci-archive:" + dir + "/oci.tar:v1",
		"docker-archive:" + dir + "/docker.tar:example.com/app:v1", "dir:" + dir + "/dir",
	} {
		if _, err := Push(context.Background(), o, api.Push{Name: name, To: to}); err != nil {
			t.Errorf("%s: %v", to, err)
			continue
		}
		other := newOptions(t)
		got, err := Pull(context.Background(), other, to, PullOptions{})
		if err != nil || got.Image.ID != p.id || !got.Fresh {
			t.Errorf("%s: pulled %s, %v; want %s", to, got.Image.ID, err, p.id)
		}
		if want := map[string]string{
			"oci": "localhost/layout:v1", "oci-": "localhost/oci:v1", "dock": "example.com/app:v1", "dir:": "localhost/dir:latest",
		}[strings.TrimSuffix(to[:4], ":")+map[bool]string{true: ":"}[to[:4] == "dir:"]]; got.Name != want {
			t.Errorf("%s: named %q, want %q", to, got.Name, want)
		}
	}
}

// A blob that another repository of the registry has is mounted, not sent.
func TestPushMounts(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", threeLayers()[:2], nil)
	name := s.host() + "/lib/app:1"
	mustPull(t, o, name, PullOptions{})
	var mounts atomic.Int32
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		if strings.HasPrefix(r.URL.Path, "/v2/mine/") && strings.Contains(r.URL.Path, "/blobs/sha256:") && mounts.Load() < 2 && r.Method == "HEAD" {
			w.WriteHeader(http.StatusNotFound) // the test's registry does not know repositories apart
			return true
		}
		if r.Method != "POST" || q.Get("mount") == "" {
			return false
		}
		if q.Get("from") != "lib/app" {
			t.Errorf("asked to mount from %q", q.Get("from"))
		}
		mounts.Add(1)
		w.WriteHeader(http.StatusCreated)
		return true
	})
	var mu sync.Mutex
	states := map[string]int{}
	o.Report = func(p api.Progress) {
		mu.Lock()
		defer mu.Unlock()
		for _, step := range p.Steps {
			states[step.State]++
		}
	}
	d, err := Push(context.Background(), o, api.Push{Name: name, To: s.host() + "/mine/app:1"})
	if err != nil || d != p.desc.Digest {
		t.Fatalf("pushed %s, %v; want %s", d, err, p.desc.Digest)
	}
	if mounts.Load() != 2 || states[api.StepMounted] != 2 {
		t.Errorf("%d mounts, states %v", mounts.Load(), states)
	}
	// That the blobs are there now too has been noted.
	if repos := o.Store.Blobs(digest.FromBytes(threeLayers()[0].plain(t)))[0].Repos; !slices.Contains(repos, s.host()+"/mine/app") {
		t.Errorf("seen in %v", repos)
	}
}
