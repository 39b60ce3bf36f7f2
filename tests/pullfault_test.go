package tests

import (
	"archive/tar"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sbx/tests/registry"
)

// bulky is an image with a layer of so many bytes that do not compress.
func bulky(t testing.TB, bytes int) registry.Packed {
	t.Helper()
	noise := make([]byte, bytes)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	return pack(t, registry.Image{Docker: true, Layers: []registry.Layer{bottom(t, "gzip"), layer(t, "gzip", file("noise", string(noise)))},
		Config: map[string]any{"Cmd": []string{"stat", "-c", "%s", "/noise"}}})
}

// tiny is an image of two layers that no other image has.
func tiny(t testing.TB, word string) registry.Packed {
	t.Helper()
	noise := make([]byte, 20_000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	return pack(t, registry.Image{Docker: true, Layers: []registry.Layer{layer(t, "gzip", file(word, string(noise))), layer(t, "gzip", file("what", word))}})
}

// What a registry or the network may do to a blob: sbx finds out, keeps nothing, and
// pulls well as soon as it is well served. Where a blob is wrong, it says which.
// All of it goes on at once: some of it is waited for.
func TestPullFaultBlobs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	other := layer(t, "gzip", file("what", "evil\n")).Blob
	const manifest, config, bottom, top = 0, 1, 2, 3
	pulls := map[string]*Proc{}
	images := map[string]registry.Packed{}
	cases := map[string]struct {
		blob  int
		fault registry.Fault
		words string // "": the digest
	}{
		"flipped":         {bottom, registry.Flip(10_000), ""},
		"flipped-at-end":  {top, registry.Flip(-1), ""},
		"another":         {top, registry.Instead("", other), ""},
		"configuration":   {config, registry.Flip(3), ""},
		"no-such-blob":    {top, registry.Answer(404, "BLOB_UNKNOWN", "gone"), ""},
		"not-json":        {manifest, registry.Instead("", registry.Blob("<html>")), "JSON"},
		"short":           {bottom, registry.Short(10_000), f.Addr},
		"short-by-one":    {bottom, registry.Short(20_000), f.Addr},
		"empty":           {top, registry.Short(0), f.Addr},
		"always-cut":      {bottom, registry.Cut(1000), f.Addr},
		"always-broken":   {bottom, registry.Answer(500, "UNKNOWN", "oops"), "500"},
		"manifest-broken": {manifest, registry.Answer(500, "UNKNOWN", "oops"), "500"},
	}
	for name, x := range cases {
		p := tiny(t, name)
		put(t, f.Addr, name, "1", p)
		images[name] = p
		f.Fault("GET", []string{"/v2/" + name + "/manifests/", p.Config.Digest(), p.Blobs[0].Digest(), p.Blobs[1].Digest()}[x.blob], -1, x.fault)
		pulls[name] = e.Start("pull", "-q", f.Addr+"/"+name+":1")
	}
	for name, pull := range pulls {
		x, p := cases[name], images[name]
		if x.words == "" {
			x.words = []registry.Blob{p.Manifest, p.Config, p.Blobs[0], p.Blobs[1]}[x.blob].Digest()
		}
		r := pull.Wait()
		e.checkRefused(r, 1, []string{x.words}, "pull", name)
		t.Logf("%s: %s", name, strings.TrimSpace(r.Err))
	}
	e.noImages()
	f.Mend()
	for name, p := range images {
		e.Is(p.ID(), "pull", "-q", f.Addr+"/"+name+":1")
	}
}

