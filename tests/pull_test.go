package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sbx/tests/registry"
)

// Everything that real layers hold, in every compression and both kinds of
// manifest, uploaded by skopeo to a real registry: inside, sbx shows what podman
// shows.
func TestPullRichLayers(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := real(t, registry.Options{})
	e.plain(r.Addr)
	for name, compressions := range map[string][4]string{
		"oci":  {"zstd", "", "gzip", "zstd"},
		"v2s2": {"gzip", "gzip", "gzip", "gzip"},
	} {
		p, script, want := rich(t, false, compressions)
		dir := t.TempDir()
		if err := registry.Layout(dir, map[string]registry.Packed{"x": p}); err != nil {
			t.Fatal(err)
		}
		image := r.Addr + "/some/rich-" + name + ":1"
		e.skopeo("copy", "-q", "--format", name, "oci:"+dir+":x", "docker://"+image)
		e.Is(p.ID(), "pull", "-q", image)
		e.Is(want, "run", "--rm", image, "sh", "-c", script)
		e.Is("blue /bin", "run", "--rm", image, "sh", "-c", "echo $COLOUR $PATH")
		e.podman("pull", "-q", image)
		if got := e.podmanSees(image, script); got != want {
			t.Errorf("%s: podman shows %q", name, got)
		}
		digest := e.skopeo("inspect", "-f", "{{.Digest}}", "docker://"+image)
		if all := e.OK("image", "inspect", "-f", "{{json .RepoDigests}}", image); !strings.Contains(all, `"`+r.Addr+"/some/rich-"+name+"@"+digest+`"`) {
			t.Errorf("%s: no digest %s in %s", name, digest, all)
		}
		// A sandbox that was made of it changes nothing in it.
		e.OK("run", "--rm", image, "sh", "-c", "rm -rf /a /opaque; echo x >/shared")
		e.Is(want, "run", "--rm", image, "sh", "-c", script)
	}
}

// What podman pushes sbx pulls, under the same id.
func TestPullWhatPodmanPushed(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := real(t, registry.Options{})
	e.plain(r.Addr)
	image := r.Addr + "/debian:13"
	id := e.podman("import", "-q", "-c", `CMD ["bash","-c","echo $((6*7))"]`, slim(t), image)
	e.podman("push", "-q", "--format", "oci", "--compression-format", "zstd", image) // takes podman a fifth of gzip's time
	e.Is(id, "pull", "-q", image)
	e.Is("42", "run", "--rm", image)
	e.Is("0:42 640", "run", "--rm", image, "stat", "-c", "%u:%g %a", "/etc/shadow")
}

func TestPullPlatforms(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	image := func(word string, p registry.Platform) registry.Image {
		return registry.Image{Platform: p, Layers: []registry.Layer{bottom(t, "gzip"), layer(t, "gzip", file("what", word))}, Config: map[string]any{"Cmd": []string{"cat", "/what"}}}
	}
	amd, arm := image("amd", registry.Platform{OS: "linux", Architecture: "amd64"}), image("arm", registry.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"})
	old := image("old", registry.Platform{OS: "linux", Architecture: "arm", Variant: "v6"})
	for _, docker := range []bool{false, true} {
		list, all, err := registry.List(docker, arm, amd, old)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			put(t, f.Addr, "multi", "", p)
		}
		put(t, f.Addr, "multi", "1", list)
		name := f.Addr + "/multi:1"
		e.Is(all[1].ID(), "pull", "-q", "--platform", "linux/amd64", name)
		e.Is("amd", "run", "--rm", name)
		e.Is("linux/amd64", "image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", name)
		// The digest of the list names the image too.
		e.Is("amd", "run", "--rm", "--pull", "never", f.Addr+"/multi@"+list.Manifest.Digest())
		e.Is(all[0].ID(), "pull", "-q", "--platform", "linux/arm64", name)
		e.Is("linux/arm64 v8", "image", "inspect", "-f", "{{.Os}}/{{.Architecture}} {{.Variant}}", name)
		e.Is(all[2].ID(), "pull", "-q", "--platform", "linux/arm/v6", name)
		e.refused(1, []string{"linux/s390x", "linux/amd64", "linux/arm64"}, "pull", "-q", "--platform", "linux/s390x", name)
		e.refused(1, []string{"platform"}, "pull", "-q", "--platform", "no/such/thing/at/all", name)
		e.OK("image", "prune", "-af")
	}
}

