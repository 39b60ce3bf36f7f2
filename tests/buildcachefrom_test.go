package tests

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbx/tests/registry"
)

// cacheTeam is several users of one registry, each with an sbx and a data directory of
// their own, as the runners of a CI are.
type cacheTeam struct {
	t     *testing.T
	front *registry.Front
	addr  string
}

// newCacheTeam starts a registry and puts a base image into it.
func newCacheTeam(t *testing.T) *cacheTeam {
	t.Helper()
	real := real(t, registry.Options{})
	e := Sbx(t)
	c := &cacheTeam{t: t, front: e.front(registry.Behind(real))}
	c.addr = c.front.Addr
	e.OK("tag", e.Busybox(), c.addr+"/base")
	e.OK("push", "-q", c.addr+"/base")
	return c
}

// member is one more user, who has nothing yet.
func (c *cacheTeam) member() *Env {
	c.t.Helper()
	e := Sbx(c.t)
	e.plain(c.addr)
	return e
}

// dockerfile has steps that cannot be repeated, so that an image made elsewhere of the
// same layers is one that was not built again.
const cacheDockerfile = `FROM %[1]s/base AS build
WORKDIR /w
COPY src src
RUN cat src/a >out && head -c 100000 /dev/urandom >random
FROM %[1]s/base
RUN --mount=type=cache,target=/c cat /proc/sys/kernel/random/uuid >/uuid
COPY --from=build /w/out /out
RUN --mount=type=bind,from=build,source=/w,target=/m sha256sum /m/random >/sum
ENV E=1
RUN true
ARG LATER=1
RUN echo $LATER >/later
CMD ["cat", "/out"]
`

func (c *cacheTeam) context(e *Env) string {
	return e.contextOf("context", "Dockerfile", fmt.Sprintf(cacheDockerfile, c.addr), "src/a", "a\n", "src/d/b", "b\n")
}

// builds builds the context, and gives the id of the image and which steps were carried
// out.
func (c *cacheTeam) builds(e *Env, flags ...string) (id string, done []string) {
	c.t.Helper()
	c.front.Forget()
	r := e.build(c.context(e), flags...)
	if r.Code != 0 {
		c.t.Fatalf("build %q: status %d\n%s", flags, r.Code, r.Err)
	}
	id, _, _ = strings.Cut(r.Out, "\n") // what --push says comes behind it
	return id, ran(c.t, r.Err)
}

// A build of a cache in a registry: nothing is carried out, and it gives the very image,
// wherever it is done. Layers that nobody needs are not fetched.
func TestBuildCacheRegistry(t *testing.T) {
	t.Parallel()
	c := newCacheTeam(t)
	a := c.member()
	min, max := "type=registry,ref="+c.addr+"/cache:min", "type=registry,ref="+c.addr+"/cache:max"
	first, done := c.builds(a, "-t", "made", "--cache-to", min, "--cache-to", max+",mode=max")
	if len(done) != 8 {
		t.Fatalf("carried out: %q", done)
	}
	if again, done := c.builds(a, "--cache-from", max); again != first || len(done) > 0 {
		t.Errorf("at home: %s, before %s; carried out %q", again, first, done)
	}
	for _, from := range []string{min, max} {
		b := c.member()
		b.OK("pull", "-q", c.addr+"/base")
		id, done := c.builds(b, "-t", "made", "--cache-from", from)
		if id != first || len(done) > 0 {
			t.Errorf("%s: %s, there %s; carried out %q", from, id, first, done)
		}
		if n := c.front.Count("GET", "/cache/blobs/"); n != 1+4 {
			t.Errorf("%s: %d blobs were fetched, want the index and 4 layers", from, n)
		}
		b.Is("a", "run", "--rm", "--network", "none", "made")
		// What has come is kept, and found without the cache.
		if id, done := c.builds(b); id != first || len(done) > 0 {
			t.Errorf("%s, then without: %s; carried out %q", from, id, done)
		}
		// The last step is another one: only that is carried out.
		if _, done := c.builds(b, "--cache-from", from, "--build-arg", "LATER=2"); len(done) != 1 {
			t.Errorf("%s, another last step: carried out %q", from, done)
		}
	}
}