// What goes away by itself is waited for.
func TestPullFaultRetries(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	type begun struct {
		*Proc
		id   string
		took chan time.Duration
	}
	pulls := map[string]begun{}
	for name, x := range map[string]struct {
		part  string
		times int
		fault registry.Fault
	}{
		"blob-500":     {"/blobs/", 2, registry.Answer(500, "UNKNOWN", "oops")},
		"manifest-503": {"/manifests/", 2, registry.Answer(503, "UNAVAILABLE", "busy")},
		"rate":         {"/manifests/", 2, registry.Answer(429, "TOOMANYREQUESTS", "slow down", "Retry-After", "1")},
		"blob-rate":    {"/blobs/", 2, registry.Answer(429, "TOOMANYREQUESTS", "slow down", "Retry-After", "1")},
		"cut":          {"/blobs/", 3, registry.Cut(100)},
	} {
		p := tiny(t, name)
		put(t, f.Addr, name, "1", p)
		f.Fault("GET", "/v2/"+name+x.part, x.times, x.fault)
		b := begun{e.Start("pull", "-q", f.Addr+"/"+name+":1"), p.ID() + "\n", make(chan time.Duration, 1)}
		pulls[name] = b
		begin := time.Now()
		go func() { // the others are waited for in any order
			b.out.wait(0, b.id, patience)
			b.took <- time.Since(begin)
		}()
	}
	for name, b := range pulls {
		if r := b.Wait(); r.Code != 0 || r.Out != b.id {
			t.Errorf("%s: %+v", name, r)
		}
		if took := <-b.took; strings.Contains(name, "rate") && took < time.Second {
			t.Errorf("%s: Retry-After was not waited for: %v", name, took)
		}
	}
}

// A limit that stays is an error that says so, with the registry's words.
func TestPullFaultRateLimit(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	put(t, f.Addr, "a", "1", small(t, "x"))
	f.Fault("GET", "/manifests/", -1, registry.Answer(429, "TOOMANYREQUESTS", "you have reached your limit", "Retry-After", "0"))
	f.Fault("HEAD", "/manifests/", -1, registry.Answer(429, "TOOMANYREQUESTS", "", "Retry-After", "0"))
	e.refused(1, []string{f.Addr, "limit", "sbx login"}, "pull", "-q", f.Addr+"/a:1")
	if n := f.Count("GET", "/manifests/"); n > 6 {
		t.Errorf("%d requests against a rate limit", n)
	}
}

// A download that was cut goes on where it was, instead of from the start.
func TestPullFaultResume(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Behind(real(t, registry.Options{})))
	const size = 8 << 20
	p := bulky(t, size)
	put(t, f.Addr, "a", "1", p)
	noise := p.Blobs[1].Digest()
	f.Fault("GET", noise, 1, registry.Cut(size/2))
	e.Is(p.ID(), "pull", "-q", f.Addr+"/a:1")
	e.Is(fmt.Sprint(size), "run", "--rm", f.Addr+"/a:1")
	requests := f.Requests("GET", noise)
	if len(requests) != 2 || requests[0].Range != "" || !strings.HasPrefix(requests[1].Range, "bytes=") || requests[1].Range == "bytes=0-" {
		t.Errorf("requests: %+v", requests)
	}
}

// Slow is not broken.
func TestPullFaultSlow(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := small(t, "x")
	put(t, f.Addr, "a", "1", p)
	f.Fault("GET", "/blobs/", -1, registry.Drip(32<<10, 50*time.Millisecond))
	e.Is(p.ID(), "pull", "-q", f.Addr+"/a:1")
	e.Is("x", "run", "--rm", f.Addr+"/a:1")
}