func TestPullNames(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	one, two := small(t, "one"), small(t, "two")
	put(t, f.Addr, "a/b", "latest", one)
	put(t, f.Addr, "a/b", "two", two)
	repo := f.Addr + "/a/b"

	r := e.Run("pull", repo)
	for _, words := range []string{"Digest: " + one.Manifest.Digest(), "Status: Downloaded newer image for " + repo + ":latest"} {
		if r.Code != 0 || !strings.Contains(r.Out, words) {
			t.Errorf("pull: no %q in %+v", words, r)
		}
	}
	if r := e.Run("pull", repo); r.Code != 0 || !strings.Contains(r.Out, "Status: Image is up to date for "+repo+":latest") {
		t.Errorf("pull again: %+v", r)
	}
	e.Is(two.ID(), "pull", "-q", repo+"@"+two.Manifest.Digest())
	e.Is("two", "run", "--rm", repo+"@"+two.Manifest.Digest())
	e.Is(one.ID(), "pull", "-q", repo+":two@"+one.Manifest.Digest()) // the digest counts
	e.Is("one", "run", "--rm", repo)
	e.refused(1, []string{f.Addr + "/other", two.Manifest.Digest()[:20]}, "pull", "-q", f.Addr+"/other@"+two.Manifest.Digest())
	for _, bad := range []string{"UPPER/case", "a//b", repo + ":bad/tag", repo + "@sha256:123", "", "-", "oci:"} {
		if r := e.Run("pull", "-q", "--", bad); r.Code == 0 || strings.Count(r.Err, "\n") != 1 {
			t.Errorf("pull %q: %+v", bad, r)
		}
	}
	// Several at once; one that is not there does not keep the others.
	if r := e.Run("pull", "-q", repo+":two", f.Addr+"/no/such"); r.Code != 1 || !strings.Contains(r.Err, "no/such") || !strings.Contains(r.Out, two.ID()) {
		t.Errorf("pull two: %+v", r)
	}
}

func TestPullAllTags(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	tags := []string{"a", "b", "latest"}
	for _, tag := range tags {
		put(t, f.Addr, "many", tag, small(t, tag))
	}
	if r := e.Run("pull", "-q", "-a", f.Addr+"/many"); r.Code != 0 {
		t.Fatalf("pull -a: %+v", r)
	}
	got := strings.Fields(e.OK("images", "--format", "{{.Tag}}", f.Addr+"/many"))
	slices.Sort(got)
	if !slices.Equal(got, tags) {
		t.Errorf("images: %q", got)
	}
	// The bottom layer was fetched once.
	bottom := small(t, "a").Blobs[0].Digest()
	if n := f.Count("GET", bottom); n != 1 {
		t.Errorf("the shared layer was fetched %d times", n)
	}
	e.refused(1, []string{"tag"}, "pull", "-q", "-a", f.Addr+"/many:a")
}

// What run and pull ask of the registry, by policy.
func TestPullPolicy(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	image := f.Addr + "/p:1"
	put(t, f.Addr, "p", "1", small(t, "old"))

	e.refused(125, []string{image}, "run", "-q", "--rm", "--pull", "never", image)
	f.Forget()
	r := e.Run("run", "--rm", image) // what is missing is pulled
	if r.Code != 0 || r.Out != "old\n" {
		t.Fatalf("run: %+v", r)
	}
	f.Forget()
	e.Is("old", "run", "--rm", image)
	e.Is("old", "run", "--rm", "--pull", "missing", image)
	e.Is("old", "run", "--rm", "--pull", "never", image)
	if n := f.Count("", ""); n != 0 {
		t.Errorf("%d requests for an image that is there", n)
	}
	put(t, f.Addr, "p", "1", small(t, "new"))
	e.Is("old", "run", "--rm", image)
	e.Is("new", "run", "-q", "--rm", "--pull", "newer", image)
	f.Forget()
	e.Is("new", "run", "-q", "--rm", "--pull", "always", image)
	if blobs, all := f.Count("GET", "/blobs/"), f.Count("", "/manifests/"); blobs != 0 || all == 0 {
		t.Errorf("nothing new, and %d blobs and %d manifests are fetched", blobs, all)
	}
	// With no way to the registry, newer makes do and always does not.
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if r := e.Run("run", "-q", "--rm", "--pull", "newer", image); r.Code != 0 || r.Out != "new\n" {
		t.Errorf("--pull newer, no registry: %+v", r)
	}
	e.refused(125, []string{f.Addr}, "run", "-q", "--rm", "--pull", "always", image)
	e.refused(125, []string{f.Addr}, "create", "-q", "--pull", "always", image)
	if id := e.OK("create", "-q", "--name", "made", image); len(id) != 64 {
		t.Errorf("create: %q", id)
	}
	e.OK("rm", "made")
	if r := e.Run("run", "--pull", "sometimes", image); r.Code != 125 || !strings.Contains(r.Err, "sometimes") {
		t.Errorf("--pull sometimes: %+v", r)
	}
}

