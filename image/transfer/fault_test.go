package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
)

// pullFails pulls lib/app:1 and checks that the error is one line with the words,
// and that nothing is left in the store.
func pullFails(t *testing.T, s *server, o Options, words ...string) error {
	t.Helper()
	name := s.host() + "/lib/app:1"
	got, err := Pull(context.Background(), o, name, PullOptions{})
	if err == nil {
		t.Errorf("no error; pulled %+v", got)
		return nil
	}
	checkError(t, err, append(words, name)...)
	if list, err := o.Store.List(); err != nil || len(list) != 0 {
		t.Errorf("the store has %v, %v", list, err)
	}
	if u, err := o.Store.Usage(); err != nil || len(u.Images) != 0 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	return err
}

func checkError(t *testing.T, err error, words ...string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Hint == "" || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 800 {
		t.Errorf("the error is not one line with a hint: %#v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q, want %q in it", err, word)
		}
	}
}

func TestManifestLies(t *testing.T) {
	foreign := map[string]int{}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { foreign[r.URL.Path]++ }))
	defer other.Close()
	wrong := digest.FromString("something else")
	for name, c := range map[string]struct {
		edit func(m *imgspecv1.Manifest)
		word string
	}{
		"one layer less":      {func(m *imgspecv1.Manifest) { m.Layers = m.Layers[:2] }, "the manifest has 2 layers, the configuration 3"},
		"one layer more":      {func(m *imgspecv1.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }, "the manifest has 4 layers"},
		"swapped layers":      {func(m *imgspecv1.Manifest) { m.Layers[0], m.Layers[1] = m.Layers[1], m.Layers[0] }, "it unpacks to"},
		"size too small":      {func(m *imgspecv1.Manifest) { m.Layers[1].Size -= 3 }, "longer than"},
		"size too large":      {func(m *imgspecv1.Manifest) { m.Layers[1].Size += 3 }, "unexpected EOF"},
		"config size":         {func(m *imgspecv1.Manifest) { m.Config.Size -= 3 }, "longer than"},
		"huge config":         {func(m *imgspecv1.Manifest) { m.Config.Size = 1 << 40 }, "more than"},
		"missing layer":       {func(m *imgspecv1.Manifest) { m.Layers[2].Digest = wrong }, "does not have it"},
		"bad digest":          {func(m *imgspecv1.Manifest) { m.Layers[2].Digest = "sha256:../../etc/passwd" }, "is not a digest"},
		"negative size":       {func(m *imgspecv1.Manifest) { m.Layers[2].Size = -1 }, "negative"},
		"artifact":            {func(m *imgspecv1.Manifest) { m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json" }, "not a container image"},
		"encrypted":           {func(m *imgspecv1.Manifest) { m.Layers[0].MediaType += "+encrypted" }, "cannot be unpacked"},
		"escape in mediatype": {func(m *imgspecv1.Manifest) { m.Layers[0].MediaType = "\x1b[31mred" }, "cannot be unpacked"},
		"foreign layer": {func(m *imgspecv1.Manifest) {
			m.Layers[0].Digest, m.Layers[0].URLs = wrong, []string{other.URL + "/x"}
			m.Layers[0].MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
		}, "does not have it"},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := newServer(t), newOptions(t)
			o.tune = quick
			s.make("lib/app", "1", threeLayers(), c.edit)
			pullFails(t, s, o, c.word)
		})
	}
	if len(foreign) != 0 {
		t.Errorf("addresses in the manifest were asked: %v", foreign)
	}
}

// quick makes retries quick.
func quick(l *limits) { l.pauses = []time.Duration{time.Millisecond, time.Millisecond} }