// Manifests that lie about what they are. CVE-2021-41190, CVE-2024-3727, CVE-2020-15157.
func TestThreat18Manifests(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	leak := must[*registry.Front](t)(registry.NewFront(registry.Memory(), nil))
	defer leak.Close()
	base := registry.Image{Layers: []registry.Layer{bottom(t, "gzip"), layer(t, "gzip", file("what", "x"))}}
	// What says to be huge is taken for cut off, and tried again some times, meanwhile.
	huge := base
	huge.Change = func(m, _ map[string]any) { edit(m, func(d *registry.Descriptor) { d.Size = 1 << 62 }) }
	put(t, f.Addr, "huge", "1", pack(t, huge))
	late := e.Start("pull", "-q", f.Addr+"/huge:1")
	for name, change := range map[string]func(m, c map[string]any){
		"both":      func(m, _ map[string]any) { m["manifests"] = []any{} },
		"no layers": func(m, _ map[string]any) { m["layers"] = []any{} },
		"fewer ids": func(_, c map[string]any) {
			c["rootfs"] = map[string]any{"type": "layers", "diff_ids": []string{base.Layers[0].DiffID}}
		},
		"other ids": func(_, c map[string]any) {
			c["rootfs"] = map[string]any{"type": "layers", "diff_ids": []string{base.Layers[0].DiffID, base.Layers[0].DiffID}}
		},
		"bad digest": func(m, _ map[string]any) {
			edit(m, func(d *registry.Descriptor) { d.Digest = "sha256:../../../../etc/passwd" })
		},
		"other digest": func(m, _ map[string]any) {
			edit(m, func(d *registry.Descriptor) { d.Digest = "md5:d41d8cd98f00b204e9800998ecf8427e" })
		},
		"negative size": func(m, _ map[string]any) { edit(m, func(d *registry.Descriptor) { d.Size = -1 }) },
		"smaller":       func(m, _ map[string]any) { edit(m, func(d *registry.Descriptor) { d.Size-- }) },
		"other type": func(m, _ map[string]any) {
			edit(m, func(d *registry.Descriptor) { d.MediaType = "application/x-evil" })
		},
		"encrypted": func(m, _ map[string]any) {
			edit(m, func(d *registry.Descriptor) { d.MediaType = registry.OCILayer + "+gzip+encrypted" })
		},
		"user":      func(_, c map[string]any) { c["config"] = map[string]any{"User": "4294967296"} },
		"root type": func(_, c map[string]any) { c["rootfs"] = "x" },
	} {
		i := base
		i.Change = change
		put(t, f.Addr, "bad", "1", pack(t, i))
		r := e.Run("pull", "-q", f.Addr+"/bad:1")
		if name == "user" { // it is the user's business, until something runs as it
			if r := e.Run("run", "-q", "--rm", f.Addr+"/bad:1", "id", "-u"); r.Code != 125 || r.Out != "" {
				t.Errorf("%s: %+v", name, r)
			}
			e.OK("rmi", "-f", f.Addr+"/bad:1")
			continue
		}
		e.checkRefused(r, 1, nil, "pull", name)
		t.Logf("%s: %s", name, strings.TrimSpace(r.Err))
		e.noImages()
	}
	// A layer that names another place is not fetched there.
	i := base
	i.Change = func(m, _ map[string]any) {
		edit(m, func(d *registry.Descriptor) {
			d.URLs, d.MediaType = []string{"http://" + leak.Addr + "/layer"}, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
		})
	}
	put(t, f.Addr, "bad", "1", pack(t, i))
	if r := e.Run("pull", "-q", f.Addr+"/bad:1"); leak.Count("", "") != 0 {
		t.Errorf("a layer's URL was asked: %+v", r)
	}
	e.OK("image", "prune", "-af")
	// One kind of manifest under the type of another, and what is no manifest at all.
	good := small(t, "x")
	put(t, f.Addr, "good", "1", good)
	for _, media := range []string{registry.OCIIndex, registry.DockerList} {
		f.Fault("GET", "/good/manifests/", 1, registry.Instead(media, nil))
		e.checkRefused(e.Run("pull", "-q", f.Addr+"/good:1"), 1, nil, "pull", media)
	}
	f.Fault("GET", "/good/manifests/", -1, registry.Instead(registry.OCIManifest, registry.Blob(strings.Repeat(" ", 64<<20))))
	e.refused(1, []string{"manifest"}, "pull", "-q", f.Addr+"/good:1")
	e.noImages()
	// A server that knows no types is believed when the manifest says what it is.
	f.Mend()
	f.Fault("GET", "/good/manifests/", 1, registry.Instead("text/html", nil))
	e.Is(good.ID(), "pull", "-q", f.Addr+"/good:1")
	e.checkRefused(late.Wait(), 1, nil, "pull", "huge")
}

// edit changes the last layer of a manifest.
func edit(m map[string]any, change func(*registry.Descriptor)) {
	layers := m["layers"].([]any)
	d := layers[len(layers)-1].(registry.Descriptor)
	change(&d)
	layers[len(layers)-1] = d
}