// All the places that pull and push know beside registries.
func TestPullTransports(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	p := ociSmall(t, "local")
	top := t.TempDir()
	layout := filepath.Join(top, "layout")
	if err := registry.Layout(layout, map[string]registry.Packed{"x": p}); err != nil {
		t.Fatal(err)
	}
	for i, to := range []string{"oci-archive:" + top + "/o.tar:x", "docker-archive:" + top + "/d.tar:some/name:x", "dir:" + top + "/dir"} {
		e.skopeo("copy", "-q", "oci:"+layout+":x", to)
		id := e.OK("pull", "-q", to)
		if e.Is("local", "run", "--rm", id); i != 1 && id != p.ID() {
			t.Errorf("%s: id %s, want %s", to, id, p.ID())
		}
		e.OK("rmi", "-f", id)
		// Relative to where the user is.
		if rest, below := strings.CutPrefix(to, "dir:"+top); below {
			if err := os.Symlink(top, filepath.Join(e.Home, "here")); err != nil {
				t.Fatal(err)
			}
			e.Is(p.ID(), "pull", "-q", "dir:here"+rest)
			e.OK("rmi", "-f", p.ID())
		}
	}
	e.Is(p.ID(), "pull", "-q", "oci:"+layout+":x")
	e.refused(1, []string{"nope"}, "pull", "-q", "oci:"+layout+":nope")
	e.refused(1, []string{"/no/such"}, "pull", "-q", "oci:/no/such:x")
	// And back: skopeo reads what sbx writes there.
	e.OK("push", "-q", p.ID(), "oci:"+top+"/back:y")
	e.OK("push", "-q", p.ID(), "dir:"+top+"/backdir")
	for _, from := range []string{"oci:" + top + "/back:y", "dir:" + top + "/backdir"} {
		if got := registry.Blob(e.skopeo("inspect", "--config", "--raw", from)).Digest(); got != p.ID() {
			t.Errorf("%s has the configuration %s, want %s", from, got, p.ID())
		}
	}
}

// The progress on a pipe is whole lines, and none of it is on standard output.
func TestPullProgressOnPipe(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := small(t, "x")
	put(t, f.Addr, "a", "1", p)
	r := e.Run("pull", f.Addr+"/a:1")
	if r.Code != 0 || strings.ContainsAny(r.Err, "\x1b\r") || strings.ContainsAny(r.Out, "\x1b\r") {
		t.Fatalf("pull: %+v", r)
	}
	for _, b := range p.Blobs {
		if short := b.Digest()[7:19]; !strings.Contains(r.Err, short) {
			t.Errorf("no line about layer %s: %q", short, r.Err)
		}
	}
	if n := strings.Count(r.Err, "\n"); n > 12 {
		t.Errorf("%d lines for two layers: %q", n, r.Err)
	}
}

// One live line per layer, and a terminal that is as before afterwards.
func TestPullProgressOnTerminal(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := small(t, "x")
	put(t, f.Addr, "a", "1", p)
	big := p.Blobs[0].Digest()
	half, release := make(chan struct{}), make(chan struct{})
	f.Fault("GET", big, 1, registry.Hold(len(p.Blobs[0])/2, func() { close(half) }, release))
	c := e.Terminal("pull", f.Addr+"/a:1")
	<-half
	c.Expect(big[7:19])
	c.Expect("B/") // bytes of bytes, or a rate
	close(release)
	c.Expect("Status: Downloaded newer image")
	if code := c.Wait(); code != 0 {
		t.Errorf("status %d: %q", code, c.out.String())
	}
	if strings.Contains(c.out.String(), "\x1b[?25l") && !strings.Contains(c.out.String(), "\x1b[?25h") {
		t.Error("the cursor stays hidden")
	}
}