// A build of a cache that another cache was written from, of which this machine does not
// have all layers.
func TestBuildCachePassedOn(t *testing.T) {
	t.Parallel()
	c := newCacheTeam(t)
	a, b := c.member(), c.member()
	first, _ := c.builds(a, "--cache-to", "type=registry,ref="+c.addr+"/one,mode=max")
	for _, to := range []string{"type=registry,ref=" + c.addr + "/one", "type=registry,ref=" + c.addr + "/two", "type=local,dest=" + b.Home + "/three"} {
		if id, done := c.builds(b, "--cache-from", c.addr+"/one", "--cache-to", to+",mode=max"); id != first || len(done) > 0 {
			t.Errorf("to %s: %s, there %s; carried out %q", to, id, first, done)
		}
	}
	for _, from := range []string{c.addr + "/one", c.addr + "/two", "type=local,src=" + b.Home + "/three"} {
		d := c.member()
		c.front.Forget()
		dir := d.contextOf("context", "Dockerfile", fmt.Sprintf(cacheDockerfile, c.addr)+"COPY --from=build /w/random /\n", "src/a", "a\n", "src/d/b", "b\n")
		// What was not repeatable is that of the first machine.
		r := d.build(dir, "-t", "made", "--cache-from", from)
		if done := ran(t, r.Err); r.Code != 0 || len(done) != 1 {
			t.Errorf("from %s: status %d, carried out %q\n%s", from, r.Code, done, r.Err)
			continue
		}
		d.Is("OK", "run", "--rm", "--network", "none", "made", "sh", "-c", "sed s,/m/,/, /sum | sha256sum -c >/dev/null && echo OK")
	}
}