func TestThreat18ManifestConfusion(t *testing.T) {
	d := `{"mediaType":"` + imgspecv1.MediaTypeImageConfig + `","digest":"` + digest.FromString("x").String() + `","size":1}`
	for name, c := range map[string]struct{ sent, body, word string }{
		"list and image":   {imgspecv1.MediaTypeImageManifest, `{"schemaVersion":2,"config":` + d + `,"layers":[],"manifests":[]}`, "a list of images as well"},
		"image and list":   {imgspecv1.MediaTypeImageIndex, `{"schemaVersion":2,"layers":[],"manifests":[]}`, "an image as well"},
		"sent as another":  {imgspecv1.MediaTypeImageIndex, `{"schemaVersion":2,"mediaType":"` + imgspecv1.MediaTypeImageManifest + `","config":` + d + `,"layers":[]}`, "sent as"},
		"two spellings":    {imgspecv1.MediaTypeImageManifest, `{"schemaVersion":2,"config":` + d + `,"layers":[],"Layers":[]}`, "it has both"},
		"repeated":         {imgspecv1.MediaTypeImageManifest, `{"schemaVersion":2,"config":` + d + `,"config":{"size":2},"layers":[]}`, "it has both"},
		"schema 1 of 2":    {dockerSchema1 + "+json", `{"schemaVersion":2,"config":` + d + `,"layers":[]}`, "schema 1"},
		"schema 1 inside":  {dockerManifest, `{"schemaVersion":2,"mediaType":"` + dockerSchema1 + `+prettyjws","config":` + d + `,"layers":[]}`, "schema 1"},
		"schema 1":         {dockerSchema1 + "+prettyjws", `{"schemaVersion":1,"fsLayers":[]}`, "schema 1"},
		"not JSON":         {imgspecv1.MediaTypeImageManifest, `<html>`, "not JSON"},
		"not an object":    {imgspecv1.MediaTypeImageManifest, `null`, "not a JSON object"},
		"unknown type":     {"application/x", `{"schemaVersion":2,"mediaType":"application/x"}`, "is not that of an image"},
		"too many layers":  {imgspecv1.MediaTypeImageManifest, `{"schemaVersion":2,"config":` + d + `,"layers":[` + strings.Repeat(d+",", 500) + d + `]}`, "more than 500"},
		"larger than 4 MB": {imgspecv1.MediaTypeImageManifest, `{"schemaVersion":2,"x":"` + strings.Repeat("x", maxManifest) + `"}`, "more than"},
	} {
		_, err := parseManifest([]byte(c.body), c.sent)
		if err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v, want %q", name, err, c.word)
		}
	}
}

func TestThreat18WrongDigest(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", threeLayers(), nil)
	bad := p.manifest.Layers[1]
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "GET" || !strings.HasSuffix(r.URL.Path, bad.Digest.String()) {
			return false
		}
		w.Header().Set("Content-Length", strconv.FormatInt(bad.Size, 10))
		w.Write(make([]byte, bad.Size))
		return true
	})
	pullFails(t, s, o, bad.Digest.String(), "not what was asked for")
	// The manifest, when asked for by digest.
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/sha256:") {
			return false
		}
		w.Header().Set("Content-Type", imgspecv1.MediaTypeImageManifest)
		fmt.Fprint(w, `{"schemaVersion":2}`)
		return true
	})
	if _, err := Pull(context.Background(), o, s.host()+"/lib/app@"+p.desc.Digest.String(), PullOptions{}); err == nil {
		t.Error("a manifest of another digest was taken")
	}
}

// Credentials do not follow a redirect to another host.
func TestThreat18RedirectWithoutCredentials(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", threeLayers()[:1], nil)
	data, _ := threeLayers()[0].packed(t)
	var mu sync.Mutex
	var got []string
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Authorization"))
		w.Write(data)
	}))
	defer store.Close()
	// Go keeps credentials for the same host name with another port.
	elsewhere := strings.Replace(store.URL, "127.0.0.1", "localhost", 1)
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if strings.HasSuffix(r.URL.Path, p.manifest.Layers[0].Digest.String()) {
			http.Redirect(w, r, elsewhere+"/blob?X-Signature=abc", http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	o.Reach.User, o.Reach.Password = "me", "secret"
	if got := mustPull(t, o, s.host()+"/lib/app:1", PullOptions{}); got.Image.ID != p.id {
		t.Errorf("pulled %+v", got)
	}
	if len(got) != 1 || got[0] != "" {
		t.Errorf("the other host got %q", got)
	}
}

// A body that is cut is taken up again where it broke, or from its beginning.
func TestCutBody(t *testing.T) {
	for _, ranges := range []bool{true, false} {
		s, o := newServer(t), newOptions(t)
		o.tune = quick
		big := layer{"big", strings.Repeat("0123456789abcdef", 1<<17), "none"} // 2 MiB
		p := s.make("lib/app", "1", []layer{big}, nil)
		data, _ := big.packed(t)
		var cuts atomic.Int32
		var from string
		s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, p.manifest.Layers[0].Digest.String()) {
				return false
			}
			if !ranges && r.Header.Get("Range") != "" {
				w.Write(data)
				return true
			}
			if cuts.Add(1) > 1 {
				from = r.Header.Get("Range")
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
				return true
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			w.Write(data[:len(data)/2])
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond) // what is on its way would be lost with the connection
			panic(http.ErrAbortHandler)
		})
		if got := mustPull(t, o, s.host()+"/lib/app:1", PullOptions{}); got.Image.ID != p.id {
			t.Errorf("pulled %+v", got)
		}
		if ranges != (from != "") {
			t.Errorf("ranges %v: taken up again with %q", ranges, from)
		}
	}
}

