package tests

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbx/tests/registry"
)

// manifestOf is a manifest of one image, as far as the tests look at it.
type manifestOf struct {
	MediaType string                `json:"mediaType"`
	Config    registry.Descriptor   `json:"config"`
	Layers    []registry.Descriptor `json:"layers"`
}

func parse(t testing.TB, raw []byte) (m manifestOf) {
	t.Helper()
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return m
}

// What sbx imports and pushes, podman and skopeo pull: the same configuration, byte
// by byte, and the same layers.
func TestPushForPodman(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := real(t, registry.Options{})
	e.plain(r.Addr)
	image, c := r.Addr+"/made/debian:13", registry.Client{Base: "http://" + r.Addr}
	e.OK("import", "-c", `CMD ["cat","/etc/debian_version"]`, slim(t), "mine")
	id := e.OK("image", "inspect", "-f", "{{.Id}}", "mine")
	e.OK("tag", "mine", image)
	digests := filepath.Join(t.TempDir(), "digest")
	out := e.Run("push", "--digestfile", digests, image)
	if out.Code != 0 {
		t.Fatalf("push: %+v", out)
	}
	raw, _, err := c.Manifest("made/debian", "13")
	if err != nil {
		t.Fatal(err)
	}
	if said := must[[]byte](t)(os.ReadFile(digests)); string(said) != raw.Digest() || !strings.Contains(out.Out, raw.Digest()) {
		t.Errorf("pushed %s; --digestfile has %q, the output is %q", raw.Digest(), said, out.Out)
	}
	m := parse(t, raw)
	if m.Config.Digest != id {
		t.Errorf("configuration %s pushed, the image is %s", m.Config.Digest, id)
	}
	// The bytes are what their names say: podman checks that too.
	e.podman("pull", "-q", image)
	if got := "sha256:" + e.podman("image", "inspect", "-f", "{{.Id}}", image); got != id {
		t.Errorf("podman has %s, sbx %s", got, id)
	}
	ours := e.OK("image", "inspect", "-f", "{{json .RootFS.Layers}}", image)
	if theirs := e.podman("image", "inspect", "-f", "{{json .RootFS.Layers}}", image); theirs != ours {
		t.Errorf("layers: podman %s, sbx %s", theirs, ours)
	}
	version := e.OK("run", "--rm", image)
	if got := e.podmanSees(image, "cat /etc/debian_version; stat -c '%u:%g %a' /etc/shadow"); got != version+"\n0:42 640" {
		t.Errorf("podman shows %q", got)
	}
	// To a sandbox that has never seen it.
	other := Sbx(t)
	other.plain(r.Addr)
	other.Is(id, "pull", "-q", image)
	other.Is(version, "run", "--rm", image)
}

// A blob that is as it was pulled goes out as it was: same digest, and no bytes
// when the registry has it somewhere.
func TestPushKeepsDigests(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := real(t, registry.Options{})
	f := e.front(registry.Behind(r))
	p, _, _ := rich(t, false, [4]string{"gzip", "zstd", "gzip", "gzip"})
	put(t, f.Addr, "from", "1", p)
	from, to := f.Addr+"/from:1", f.Addr+"/elsewhere/to:2"
	e.OK("pull", "-q", from)
	f.Forget()

	e.OK("push", "-q", from) // nothing to do
	e.OK("tag", from, to)
	e.OK("push", "-q", to)
	mounted := 0
	for _, post := range f.Requests("POST", "/elsewhere/to/blobs/uploads") {
		if strings.Contains(post.Query, "mount=") && strings.Contains(post.Query, "from=from") {
			mounted++
		}
	}
	if mounted < len(p.Blobs) {
		t.Errorf("%d of %d layers were mounted", mounted, len(p.Blobs))
	}
	if n := f.Count("PATCH", "/blobs/"); n > 1 { // the configuration is no layer
		t.Errorf("%d uploads of blobs that are there", n)
	}
	c := registry.Client{Base: "http://" + f.Addr}
	if got, media, err := c.Manifest("elsewhere/to", "2"); err != nil || !bytes.Equal(got, p.Manifest) || media != p.MediaType {
		t.Errorf("manifest: %v, %s\n%s\nwant %s", err, media, got, p.Manifest)
	}

	// A registry that has nothing: the bytes are made again from the files.
	empty := e.front(registry.Memory())
	away := empty.Addr + "/away:1"
	e.OK("push", "-q", from, away)
	got, _, err := registry.Client{Base: "http://" + empty.Addr}.Manifest("away", "1")
	if err != nil {
		t.Fatal(err)
	}
	if m := parse(t, got); m.Config.Digest != p.ID() || len(m.Layers) != len(p.Blobs) {
		t.Errorf("pushed %s with %d layers", m.Config.Digest, len(m.Layers))
	}
	other := Sbx(t)
	other.plain(empty.Addr)
	other.Is(p.ID(), "pull", "-q", away) // every layer has its diffID
	// Again: it is there.
	empty.Forget()
	e.OK("push", "-q", from, away)
	if n := empty.Count("PATCH", "/blobs/") + empty.Count("PUT", "/blobs/"); n != 0 {
		t.Errorf("pushed again: %d blobs were sent", n)
	}
}