// Somebody between us and the registry gives another image for a digest.
func TestThreat18ManifestForDigest(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	good, evil := small(t, "good"), small(t, "evil")
	put(t, f.Addr, "a", "good", good)
	put(t, f.Addr, "a", "evil", evil)
	f.Fault("GET", "/manifests/", -1, registry.Instead("", evil.Manifest))
	e.refused(1, []string{good.Manifest.Digest()[7:19]}, "pull", "-q", f.Addr+"/a@"+good.Manifest.Digest())
	e.noImages()
}

func TestPullFaultManyTags(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := small(t, "x")
	put(t, f.Addr, "a", "t9999", p)
	f.Fault("GET", "/v2/a/tags/list", -1, registry.Tags("a", 10_000))
	e.Is(p.ID(), "pull", "-q", f.Addr+"/a:t9999")
	// All of them, of which the registry has one: the error does not name the rest.
	f.Fault("GET", "/v2/a/manifests/", -1, registry.Answer(404, "MANIFEST_UNKNOWN", "no"))
	f.Fault("HEAD", "/v2/a/manifests/", -1, registry.Answer(404, "MANIFEST_UNKNOWN", "no"))
	r := e.Run("pull", "-q", "-a", f.Addr+"/a")
	if r.Code != 1 || len(r.Err) > 4096 {
		t.Errorf("pull -a of 10,000 tags: status %d, %d bytes of errors: %.300s", r.Code, len(r.Err), r.Err)
	}
	if n := f.Count("GET", "/tags/list"); n < 10 {
		t.Errorf("%d pages of tags were asked for", n)
	}
}

// Two, or ten, at once: one download.
func TestPullAtOnce(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := small(t, "x")
	put(t, f.Addr, "a", "1", p)
	e.OK("version") // the supervisor is there
	big := p.Blobs[0].Digest()
	reached, release := make(chan struct{}), make(chan struct{})
	f.Fault("GET", big, -1, registry.Hold(len(p.Blobs[0])/2, sync.OnceFunc(func() { close(reached) }), release))
	var all []*Proc
	for range 4 {
		all = append(all, e.Start("pull", "-q", f.Addr+"/a:1"))
	}
	all = append(all, e.Start("run", "-q", "--rm", f.Addr+"/a:1"))
	<-reached
	time.Sleep(500 * time.Millisecond) // the others have asked too: nothing shows when
	all[0].Signal(syscall.SIGINT)      // one gives up: the others still get it
	if r := all[0].Wait(); r.Code != 130 {
		t.Errorf("pull after ctrl-c: %+v", r)
	}
	close(release)
	for i, c := range all[1:] {
		want := p.ID() + "\n"
		if i == 3 {
			want = "x\n"
		}
		if r := c.Wait(); r.Code != 0 || r.Out != want {
			t.Errorf("%d: %+v", i, r)
		}
	}
	for _, b := range append(p.Blobs, p.Config) {
		if n := f.Count("GET", b.Digest()); n != 1 {
			t.Errorf("%s was fetched %d times", b.Digest(), n)
		}
	}
}

// half pulls the first half of a bulky image, and leaves the pull waiting.
func (e *Env) half(size int) (f *registry.Front, p registry.Packed, pull *Proc, release chan struct{}) {
	e.t.Helper()
	f = e.front(registry.Memory())
	p = bulky(e.t, size)
	put(e.t, f.Addr, "a", "1", p)
	reached := make(chan struct{})
	release = make(chan struct{})
	f.Fault("GET", p.Blobs[1].Digest(), 1, registry.Hold(size/2, func() { close(reached) }, release))
	pull = e.Start("pull", "-q", f.Addr+"/a:1")
	<-reached
	return f, p, pull, release
}

