package source

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"sbx/api"
)

const modified = "Wed, 21 Oct 2015 07:28:00 GMT"

func server(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/dir/file.txt", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Last-Modified", modified)
		fmt.Fprint(w, "content")
	})
	mux.HandleFunc("/packed", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, "content")
			z.Close()
			return
		}
		fmt.Fprint(w, "content")
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "root") })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/dir/file.txt", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/local", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "content")
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "99999999999999")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/context.tar", func(w http.ResponseWriter, _ *http.Request) { w.Write(archive(t, "Dockerfile=FROM~a", "x=X")) })
	mux.HandleFunc("/Some.file", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "FROM b") })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestHTTP(t *testing.T) {
	base := server(t)
	const sum = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73" // of "content"
	for _, c := range []struct {
		path, checksum   string
		name, text, fail string
	}{
		{path: "/dir/file.txt", name: "file.txt", text: "content"},
		{path: "/dir/file.txt?x=y#z", name: "file.txt", text: "content"},
		{path: "/dir/file.txt", checksum: sum, name: "file.txt", text: "content"},
		{path: "/dir/file.txt", checksum: strings.Replace(sum, "e", "f", 1), fail: "digest mismatch"},
		{path: "/dir/file.txt", checksum: "sha256:12", fail: "checksum"},
		{path: "/dir/file.txt", checksum: "md5:12", fail: "checksum"},
		{path: "/packed", name: "packed", text: "content"},
		{path: "/", name: "__unnamed__", text: "root"},
		{path: "", name: "__unnamed__", text: "root"},
		{path: "/moved", name: "moved", text: "content"},
		{path: "/loop", fail: "too many redirects"},
		{path: "/local", fail: "unsupported protocol"},
		{path: "/none", fail: "404 Not Found"},
		{path: "/cut", fail: "unexpected EOF"},
		{path: "/huge", fail: "more than 16 GiB"},
	} {
		dir := filepath.Join(t.TempDir(), "x")
		var last int64
		tree, err := FetchHTTP(t.Context(), base+c.path, c.checksum, Options{Dir: dir, Progress: func(done, _ int64) { last = done }})
		if err == nil {
			if err = tree.ready(t.Context()); err != nil {
				err = errors.Join(err, tree.Close())
			}
		}
		if c.fail != "" {
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%s: error %v, want one with %q", c.path, err, c.fail)
			}
			empty(t, dir)
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		path := filepath.Join(tree.private.path, tree.Name)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != c.text || tree.Name != c.name || last != int64(len(text)) {
			t.Errorf("%s: %q, %v; %s; %d bytes", c.path, text, err, tree.Name, last)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode() != 0o600 || c.name == "file.txt" && st.ModTime().UTC().Format(http.TimeFormat) != modified {
			t.Errorf("%s: %v", c.path, st)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		empty(t, dir)
	}
}

// What the server says is unchanged, and what a checksum tells, is not downloaded until
// it is written.
func TestHTTPIsLate(t *testing.T) {
	text, tag, sent := "one", `"1"`, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tagged" {
			w.Header().Set("ETag", tag)
		}
		if r.URL.Path == "/dated" {
			w.Header().Set("Last-Modified", modified)
		}
		if r.Header.Get("If-None-Match") == tag || r.Header.Get("If-Modified-Since") == modified && text == "one" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent++
		fmt.Fprint(w, text)
	}))
	defer s.Close()
	o := Options{Dir: filepath.Join(t.TempDir(), "x"), Seen: filepath.Join(t.TempDir(), "new", "seen")}
	get := func(path, checksum string, wantSent int) (digest string) {
		t.Helper()
		sent = 0
		tree, err := FetchHTTP(t.Context(), s.URL+path, checksum, o)
		if err != nil {
			t.Fatal(err)
		}
		if sent != wantSent {
			t.Errorf("%s was sent %d times, want %d", path, sent, wantSent)
		}
		item := tree.Item(false)
		if err := item.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		got, err := os.ReadFile(filepath.Join(tree.private.path, tree.Name))
		if err != nil || string(got) != text || sent != 1 {
			t.Errorf("%s: %q, %v; sent %d times", path, got, err, sent)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		empty(t, o.Dir)
		return item.Digest
	}
	for _, path := range []string{"/tagged", "/dated"} {
		first, again := get(path, "", 1), get(path, "", 0)
		if first != again {
			t.Errorf("%s: %s, then %s", path, first, again)
		}
	}
	get("/plain", "", 1)
	get("/plain", "", 1)
	get("/plain", "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", 0) // of "one"
	before := get("/tagged", "", 0)
	text, tag = "two", `"2"`
	if after := get("/tagged", "", 1); after == before {
		t.Error("what has changed has the same digest")
	}
	if err := os.WriteFile(o.Seen, []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	get("/tagged", "", 1)
	tree, err := FetchHTTP(t.Context(), s.URL+"/tagged", "", o)
	if err != nil {
		t.Fatal(err)
	}
	text, tag = "three", `"3"`
	if err := tree.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "changed since") {
		t.Error(err)
	}
	if err := tree.Close(); err != nil {
		t.Error(err)
	}
}

func TestSeenIsBounded(t *testing.T) {
	o := Options{Seen: filepath.Join(t.TempDir(), "seen")}
	all := make([]seenFile, mostSeen+50)
	for i := range all {
		all[i] = seenFile{URL: fmt.Sprint(i), ETag: "x", Digest: digest.FromString("x"), Used: int64(i)}
	}
	data, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(o.Seen, data, 0o600)
	}
	if err == nil {
		err = o.remember("http://user:password@h/x", seenFile{ETag: "y", Digest: digest.FromString("y")})
	}
	if err != nil {
		t.Fatal(err)
	}
	got := readSeen(o.Seen)
	if len(got) != mostSeen || got[mostSeen-1].ETag != "y" || got[0].Used != 51 {
		t.Errorf("%d, from %v to %v", len(got), got[0], got[len(got)-1])
	}
	if text, err := os.ReadFile(o.Seen); err != nil || strings.Contains(string(text), "password") {
		t.Error("the file has a password in it", err)
	}
}

func TestHTTPStops(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	dir := t.TempDir()
	start := time.Now()
	if _, err := FetchHTTP(ctx, server(t)+"/slow", "", Options{Dir: dir}); !errors.Is(err, context.DeadlineExceeded) && err == nil {
		t.Error("no error")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	empty(t, dir)
}

// A context that is a URL is an archive or a Dockerfile, as the server sends it.
func TestHTTPContext(t *testing.T) {
	base := server(t)
	for _, c := range []struct{ path, text string }{{"/context.tar", "FROM~a"}, {"/Some.file", "FROM b"}} {
		dir := t.TempDir()
		ctx, err := Open(t.Context(), &api.Build{Context: api.ContextHTTP, URL: base + c.path, Where: base}, Files{}, Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if _, text := ctx.Dockerfile(); string(text) != c.text {
			t.Errorf("%q", text)
		}
		if err := ctx.Close(); err != nil {
			t.Error(err)
		}
		empty(t, dir)
	}
}
