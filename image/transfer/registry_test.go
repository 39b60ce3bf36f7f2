package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
	"sbx/image"
	"sbx/internal/dirs"
)

// server is a registry in this process. It records what it is asked for, and a test
// may answer instead of it.
type server struct {
	*httptest.Server
	t    *testing.T
	mu   sync.Mutex
	asks []string // "GET /v2/..."
	// answer may take over a request: it returns true if it did.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t}
	s.Server = httptest.NewServer(s.handler())
	t.Cleanup(s.Close)
	return s
}

func (s *server) handler() http.Handler {
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asks = append(s.asks, r.Method+" "+r.URL.Path)
		answer := s.answer
		s.mu.Unlock()
		if r.Header.Get("X-Test") != "" || answer == nil || !answer(w, r) {
			store.ServeHTTP(w, r)
		}
	})
}

func (s *server) host() string { return s.Listener.Addr().String() }

// asked counts the requests that begin so, and forgets all.
func (s *server) asked(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.asks {
		if strings.HasPrefix(a, prefix) {
			n++
		}
	}
	return n
}

func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks = nil
}

func (s *server) intercept(answer func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *server) put(method, path, mediaType string, body []byte) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Test", "1")
	req.Header.Set("Content-Type", mediaType)
	resp, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
	}
}

func (s *server) putBlob(repo string, data []byte) imgspecv1.Descriptor {
	s.t.Helper()
	d := digest.FromBytes(data)
	s.put("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), "application/octet-stream", data)
	return imgspecv1.Descriptor{Digest: d, Size: int64(len(data))}
}

func (s *server) putManifest(repo, tag, mediaType string, v any) imgspecv1.Descriptor {
	s.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	s.put("PUT", "/v2/"+repo+"/manifests/"+tag, mediaType, data)
	return imgspecv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// layer is the tar archive of one file, and how it is packed.
type layer struct {
	name, content string
	packing       string // gzip, zstd, or none
}

func (l layer) plain(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	h := &tar.Header{Name: l.name, Mode: 0o644, Size: int64(len(l.content)), Typeflag: tar.TypeReg}
	if err := tw.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write([]byte(l.content)); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// packed returns the blob and its media type.
func (l layer) packed(t *testing.T) ([]byte, string) {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	suffix := "+" + l.packing
	switch l.packing {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		z, err := zstd.NewWriter(&buf)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	default:
		return l.plain(t), imgspecv1.MediaTypeImageLayer
	}
	if _, err := w.Write(l.plain(t)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), imgspecv1.MediaTypeImageLayer + suffix
}

// picture is an image that a test has put into a registry.
type picture struct {
	desc     imgspecv1.Descriptor // of the manifest
	manifest imgspecv1.Manifest
	config   []byte
	id       string
}

// make puts an image into the registry. edit may change the manifest before.
func (s *server) make(repo, tag string, layers []layer, edit func(*imgspecv1.Manifest)) picture {
	return s.makeFor(repo, tag, runtime.GOARCH, layers, edit)
}

func (s *server) makeFor(repo, tag, arch string, layers []layer, edit func(*imgspecv1.Manifest)) picture {
	s.t.Helper()
	var p picture
	conf := map[string]any{"os": "linux", "architecture": arch, "config": map[string]any{"Cmd": []string{"/bin/sh"}}}
	ids := []digest.Digest{}
	p.manifest = imgspecv1.Manifest{MediaType: imgspecv1.MediaTypeImageManifest}
	p.manifest.SchemaVersion = 2
	for _, l := range layers {
		data, mediaType := l.packed(s.t)
		d := s.putBlob(repo, data)
		d.MediaType = mediaType
		p.manifest.Layers = append(p.manifest.Layers, d)
		ids = append(ids, digest.FromBytes(l.plain(s.t)))
	}
	conf["rootfs"] = map[string]any{"type": "layers", "diff_ids": ids}
	var err error
	if p.config, err = json.Marshal(conf); err != nil {
		s.t.Fatal(err)
	}
	p.id = digest.FromBytes(p.config).Encoded()
	p.manifest.Config = s.putBlob(repo, p.config)
	p.manifest.Config.MediaType = imgspecv1.MediaTypeImageConfig
	if edit != nil {
		edit(&p.manifest)
	}
	p.desc = s.putManifest(repo, tag, p.manifest.MediaType, p.manifest)
	return p
}

func threeLayers() []layer {
	return []layer{
		{"one", "the first", "gzip"}, {"two", strings.Repeat("the second ", 1000), "zstd"}, {"three", "the third", "none"},
	}
}

// newOptions opens an empty store. Registries are spoken to without TLS.
func newOptions(t *testing.T) Options {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config")) // the library remembers HOME
	t.Setenv("XDG_RUNTIME_DIR", "")
	d := dirs.Dirs{Data: filepath.Join(home, "data"), Run: filepath.Join(home, "run")}
	for _, dir := range []string{d.Data, d.Run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	st, err := image.Open(d.Storage(), d.StorageRun())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	insecure := false
	return Options{Store: st, Dirs: d, Reach: api.Reach{TLSVerify: &insecure, Path: os.Getenv("PATH")}}
}

func mustPull(t *testing.T, o Options, name string, p PullOptions) Pulled {
	t.Helper()
	got, err := Pull(context.Background(), o, name, p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