// usage is what the store's files take, in bytes.
func (e *Env) usage() (sum int64) {
	e.t.Helper()
	err := filepath.WalkDir(e.Data, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // of another id, or just removed
		}
		if st, err := os.Lstat(path); err == nil {
			sum += st.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return sum
}

// The supervisor is killed in the middle of a pull: no half image is to be seen,
// the next pull is a good one, and the disk is given back.
func TestPullKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	for _, role := range []string{"supervisor", "sbx-keeper"} {
		t.Run(role, func(t *testing.T) {
			e := Sbx(t)
			e.OK("images")
			empty := e.usage()
			f, p, pull, _ := e.half(size)
			e.Eventually("some of it is on the disk", func() bool { return e.usage() > empty+size/8 })
			for _, victim := range e.roles()[role] {
				e.fell(victim)
			}
			if r := pull.Wait(); r.Code == 0 || r.Out != "" {
				t.Errorf("the pull: %+v", r)
			}
			e.noImages()
			e.Eventually("the disk is given back", func() bool { return e.usage() < empty+size/8 })
			e.Is(p.ID(), "pull", "-q", f.Addr+"/a:1")
			e.Is(fmt.Sprint(size), "run", "--rm", f.Addr+"/a:1")
			for range 2 { // and it is still so for the next one
				for _, victim := range e.roles()["supervisor"] {
					e.fell(victim)
				}
				e.Is(fmt.Sprint(size), "run", "--rm", "--pull", "never", f.Addr+"/a:1")
			}
		})
	}
}

// The command goes away in the middle, by ctrl-c and by a kill: the pull ends, and
// what it had is removed.
func TestPullAbandoned(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	for name, signal := range map[string]syscall.Signal{"interrupted": syscall.SIGINT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			e := Sbx(t)
			e.OK("images")
			empty := e.usage()
			f, p, pull, _ := e.half(size)
			e.Eventually("some of it is on the disk", func() bool { return e.usage() > empty+size/8 })
			pull.Signal(signal)
			if r := pull.Wait(); r.Code != 128+int(signal) {
				t.Errorf("the pull: %+v", r)
			}
			e.Eventually("the disk is given back", func() bool { return e.usage() < empty+size/8 })
			e.noImages()
			e.Is(p.ID(), "pull", "-q", f.Addr+"/a:1")
			e.Is(fmt.Sprint(size), "run", "--rm", f.Addr+"/a:1")
		})
	}
}

// The disk is full in the middle of a pull: a clear error, and a store that works
// as before.
func TestPullDiskFull(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	for name, x := range map[string]struct {
		options string
		p       registry.Packed
	}{
		"bytes":  {"size=24m", bulky(t, 32<<20)},
		"inodes": {"size=64m,nr_inodes=1500", pack(t, registry.Image{Layers: []registry.Layer{bottom(t, "gzip"), layer(t, "gzip", numbered(3000)...)}})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := Sbx(t)
			f := e.front(registry.Memory())
			put(t, f.Addr, "big", "1", x.p)
			good := small(t, "fits")
			put(t, f.Addr, "small", "1", good)
			j := e.jail("mount -t tmpfs -o mode=700," + x.options + " sbx-full " + e.Data)
			j.must(nil, "pull", "-q", f.Addr+"/small:1")
			for range 2 {
				if r := j.Run(nil, "pull", "-q", f.Addr+"/big:1"); r.Code != 1 || !strings.Contains(r.Err, "space") || strings.Count(r.Err, "\n") != 1 || r.Out != "" {
					t.Errorf("pull: %+v", r)
				}
				if out := j.must(nil, "images", "-q", "--no-trunc"); out != good.ID() {
					t.Errorf("images: %q", out)
				}
				j.works(f.Addr + "/small:1") // there is room again
				j.killSupervisor()
			}
			j.works(f.Addr + "/small:1")
			j.must(nil, "rmi", f.Addr+"/small:1")
			j.must(nil, "pull", "-q", f.Addr+"/small:1")
			j.works(f.Addr + "/small:1")
		})
	}
}

// numbered are so many empty files.
func numbered(n int) []tar.Header {
	all := make([]tar.Header, n)
	for i := range all {
		all[i] = file(fmt.Sprintf("f%d", i), "")
	}
	return slices.Clip(all)
}