func TestRetryServerError(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	o.tune = quick
	p := s.make("lib/app", "1", threeLayers(), nil)
	var n atomic.Int32
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") || n.Add(1)%2 == 0 {
			return false
		}
		http.Error(w, "\x1b[2Jtoo busy", http.StatusBadGateway)
		return true
	})
	if got := mustPull(t, o, s.host()+"/lib/app:1", PullOptions{}); got.Image.ID != p.id {
		t.Errorf("pulled %+v", got)
	}
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "\x1b[2Jtoo busy", http.StatusBadGateway)
		return true
	})
	o = newOptions(t)
	o.tune = quick
	pullFails(t, s, o, "has a fault of its own", "502")
}

// The library waits as the registry says; nobody else asks again.
func TestRateLimit(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	o.tune = quick
	p := s.make("lib/app", "1", threeLayers(), nil)
	var n atomic.Int32
	limit := int32(2)
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") || n.Add(1) > limit {
			return false
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	if got := mustPull(t, o, s.host()+"/lib/app:1", PullOptions{}); got.Image.ID != p.id || n.Load() != 3 {
		t.Errorf("pulled %+v after %d requests", got, n.Load())
	}
	limit = 1000
	o = newOptions(t)
	o.tune = quick
	pullFails(t, s, o, "limits how often", "log in")
}

