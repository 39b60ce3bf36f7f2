package registry

import (
	"bytes"
	"errors"
	"net/http"
	"os/exec"
	"testing"
)

// tar is an empty archive.
var tar = make([]byte, 1024)

func simple(t *testing.T, compression string) Packed {
	t.Helper()
	l, err := NewLayer(tar, compression)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Image{Layers: []Layer{l}, Docker: compression == "gzip"}.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMemoryKeepsWhatIsPut(t *testing.T) {
	f, err := NewFront(Memory(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := Client{Base: "http://" + f.Addr}
	for _, compression := range []string{"", "gzip", "zstd"} {
		p := simple(t, compression)
		if err := c.Put("a/b", "t"+compression, p); err != nil {
			t.Fatal(err)
		}
		m, media, err := c.Manifest("a/b", "t"+compression)
		if err != nil || !bytes.Equal(m, p.Manifest) || media != p.MediaType {
			t.Errorf("%s: %q %s %v", compression, m, media, err)
		}
		if b, err := c.Blob("a/b", p.Blobs[0].Digest()); err != nil || !bytes.Equal(b, p.Blobs[0]) {
			t.Errorf("%s: %d bytes, %v", compression, len(b), err)
		}
	}
	if n := f.Count("PUT", "/manifests/"); n != 3 {
		t.Errorf("%d manifests counted", n)
	}
}

func TestFaultsAreServed(t *testing.T) {
	f, err := NewFront(Memory(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := Client{Base: "http://" + f.Addr}
	p := simple(t, "")
	if err := c.Put("a", "1", p); err != nil {
		t.Fatal(err)
	}
	digest := p.Blobs[0].Digest()
	for name, bad := range map[string]Fault{"flip": Flip(3), "flip from the end": Flip(-1), "short": Short(7), "cut": Cut(5),
		"status": Answer(500, "X", "y"), "instead": Instead("a/b", Blob("x")), "redirect": To("http://127.0.0.1:1")} {
		f.Mend()
		f.Fault("GET", digest, 1, bad)
		if b, err := c.Blob("a", digest); err == nil && bytes.Equal(b, tar) {
			t.Errorf("%s: no fault", name)
		}
		if b, err := c.Blob("a", digest); err != nil || !bytes.Equal(b, tar) {
			t.Errorf("%s: more than one fault: %d bytes, %v", name, len(b), err)
		}
	}
	reached, release := make(chan struct{}), make(chan struct{})
	f.Fault("GET", digest, 1, Hold(100, func() { close(reached) }, release))
	go func() {
		<-reached
		close(release)
	}()
	if b, err := c.Blob("a", digest); err != nil || !bytes.Equal(b, tar) {
		t.Errorf("held: %d bytes, %v", len(b), err)
	}
}

func TestRealRegistry(t *testing.T) {
	if _, err := exec.LookPath("docker-registry"); err != nil {
		t.Skip(err)
	}
	ca, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Start(t.TempDir(), Options{TLS: ca, Auth: true})
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Config()
	if err != nil {
		t.Fatal(err)
	}
	config.RootCAs = ca.Pool()
	c := Client{Base: "https://" + r.Addr, HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, Auth: true}
	if err := errors.Join(c.Put("a/b", "1", simple(t, "gzip")), c.Put("a/b", "2", simple(t, "zstd"))); err != nil {
		t.Error(err)
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Manifest("a/b", "1"); err == nil {
		t.Error("it answers after its end")
	}
}