// A cache in a directory, that is moved.
func TestBuildCacheLocal(t *testing.T) {
	t.Parallel()
	c := newCacheTeam(t)
	a, b := c.member(), c.member()
	dir := filepath.Join(t.TempDir(), "cache")
	first, _ := c.builds(a, "--cache-from", "type=local,src="+dir, "--cache-to", "type=local,dest="+dir+",mode=max,compression=zstd")
	// Another name in the same directory leaves that one alone.
	other := a.contextOf("other", "Dockerfile", "FROM "+c.addr+"/base\nRUN echo other >/other\n")
	if r := a.build(other, "--cache-to", "type=local,dest="+dir+",tag=other"); r.Code != 0 {
		t.Fatal(r.Err)
	}
	a.skopeo("inspect", "--raw", "oci:"+dir+":latest")
	moved := filepath.Join(b.Home, "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	p := b.Command(t.Context(), "build", "--progress", "plain", "--cache-from", "type=local,src=moved", c.context(b))
	p.Dir = b.Home
	var out, errs strings.Builder
	p.Stdout, p.Stderr = &out, &errs
	if err := p.Run(); err != nil || strings.TrimSpace(out.String()) != first || len(ran(t, errs.String())) > 0 {
		t.Errorf("%v: %s, there %s\n%s", err, out.String(), first, errs.String())
	}
	r := b.build(b.contextOf("other", "Dockerfile", "FROM "+c.addr+"/base\nRUN echo other >/other\n"), "--cache-from", "type=local,src="+moved+",tag=other")
	if r.Code != 0 || len(ran(t, r.Err)) > 0 {
		t.Errorf("the other name: %+v", r)
	}
}

// An image that carries the cache of its own layers, for sbx, and is an image like any
// other for the rest of the world.
func TestBuildCacheInline(t *testing.T) {
	t.Parallel()
	c := newCacheTeam(t)
	for n, flags := range [][]string{{"--cache-to", "type=inline"}, {"--build-arg", "BUILDKIT_INLINE_CACHE=1"}} {
		a, b := c.member(), c.member()
		image := fmt.Sprintf("%s/app:%d", c.addr, n)
		first, _ := c.builds(a, append(flags, "-t", image, "--push")...)
		id, done := c.builds(b, append(flags, "--cache-from", image, "-t", "made")...)
		if id != first || len(done) > 0 {
			t.Errorf("%q: %s, there %s; carried out %q", flags, id, first, done)
		}
		b.Is("a", "run", "--rm", "--network", "none", "made")
		if plain, done := c.builds(b, "-t", "plain"); plain == first || len(done) > 0 {
			t.Errorf("%q: without it the image is %s; carried out %q", flags, plain, done)
		}
		a.skopeo("copy", "-q", "--src-tls-verify=false", "docker://"+image, "oci:"+filepath.Join(a.Home, "copy"))
		if got := a.podmanSees(a.podman("pull", "-q", "--tls-verify=false", image), "cat /out"); got != "a" {
			t.Errorf("%q: podman shows %q", flags, got)
		}
	}
}

// Where there is no cache, or none that can be read, the build goes on without, and says
// so.
func TestBuildCacheMissing(t *testing.T) {
	t.Parallel()
	c := newCacheTeam(t)
	e := c.member()
	client := registry.Client{Base: "http://" + c.addr}
	index := registry.Blob(`{"schemaVersion":2,"mediaType":"` + registry.OCIIndex + `","manifests":[{"mediaType":"application/vnd.buildkit.cacheconfig.v0",` +
		`"digest":"` + registry.Blob("{}").Digest() + `","size":2}]}`)
	if err := client.PutBlob("buildkit", registry.Blob("{}")); err != nil {
		t.Fatal(err)
	}
	put(t, c.addr, "buildkit", "latest", registry.Packed{MediaType: registry.OCIIndex, Manifest: index})
	for from, want := range map[string]string{
		c.addr + "/nothing":                  "there is no cache yet",
		c.addr + "/base":                     "there is no cache yet",
		"type=local,src=" + e.Home + "/none": "there is no cache yet",
		"type=local,src=" + e.Home:           "there is no cache yet",
		"127.0.0.1:1/nothing":                "ERROR: read cache 127.0.0.1:1/nothing: 127.0.0.1:1: connection refused",
		c.addr + "/buildkit":                 "BuildKit",
	} {
		e.Run("builder", "prune", "-a", "-f")
		r := e.built("FROM "+c.addr+"/base\nRUN true\n", "--cache-from", from)
		if !strings.Contains(r.Err, want) || len(ran(t, r.Err)) != 1 {
			t.Errorf("%s: %s", from, r.Err)
		}
	}
	// What cannot be written is an error, unless that is not to matter.
	for to, word := range map[string]string{
		"type=registry,ref=127.0.0.1:1/nothing": "connection refused",
		"type=local,dest=/proc/cache":           "/proc/cache",
	} {
		r := e.dockerfile("FROM "+c.addr+"/base\nRUN true\n", "-q", "--cache-to", to)
		if r.Code != 1 || !strings.Contains(r.Err, word) || strings.Count(r.Err, "\n") != 1 {
			t.Errorf("%s: %+v", to, r)
		}
		e.built("FROM "+c.addr+"/base\nRUN true\n", "--cache-to", to+",ignore-error=true")
	}
	for _, words := range []string{
		"--cache-from type=gha", "--cache-from type=inline", "--cache-from type=registry", "--cache-from type=local", "--cache-from type=local,dest=x", "--cache-from type=registry,ref=x,mode=max",
		"--cache-to type=s3,bucket=x", "--cache-to type=inline,mode=max", "--cache-to type=local,dest=x,mode=most", "--cache-to type=registry,ref=x,compression=lzma", "--cache-to type=local,dest=x,ignore-error=perhaps",
		"--cache-to type=registry,ref=x,image-manifest=false", "--cache-to type=inline -o type=tar,dest=" + e.Home + "/x", "--cache-to type=inline --squash", "--cache-to type=registry,ref=x,compression-level=a",
	} {
		r := e.dockerfile("FROM scratch\n", strings.Fields(words)...)
		if r.Code != 1 || !strings.Contains(r.Err, "cache-") || !strings.Contains(r.Err, "type=registry,ref=NAME") || strings.Count(r.Err, "\n") != 1 {
			t.Errorf("%s: %+v", words, r)
		}
	}
}

// A registry that wants a login, and one with an authority of its own, as for pull and
// push.
func TestBuildCacheLogin(t *testing.T) {
	t.Parallel()
	r := real(t, registry.Options{Auth: true})
	e := Sbx(t)
	e.plain(r.Addr)
	dir := e.contextOf("context", "Dockerfile", "FROM "+e.Busybox()+"\nRUN true\nRUN cat /proc/sys/kernel/random/uuid >/uuid\n")
	to, from := "type=registry,ref="+r.Addr+"/cache", "type=registry,ref="+r.Addr+"/cache"
	if r := e.build(dir, "-q", "--cache-to", to); r.Code != 1 || !strings.Contains(r.Err, "sbx login") {
		t.Errorf("without a login: %+v", r)
	}
	if r := e.RunIn(registry.Password, "login", "-u", registry.User, "--password-stdin", r.Addr); r.Code != 0 {
		t.Fatal(r)
	}
	stop := e.argv()
	made := e.build(dir, "--cache-to", to)
	e.OK("rmi", "-f", strings.TrimSpace(made.Out))
	e.OK("builder", "prune", "-a", "-f")
	if again := e.build(dir, "--cache-from", from); again.Code != 0 || len(ran(t, again.Err)) > 0 || again.Out != made.Out {
		t.Errorf("%+v\n%+v", made, again)
	}
	stop()
	e.secretsIn(filepath.Join(e.Home, "runtime/containers/auth.json"))
}

// forge puts a changed cache into the registry under another name.
func (c *cacheTeam) forge(name string, change func(index map[string]any) any) {
	c.t.Helper()
	client := registry.Client{Base: "http://" + c.addr}
	raw, media, err := client.Manifest("cache", "latest")
	if err != nil {
		c.t.Fatal(err)
	}
	var m, index map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		c.t.Fatal(err)
	}
	config := m["config"].(map[string]any)
	text := must[registry.Blob](c.t)(client.Blob("cache", config["digest"].(string)))
	if err := json.Unmarshal(text, &index); err != nil {
		c.t.Fatal(err)
	}
	text = must[[]byte](c.t)(json.Marshal(change(index)))
	config["digest"], config["size"] = text.Digest(), len(text)
	raw = must[[]byte](c.t)(json.Marshal(m))
	put(c.t, c.addr, "cache", name, registry.Packed{MediaType: media, Manifest: raw, Config: text})
}