// The only caller goes away: the pull ends, and nothing stays.
func TestCancelledPull(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", threeLayers(), nil)
	ctx, leave := context.WithCancel(context.Background())
	stop := make(chan struct{})
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, p.manifest.Layers[2].Digest.String()) {
			leave()
			<-stop
		}
		return false
	})
	_, err := Pull(ctx, o, s.host()+"/lib/app:1", PullOptions{})
	close(stop)
	if err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("error %v", err)
	}
	if u, err := o.Store.Usage(); err != nil || len(u.Images) != 0 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	left, err := filepath.Glob(filepath.Join(o.Dirs.Storage(), "overlay", "staging", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSilentServer(t *testing.T) {
	impatient := func(l *limits) {
		l.answer, l.idle, l.pauses = 200*time.Millisecond, 200*time.Millisecond, nil
	}
	stop := make(chan struct{})
	s, o := newServer(t), newOptions(t)
	o.tune = impatient
	p := s.make("lib/app", "1", threeLayers(), nil)
	bad := p.manifest.Layers[1]
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, bad.Digest.String()) {
			return false
		}
		w.Header().Set("Content-Length", strconv.FormatInt(bad.Size, 10))
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		<-stop
		return true
	})
	pullFails(t, s, o, "stopped sending")
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			<-stop
			return true
		}
		return false
	})
	o = newOptions(t)
	o.tune = impatient
	pullFails(t, s, o, "does not answer")
	close(stop)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	o := newOptions(t)
	down := httptest.NewServer(nil)
	down.Close()
	_, err := Pull(context.Background(), o, down.Listener.Addr().String()+"/x:1", PullOptions{})
	checkError(t, err, "connection refused", "check the address")

	plain := newServer(t)
	verify := true
	strict := o
	strict.Reach.TLSVerify = &verify
	_, err = Pull(context.Background(), strict, plain.host()+"/x:1", PullOptions{})
	checkError(t, err, "plain HTTP", "--tls-verify=false")

	secure := &server{t: t}
	secure.Server = httptest.NewTLSServer(secure.handler())
	defer secure.Close()
	_, err = Pull(context.Background(), strict, secure.host()+"/x:1", PullOptions{})
	checkError(t, err, "authority that is not known", "certs.d/"+secure.host())

	for status, c := range map[int]struct{ body, word, hint string }{
		401: {`{"errors":[{"code":"UNAUTHORIZED","message":"\u001b[31mwho are you"}]}`, "another user name or password: ?[31mwho are you", "sbx login " + plain.host()},
		403: {`{"errors":[{"code":"DENIED","message":"not yours"}]}`, "denies it: not yours", "check the name"},
		404: {`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, "does not have it", "the tag"},
		400: {`go away`, "400", ""},
	} {
		plain.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, c.body)
			return true
		})
		_, err := Pull(context.Background(), o, plain.host()+"/x:1", PullOptions{})
		checkError(t, err, c.word, c.hint)
	}
	_, err = Pull(context.Background(), o, "no such name", PullOptions{})
	checkError(t, err, "no such name")
	_, err = Pull(context.Background(), o, "oci:relative/dir", PullOptions{})
	checkError(t, err, "absolute")
}

func TestPullIndex(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	amd := s.makeFor("lib/app", "amd", "amd64", threeLayers(), nil)
	arm := s.makeFor("lib/app", "arm", "arm64", threeLayers()[:1], nil)
	index := imgspecv1.Index{MediaType: imgspecv1.MediaTypeImageIndex}
	index.SchemaVersion = 2
	for arch, p := range map[string]picture{"amd64": amd, "arm64": arm} {
		d := p.desc
		d.Platform = &imgspecv1.Platform{OS: "linux", Architecture: arch}
		index.Manifests = append(index.Manifests, d)
	}
	top := s.putManifest("lib/app", "1", index.MediaType, index)
	name := s.host() + "/lib/app:1"
	a := mustPull(t, o, name, PullOptions{Platform: "linux/amd64"})
	b := mustPull(t, o, name, PullOptions{Platform: "linux/aarch64"})
	if a.Image.ID != amd.id || b.Image.ID != arm.id || a.Digest != top.Digest {
		t.Errorf("pulled %s %s, digest %s", a.Image.ID, b.Image.ID, a.Digest)
	}
	// The name has gone to the second; the first is found again without a fetch.
	s.forget()
	again := mustPull(t, o, name, PullOptions{Platform: "linux/amd64"})
	if img, err := o.Store.Resolve(name); again.Fresh || err != nil || img.ID != amd.id {
		t.Errorf("pulled again: %+v; the name is for %s, %v", again, img.ID, err)
	}
	_, err := Pull(context.Background(), o, name, PullOptions{Platform: "linux/s390x"})
	checkError(t, err, "linux/s390x", "there is linux/amd64, linux/arm64", "--platform")
	byList := mustPull(t, o, s.host()+"/lib/app@"+top.Digest.String(), PullOptions{Platform: "linux/arm64"})
	if byList.Image.ID != arm.id {
		t.Errorf("by the digest of the list: %+v", byList)
	}
	single := s.host() + "/lib/app:arm"
	_, err = Pull(context.Background(), o, single, PullOptions{Platform: "linux/s390x"})
	checkError(t, err, "linux/s390x", "linux/arm64")
}

func TestTwoPullsAtOnce(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", threeLayers(), nil)
	hold := make(chan struct{})
	var held atomic.Int32
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, p.manifest.Layers[0].Digest.String()) {
			held.Add(1)
			<-hold
		}
		return false
	})
	name := s.host() + "/lib/app:1"
	ctx, leave := context.WithCancel(context.Background())
	errs := make(chan error, 3)
	var told atomic.Int32
	start := func(ctx context.Context) {
		opts := o
		opts.Report = func(p api.Progress) { told.Add(int32(len(p.Steps))) }
		_, err := Pull(ctx, opts, name, PullOptions{})
		errs <- err
	}
	go start(ctx)
	for held.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	go start(context.Background())
	go start(context.Background())
	for deskOf(o.Store).waiting() < 3 {
		time.Sleep(time.Millisecond)
	}
	leave() // the first goes away; the pull goes on for the others
	if err := <-errs; err == nil {
		t.Error("the caller that went away got no error")
	}
	close(hold)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := s.asked("GET /v2/lib/app/blobs/" + p.manifest.Layers[0].Digest.String()); n != 1 {
		t.Errorf("the layer was fetched %d times", n)
	}
}

func (d *desk) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, f := range d.flights {
		n += f.waiting
	}
	return n
}

// Two images that share layers, pulled at once: the shared ones are fetched once.
func TestSharedLayersAtOnce(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	base := layer{"base", "the base", "gzip"}
	a := s.make("lib/a", "1", []layer{base, {"a", "a", "gzip"}}, nil)
	b := s.make("lib/b", "1", []layer{base, {"b", "b", "gzip"}}, nil)
	digestOf := a.manifest.Layers[0].Digest.String()
	hold := make(chan struct{})
	var bases, tops atomic.Int32
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "GET" && strings.HasSuffix(r.URL.Path, digestOf) {
			bases.Add(1)
			<-hold
		}
		if strings.HasSuffix(r.URL.Path, b.manifest.Layers[1].Digest.String()) {
			tops.Add(1)
		}
		return false
	})
	errs := make(chan error, 2)
	pull := func(repo string) {
		_, err := Pull(context.Background(), o, s.host()+"/"+repo+":1", PullOptions{})
		errs <- err
	}
	go pull("lib/a")
	for bases.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	go pull("lib/b")
	for tops.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := bases.Load(); n != 1 {
		t.Errorf("the base was fetched %d times", n)
	}
	for _, p := range []picture{a, b} {
		if _, err := o.Store.Resolve(p.id); err != nil {
			t.Error(err)
		}
	}
}

func TestPolicy(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	s.make("lib/app", "1", threeLayers(), nil)
	rules, err := json.Marshal(map[string]any{
		"default":    []any{map[string]string{"type": "insecureAcceptAnything"}},
		"transports": map[string]any{"docker": map[string]any{s.host() + "/lib": []any{map[string]string{"type": "reject"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Reach.Policy = writeFile(t, "policy.json", string(rules))
	pullFails(t, s, o, "the policy refuses the image", o.Reach.Policy)
	s.make("other/app", "1", threeLayers(), nil)
	mustPull(t, o, s.host()+"/other/app:1", PullOptions{})
}