func TestPushFormats(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	c := registry.Client{Base: "http://" + f.Addr}
	p := small(t, "x") // schema 2
	put(t, f.Addr, "from", "1", p)
	from := f.Addr + "/from:1"
	e.OK("pull", "-q", from)
	for name, x := range map[string]struct {
		args              []string
		manifest, layer   string
		configuration, id string
	}{
		"v2s2": {[]string{"--format", "v2s2"}, registry.DockerManifest, registry.DockerLayer + ".gzip", registry.DockerConfig, p.ID()},
		"oci":  {[]string{"--format", "oci"}, registry.OCIManifest, registry.OCILayer + "+gzip", registry.OCIConfig, ""},
		"zstd": {[]string{"--format", "oci", "--compression-format", "zstd"}, registry.OCIManifest, registry.OCILayer + "+zstd", registry.OCIConfig, ""},
		"best": {[]string{"--compression-format", "gzip", "--compression-level", "9"}, registry.DockerManifest, registry.DockerLayer + ".gzip", registry.DockerConfig, p.ID()},
	} {
		to := f.Addr + "/to/" + name + ":1"
		e.OK(append(append([]string{"push", "-q"}, x.args...), from, to)...)
		raw, media, err := c.Manifest("to/"+name, "1")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m := parse(t, raw)
		if media != x.manifest || m.Config.MediaType != x.configuration || x.id != "" && m.Config.Digest != x.id {
			t.Errorf("%s: %s with configuration %+v", name, media, m.Config)
		}
		for _, l := range m.Layers {
			if l.MediaType != x.layer {
				t.Errorf("%s: layer %s", name, l.MediaType)
			}
			if b, err := c.Blob("to/"+name, l.Digest); err != nil || b.Digest() != l.Digest || int64(len(b)) != l.Size {
				t.Errorf("%s: blob %s: %d bytes, %v", name, l.Digest, len(b), err)
			}
		}
		e.skopeo("copy", "-q", "docker://"+to, "dir:"+t.TempDir())
	}
	e.refused(1, []string{"zstd"}, "push", "-q", "--format", "v2s2", "--compression-format", "zstd", from, f.Addr+"/to/never:1")
	if r := e.Run("push", "-q", "no-such"); r.Code == 0 || strings.Count(r.Err, "\n") != 1 {
		t.Errorf("push no-such: %+v", r)
	}
}

// A push that fails in the middle leaves nothing that can be pulled, and can be
// done again.
func TestPushFaults(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	image := f.Addr + "/a:1"
	e.Busybox()
	e.OK("tag", "busybox", image)
	f.Fault("PUT", "/manifests/", -1, registry.Answer(403, "DENIED", "this one is read-only"))
	e.refused(1, []string{"denies", "this one is read-only"}, "push", "-q", image)
	f.Mend()
	f.Fault("POST", "/blobs/uploads", 1, registry.Answer(503, "UNAVAILABLE", "busy"))
	e.OK("push", "-q", image)
	f.Mend()
	f.Fault("POST", "/blobs/uploads", -1, registry.Answer(403, "DENIED", "no room"))
	e.OK("push", "-q", image) // all is there: no upload
	e.OK("import", "-m", "another", os.Getenv("SBX_TEST_BUSYBOX"), "another")
	e.refused(1, []string{f.Addr, "no room"}, "push", "-q", "another", f.Addr+"/b:1")
}

func TestPushAllTags(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	e.Busybox()
	for _, tag := range []string{"1", "2", "latest"} {
		e.OK("tag", "busybox", f.Addr+"/a/b:"+tag)
	}
	if r := e.Run("push", "-q", "-a", f.Addr+"/a/b"); r.Code != 0 {
		t.Fatalf("push -a: %+v", r)
	}
	c := registry.Client{Base: "http://" + f.Addr}
	one, _, err := c.Manifest("a/b", "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"2", "latest"} {
		if m, _, err := c.Manifest("a/b", tag); err != nil || !bytes.Equal(m, one) {
			t.Errorf("tag %s: %v", tag, err)
		}
	}
}