// A cache that lies is not believed, or does no harm: the steps are carried out.
func TestBuildCacheHostile(t *testing.T) {
	t.Parallel()
	c := newCacheTeam(t)
	a := c.member()
	c.builds(a, "--cache-to", "type=registry,ref="+c.addr+"/cache,mode=max")
	steps := func(index map[string]any, change func(step map[string]any)) any {
		for _, s := range index["steps"].([]any) {
			change(s.(map[string]any))
		}
		return index
	}
	c.forge("swapped", func(index map[string]any) any {
		slices.Reverse(index["layers"].([]any))
		return index
	})
	c.forge("missing", func(index map[string]any) any {
		index["layers"] = index["layers"].([]any)[1:]
		return index
	})
	c.forge("key", func(index map[string]any) any {
		return steps(index, func(s map[string]any) { s["key"] = "../../../../../../tmp/key" })
	})
	c.forge("digest", func(index map[string]any) any {
		return steps(index, func(s map[string]any) { s["layer"] = "sha256:../../../../etc/passwd" })
	})
	c.forge("parent", func(index map[string]any) any {
		return steps(index, func(s map[string]any) { s["parent"] = strings.Repeat("a", 64) })
	})
	c.forge("list", func(index map[string]any) any { return []any{index} })
	c.forge("deep", func(map[string]any) any {
		return json.RawMessage(strings.Repeat("[", 9000) + strings.Repeat("]", 9000))
	})
	c.forge("huge", func(index map[string]any) any {
		index["more"] = strings.Repeat("x", 17<<20)
		return index
	})
	flipped := registry.Flip(-9)
	gone := registry.Answer(404, "BLOB_UNKNOWN", "blob unknown")
	for tag, want := range map[string]struct {
		says  string
		fault registry.Fault // of layers
	}{
		"swapped": {says: "not taken from a cache"}, "missing": {says: "ERROR: read cache"}, "key": {says: "is no key"}, "digest": {says: "is not a digest"}, "parent": {},
		"list": {says: "not JSON of the right form"}, "deep": {says: "ERROR: read cache"}, "huge": {says: "more than"},
		"latest": {says: "blob unknown", fault: gone}, "latest@": {says: "not taken from a cache", fault: flipped},
	} {
		b := c.member()
		b.OK("pull", "-q", c.addr+"/base")
		c.front.Mend()
		if want.fault != nil {
			c.front.Fault("GET", "/cache/blobs/", -1, want.fault)
			// The first is the index.
			c.front.Fault("GET", "/cache/blobs/", 1, func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) })
		}
		r := b.build(c.context(b), "-t", "made", "--cache-from", c.addr+"/cache:"+strings.TrimSuffix(tag, "@"))
		if done := ran(t, r.Err); r.Code != 0 || len(done) < 5 || !strings.Contains(r.Err, want.says) {
			t.Errorf("%s: status %d, carried out %q\n%s", tag, r.Code, done, r.Err)
			continue
		}
		b.Is("a\n1", "run", "--rm", "--network", "none", "made", "cat", "/out", "/later")
		// Nothing of it has remained.
		if left, err := filepath.Glob(filepath.Join(b.Data, "storage/overlay/staging/*")); err != nil || len(left) > 0 {
			t.Errorf("%s: %q is left, %v", tag, left, err)
		}
	}
	if exists("/tmp/key") == nil {
		t.Error("/tmp/key was written")
	}
}

