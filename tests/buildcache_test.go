package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// stepLine is "#4 [build 2/5] RUN make", and doneLine "#4 CACHED".
var (
	stepLine = regexp.MustCompile(`(?m)^#(\d+) \[(.*?)\] (.*)$`)
	doneLine = regexp.MustCompile(`(?m)^#(\d+) CACHED$`)
)

// ran gives the steps of a plain progress that were done, not remembered.
func ran(t testing.TB, progress string) []string {
	t.Helper()
	remembered := map[string]bool{}
	for _, m := range doneLine.FindAllStringSubmatch(progress, -1) {
		remembered[m[1]] = true
	}
	var done []string
	for _, m := range stepLine.FindAllStringSubmatch(progress, -1) {
		if !remembered[m[1]] && !strings.HasPrefix(m[2], "internal") && !strings.HasPrefix(m[3], "FROM ") && !slices.Contains(done, m[3]) {
			done = append(done, m[3])
		}
	}
	return done
}

// What is done again, and what is not, after which change.
func TestBuildCache(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const dockerfile = "ARG TOP=1\nFROM %s AS one\nRUN echo one >/one\nFROM %[1]s\nARG A=1\nRUN echo base >/base\nCOPY a /a\nRUN cat /a >/b\nARG B\nENV E=$B\nRUN echo $E >/e\nCOPY --from=one /one /\nCOPY d /d/\nLABEL l=1\n"
	dir := e.contextOf("context", "Dockerfile", fmt.Sprintf(dockerfile, image), "a", "a\n", "d/x", "x\n", "d/y", "y\n", "ignored", "1\n", ".dockerignore", "ignored\n")
	write := func(name, text string) func() {
		return func() {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := []string{"RUN echo one >/one", "RUN echo base >/base", "COPY a /a", "RUN cat /a >/b", "RUN echo $E >/e", "COPY --from=one /one /", "COPY d /d/"}
	last := ""
	for _, c := range []struct {
		name   string
		change func()
		flags  []string
		want   []string // nil: nothing
	}{
		{"first", nil, nil, all},
		{"nothing", nil, nil, nil},
		{"another name", nil, []string{"-t", "another"}, nil},
		{"a label of the command line", nil, []string{"--label", "x=y"}, nil},
		{"times", func() {
			then := time.Unix(1e9, 0)
			for _, name := range []string{"a", "d/x", "d", "Dockerfile"} {
				if err := os.Chtimes(filepath.Join(dir, name), then, then); err != nil {
					t.Fatal(err)
				}
			}
		}, nil, nil},
		{"the same, written again", write("a", "a\n"), nil, nil},
		{"what is ignored", write("ignored", "2\n"), nil, nil},
		{"what nothing copies", write("new", "new\n"), nil, nil},
		{"a file", write("a", "changed\n"), nil, all[2:]},
		{"the file as it was", write("a", "a\n"), nil, nil},
		{"a file in a directory", write("d/x", "changed\n"), nil, all[6:]},
		{"one more file in a directory", write("d/z", "z\n"), nil, all[6:]},
		{"a mode", func() {
			if err := os.Chmod(filepath.Join(dir, "a"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, nil, all[2:]},
		{"an argument of later steps", nil, []string{"--build-arg", "B=2"}, all[4:]},
		{"an argument before all", nil, []string{"--build-arg", "A=2"}, all[1:]},
		{"a global argument that nobody asks for", nil, []string{"--build-arg", "TOP=2"}, nil},
		{"a proxy", nil, []string{"--build-arg", "HTTP_PROXY=http://other.example"}, nil},
		{"no cache", nil, []string{"--no-cache"}, all},
		{"no cache for a stage", nil, []string{"--no-cache-filter", "one"}, all[:1]},
		{"the Dockerfile's later part", func() {
			write("Dockerfile", strings.Replace(fmt.Sprintf(dockerfile, image), "LABEL l=1", "LABEL l=2\nRUN echo new >/new", 1))()
		}, nil, []string{"RUN echo new >/new"}},
		{"its middle", func() {
			write("Dockerfile", strings.Replace(fmt.Sprintf(dockerfile, image), "COPY a /a\n", "COPY a /a\nRUN echo middle\n", 1))()
		}, nil, append([]string{"RUN echo middle"}, all[3:]...)},
	} {
		if c.change != nil {
			c.change()
		}
		r := e.build(dir, append([]string{"-t", "made"}, c.flags...)...)
		if r.Code != 0 {
			t.Fatalf("%s: %+v", c.name, r)
		}
		got := ran(t, strings.ReplaceAll(r.Err, `echo "2"`, "echo $E"))
		if len(got) != len(c.want) {
			t.Errorf("%s: done again: %q, want %q\n%s", c.name, got, c.want, r.Err)
		}
		if len(c.want) == 0 && len(c.flags) == 0 && last != "" && c.name == "nothing" && strings.TrimSpace(r.Out) != last {
			t.Errorf("%s: the id is %s, before %s", c.name, r.Out, last)
		}
		last = strings.TrimSpace(r.Out)
	}
}

// What builds keep outlives their images, is counted, and goes by builder prune, which
// gives the disk back; an image that is left still works.
func TestBuildCachePrune(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const size = 8 << 20
	dockerfile := fmt.Sprintf("FROM %s\nRUN dd if=/dev/urandom of=/big bs=1M count=%d\nRUN --mount=type=cache,target=/c dd if=/dev/urandom of=/c/big bs=1M count=%[2]d\n", image, size>>20)
	empty := e.usage()
	e.built(dockerfile, "-t", "made")
	if row := e.df()["Build Cache"]; bytesOf(t, row.Size) < size || row.TotalCount == "0" {
		t.Errorf("system df: %+v", row)
	}
	e.OK("rmi", "-f", "made")
	e.OK("image", "prune", "-a", "-f")
	if r := e.RunIn(dockerfile, "build", "--progress", "plain", "--pull=never", "-"); r.Code == 0 {
		t.Errorf("image prune -a leaves the base %s: %+v", image, r)
	}
	e.Busybox()
	if r := e.built(dockerfile, "-t", "again"); len(ran(t, r.Err)) != 0 {
		t.Errorf("after rmi and image prune it is done again:\n%s", r.Err)
	}
	if row := e.df()["Build Cache"]; bytesOf(t, row.Size) < size {
		t.Errorf("system df: %+v", row)
	}
	e.OK("builder", "prune", "-a", "-f")
	if row := e.df()["Build Cache"]; row.TotalCount != "0" || bytesOf(t, row.Size) != 0 {
		t.Errorf("after builder prune: %+v", row)
	}
	e.Is(fmt.Sprint(size), "run", "--rm", "--network", "none", "again", "stat", "-c", "%s", "/big")
	e.Is("0", "run", "--rm", "--network", "none", "again", "sh", "-c", "ls /c 2>/dev/null | wc -l")
	e.OK("rmi", "again")
	e.Eventually("the disk is given back", func() bool { return e.usage()+e.subUsage() < empty+size/2 })
	if r := e.built(dockerfile); len(ran(t, r.Err)) != 2 {
		t.Errorf("after builder prune it is not done again:\n%s", r.Err)
	}
}

// The same sources at the same date give the same image, on another day, by another
// sbx, with other clocks in the context.
func TestBuildReproducible(t *testing.T) {
	t.Parallel()
	var ids, digests []string
	for n := range 2 {
		e := Sbx(t)
		image := "localhost/base"
		layout := filepath.Join(e.Home, "base")
		caseBases(t, layout)
		e.OK("load", "-q", "-i", layout)
		dir := e.contextOf("context", "Dockerfile", "FROM "+image+"\nWORKDIR /w\nCOPY . .\nRUN mkdir -p d/e && cp a d/b && ln -s a l && ln a h && mkfifo p && touch z y x\n"+
			"ADD t.tar /\nENV A=1\nRUN rm a\n", "a", "a\n", "s/b", "b\n", "t.tar", entries(t, file("in-tar", "x")))
		if n == 1 {
			now := time.Now().Add(-time.Hour)
			if err := os.Chtimes(filepath.Join(dir, "s/b"), now, now); err != nil {
				t.Fatal(err)
			}
		}
		c := e.Command(t.Context(), "build", "-q", "-t", "made", dir)
		c.Env = append(c.Env, "SOURCE_DATE_EPOCH=1700000000")
		out, err := c.Output()
		if err != nil {
			t.Fatalf("build: %v %s", err, out)
		}
		ids = append(ids, strings.TrimSpace(string(out)))
		archive := filepath.Join(e.Home, "made.tar")
		if r := e.Run("build", "--progress", "plain", "--timestamp", "1700000000", "-o", "type=oci,dest="+archive, dir); r.Code != 0 {
			t.Fatalf("build -o: %+v", r)
		}
		// Layers are written as they become ready: the order in the archive is no matter.
		digests = append(digests, string(must[[]byte](t)(outputOf("tar", "-xOf", archive, "index.json"))))
		e.Is("2023-11-14T22:13:20Z", "image", "inspect", "-f", "{{.Created}}", "made")
		e.Is("1700000000", "run", "--rm", "--network", "none", "made", "stat", "-c", "%Y", "/w/s/b")
	}
	if ids[0] != ids[1] || digests[0] != digests[1] {
		t.Errorf("ids %q, indexes %q", ids, digests)
	}
}

// What sbx builds others run, and what others export sbx builds upon.
func TestBuildForOthers(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := e.contextOf("context", "Dockerfile", "FROM "+image+"\nRUN rm -r /home && mkdir /d && echo made >/d/f && chown -R 1000:1001 /d && ln -s f /d/l\n"+
		"HEALTHCHECK --retries=2 CMD true\nCMD [\"cat\", \"/d/f\"]\n")
	const script = `stat -c '%n %a %u:%g' /d /d/f; cat /d/l; test -e /home || echo gone`
	const want = "/d 755 1000:1001\n/d/f 644 1000:1001\nmade\ngone"
	for output, transport := range map[string]string{"oci": "oci-archive", "docker": "docker-archive"} {
		archive := filepath.Join(e.Home, output+".tar")
		if r := e.build(dir, "-t", "localhost/made:"+output, "-o", "type="+output+",dest="+archive); r.Code != 0 || r.Out != "" && !strings.HasPrefix(r.Out, "sha256:") {
			t.Fatalf("-o type=%s: %+v", output, r)
		}
		e.skopeo("inspect", transport+":"+archive)
		id := e.podman("pull", "-q", transport+":"+archive)
		if got := e.podmanSees(id, script); got != want {
			t.Errorf("%s: podman shows\n%s", output, got)
		}
	}
	for format, media := range map[string]string{"oci": "application/vnd.oci.image.manifest.v1+json", "docker": "application/vnd.docker.distribution.manifest.v2+json"} {
		e.build(dir, "-t", "made-"+format, "--format", format)
		to := filepath.Join(e.Home, "saved-"+format)
		e.OK("save", "-q", "--format", format+"-archive", "-o", to, "made-"+format)
		if raw := e.skopeo("inspect", "--raw", format+"-archive:"+to); !strings.Contains(raw, media) {
			t.Errorf("%s: %s", format, raw)
		}
	}
	// Into a directory, and as a tar, as an ordinary user's files.
	to := filepath.Join(e.Home, "out")
	if r := e.build(dir, "-o", to); r.Code != 0 {
		t.Fatalf("-o DIR: %+v", r)
	}
	if raw, err := os.ReadFile(filepath.Join(to, "d/f")); err != nil || string(raw) != "made\n" || exists(filepath.Join(to, "home")) == nil {
		t.Errorf("-o DIR: %q, %v", raw, err)
	}
	r := e.Run("build", "-q", "-o", "-", dir)
	archive := filepath.Join(e.Home, "piped.tar")
	if err := os.WriteFile(archive, []byte(r.Out), 0o600); err != nil || r.Code != 0 {
		t.Fatalf("-o -: status %d, %s, %v", r.Code, r.Err, err)
	}
	if out := string(must[[]byte](t)(outputOf("tar", "-tvf", archive, "--numeric-owner"))); !strings.Contains(out, "1000/1001") || !strings.Contains(out, "d/f") {
		t.Errorf("-o -:\n%.2000s", out)
	}
}