// A cache is whole or not there, whatever ends its writing: an interrupt, kill -9 of
// the supervisor.
func TestBuildCacheCutOff(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := filepath.Join(e.Home, "cache")
	small := e.contextOf("small", "Dockerfile", "FROM "+e.Busybox()+"\nRUN cat /proc/sys/kernel/random/uuid >/uuid\n")
	large := e.contextOf("large", "Dockerfile", "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=150 2>/dev/null\n")
	half := func() []string {
		return must[[]string](t)(filepath.Glob(filepath.Join(dir, "blobs/sha256/.new*")))
	}
	for _, how := range []string{"interrupt, nothing there", "interrupt", "kill", "kill, nothing there"} {
		if strings.HasPrefix(how, "kill, nothing") {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		if exists(dir) == nil && !strings.Contains(how, "nothing") {
			if r := e.build(small, "--cache-to", "type=local,dest="+dir); r.Code != 0 {
				t.Fatal(r.Err)
			}
		}
		p := e.Start("build", "--progress", "plain", "--cache-to", "type=local,dest="+dir, large)
		if p.errs.wait(0, "exporting cache", patience) < 0 {
			t.Fatalf("%s: no cache is written: %s", how, p.errs.String())
		}
		e.Eventually("a layer is being written", func() bool { return len(half()) > 0 })
		if strings.HasPrefix(how, "interrupt") {
			p.Signal(syscall.SIGINT)
		} else {
			for _, victim := range e.roles()["supervisor"] {
				e.fell(victim)
			}
		}
		if r := p.Wait(); r.Code == 0 || r.Out != "" {
			t.Errorf("%s: %+v", how, r)
		}
		if strings.HasPrefix(how, "interrupt") {
			e.Eventually("nothing half is left", func() bool { return len(half()) == 0 })
		}
		e.Run("builder", "prune", "-a", "-f")
		want := 0 // carried out
		if strings.Contains(how, "nothing") {
			want = 1
		}
		if r := e.build(small, "--cache-from", "type=local,src="+dir); r.Code != 0 || len(ran(t, r.Err)) != want || strings.Contains(r.Err, "ERROR") {
			t.Errorf("%s: status %d\n%s", how, r.Code, r.Err)
		}
	}
	// What was left by one that was killed goes with the next.
	for _, path := range half() {
		if err := os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if r := e.build(large, "--cache-to", "type=local,dest="+dir); r.Code != 0 {
		t.Fatal(r.Err)
	}
	if left := half(); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
	e.Run("builder", "prune", "-a", "-f")
	if r := e.build(large, "--cache-from", "type=local,src="+dir); r.Code != 0 || len(ran(t, r.Err)) != 0 {
		t.Errorf("in the end: status %d\n%s", r.Code, r.Err)
	}
}

// A registry that says nothing does not keep a build from being interrupted, while a
// cache is read or written.
func TestBuildCacheSilent(t *testing.T) {
	t.Parallel()
	c := newCacheTeam(t)
	e := c.member()
	e.OK("pull", "-q", c.addr+"/base")
	silent := func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }
	c.front.Fault("GET", "/cache/manifests/", -1, silent)
	c.front.Fault("HEAD", "/cache/blobs/", -1, silent)
	c.front.Fault("POST", "/cache/blobs/", -1, silent)
	for flag, words := range map[string]string{"--cache-from": "importing cache manifest", "--cache-to": "exporting cache to registry"} {
		p := e.Start("build", "--progress", "plain", flag, "type=registry,ref="+c.addr+"/cache", c.context(e))
		if p.errs.wait(0, words, patience) < 0 {
			t.Fatalf("%s: %s", flag, p.errs.String())
		}
		start := time.Now()
		p.Signal(syscall.SIGINT)
		if r := p.Wait(); r.Code != 128+int(syscall.SIGINT) || r.Out != "" {
			t.Errorf("%s: %+v", flag, r)
		}
		if took := time.Since(start); took > patience/3 {
			t.Errorf("%s: it took %v to end", flag, took)
		}
	}
}

// Whatever stages a build leaves out because of what caches know, its result is the one
// that it would have without them.
func TestBuildCacheRight(t *testing.T) {
	t.Parallel()
	const dockerfile = `FROM busybox AS a
ARG A
RUN echo $A >/a
FROM a AS b
ARG B
RUN echo $B >/b
FROM busybox AS c
COPY --from=b /a /b /
ARG C
RUN cat /a /b >/ab && echo $C >/c
FROM b AS unused
RUN echo unused; false
FROM busybox AS main
RUN --mount=type=bind,from=c,target=/m cat /m/ab /m/c >/all
COPY --from=a /a /copied
ARG D
WORKDIR /$D
RUN pwd >/d
COPY --from=c /c /
CMD ["cat", "/all", "/copied", "/d", "/c"]
`
	random := rand.New(rand.NewPCG(1, 2))
	dir := filepath.Join(t.TempDir(), "cache")
	var members []*Env
	for range 2 {
		members = append(members, Sbx(t))
	}
	members[0].Busybox()
	base := filepath.Join(t.TempDir(), "base")
	members[0].OK("save", "-q", "--format", "oci-dir", "-o", base, "busybox")
	members[1].OK("load", "-q", "-i", base)
	for n := range 24 {
		e := members[random.IntN(2)]
		var v [4]string
		var flags []string
		for i, name := range []string{"A", "B", "C", "D"} {
			v[i] = fmt.Sprint(random.IntN(2))
			flags = append(flags, "--build-arg", name+"="+v[i])
		}
		for _, word := range []string{"--cache-from type=local,src=" + dir, "--cache-to type=local,mode=min,dest=" + dir, "--cache-to type=local,mode=max,dest=" + dir, "--no-cache-filter c"} {
			if random.IntN(3) == 0 {
				flags = append(flags, strings.Fields(word)...)
			}
		}
		if random.IntN(4) == 0 {
			e.OK("builder", "prune", "-f")
		}
		if random.IntN(8) == 0 {
			e.OK("rmi", "-f", "made")
			e.OK("builder", "prune", "-a", "-f")
		}
		e.built(dockerfile, append(flags, "-t", "made")...)
		want := strings.Join([]string{v[0], v[1], v[2], v[0], "/" + v[3], v[2]}, "\n")
		if got := e.OK("run", "--rm", "--network", "none", "made"); got != want {
			t.Errorf("build %d, %q: %q, want %q", n, flags, got, want)
		}
	}
}
