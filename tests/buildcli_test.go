package tests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sbx/tests/registry"
)

// TestBuildCheck: the linter's words, with the lines; nothing is built.
func TestBuildCheck(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := e.contextOf("context", "Dockerfile", "from "+image+" AS Base\nRUN true\nENV a b\nCMD sh\n")
	r := e.Run("build", "--check", "-t", "made", dir)
	for _, want := range []string{
		"WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\nStage name 'Base' should be lowercase\nDockerfile:1\n--------------------\n   1 | >>> from busybox AS Base\n",
		"WARNING: LegacyKeyValueFormat", "   3 | >>> ENV a b\n", "WARNING: JSONArgsRecommended", "WARNING: FromAsCasing", "warnings have been found!\n",
	} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("no %q in %q", want, r.Out)
		}
	}
	if r.Code != 1 || r.Err != "" {
		t.Errorf("status %d, stderr %q", r.Code, r.Err)
	}
	if r := e.Run("image", "inspect", "made"); r.Code == 0 {
		t.Error("there is an image")
	}
	e.Is("Check complete, no warnings found.", "build", "--call=check", e.contextOf("clean", "Dockerfile", "FROM "+image+"\nRUN true\n"))
	// The warnings of a build do not stop it, unless the Dockerfile says so.
	if r := e.build(dir); r.Code != 0 || !strings.Contains(r.Err, " - StageNameCasing: Stage name 'Base' should be lowercase (line 1)\n") {
		t.Errorf("build: %+v", r)
	}
	if r := e.dockerfile("# check=error=true\nfrom " + image + "\nRUN true\n"); r.Code != 1 || !strings.Contains(r.Err, "lint violation found for rules: ") {
		t.Errorf("build with check=error=true: %+v", r)
	}
}

// TestBuildID: the id alone is on standard output, in the file, and in the metadata.
func TestBuildID(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := e.contextOf("context", "Containerfile", "FROM "+e.Busybox()+"\nRUN echo out; echo errors >&2\n")
	iid, meta := filepath.Join(e.Home, "iid"), filepath.Join(e.Home, "meta")
	id := e.OK("build", "-q", "-t", "one", "-t", "two:2", "--iidfile", iid, "--metadata-file", meta, dir)
	for _, name := range []string{"one", "two:2"} {
		e.Is(id, "image", "inspect", "-f", "{{.Id}}", name)
	}
	if text, err := os.ReadFile(iid); string(text) != id || err != nil {
		t.Errorf("--iidfile has %q, %v; want %q", text, err, id)
	}
	var facts map[string]string
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(meta)), &facts); err != nil {
		t.Fatal(err)
	}
	if facts["containerimage.config.digest"] != id || facts["image.name"] != "one,two:2" || !strings.HasPrefix(facts["containerimage.digest"], "sha256:") {
		t.Errorf("--metadata-file has %v, the id is %s", facts, id)
	}
	// Everything is there already: the same image again.
	e.Is(id, "build", "-q", dir)
}

// TestBuildOutputs: the result as files of the user's own, and as an archive of files.
func TestBuildOutputs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := e.contextOf("context", "Dockerfile", "FROM scratch\nCOPY --chown=70:71 --chmod=4750 a /sub/b\nCOPY a /c\nENV k=v\n", "a", "text\n")
	out := filepath.Join(e.Home, "out", "deep")
	if r := e.build(dir, "-o", "type=local,dest="+out); r.Code != 0 || r.Out != "" {
		t.Fatalf("-o type=local: %+v", r)
	}
	for name, mode := range map[string]os.FileMode{"sub/b": 0o750, "c": 0o644} {
		text, err := os.ReadFile(filepath.Join(out, name))
		st, e := os.Stat(filepath.Join(out, name))
		if err != nil || e != nil || string(text) != "text\n" || st.Mode() != mode {
			t.Errorf("%s: %q, %v, %v %v", name, text, err, st.Mode(), e)
		}
	}
	if r := e.Run("build", "-q", "-o", "-", dir); r.Code != 0 || r.Err != "" || !slices.Equal(members(t, r.Out), []string{"c", "sub/", "sub/b"}) {
		t.Errorf("-o -: status %d, %q, %v", r.Code, r.Err, members(t, r.Out))
	}
}

// members are the names in an archive.
func members(t testing.TB, archive string) (names []string) {
	t.Helper()
	for r := tar.NewReader(strings.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(h.Name, "./"))
	}
}

// TestBuildContexts: every form of a context, and what is left out of it.
func TestBuildContexts(t *testing.T) {
	t.Parallel()
	Need(t, "git")
	e := Sbx(t)
	image := e.Busybox()
	const show = "RUN --mount=target=/ctx cd /ctx && find . -type f | sort | tr '\\n' ' ' >/list && cat /list"
	text := "FROM " + image + "\n" + show + "\n"
	dir := e.contextOf("context", "Dockerfile", text, "a", "1", "sub/b", "2", "other/x.file", text)
	list := func(what string, r Result) {
		t.Helper()
		if !strings.Contains(r.Err, " "+what+"\n") || r.Code != 0 {
			t.Errorf("want the files %s; status %d\n%s", what, r.Code, r.Err)
		}
	}
	all := "./Dockerfile ./a ./other/x.file ./sub/b"
	list(all, e.build(dir, "--no-cache"))
	list(all, e.build(dir, "--no-cache", "-f", filepath.Join(dir, "other/x.file")))
	packed := must[[]byte](t)(exec.Command("tar", "-C", dir, "-c", ".").Output())
	var small bytes.Buffer
	w := gzip.NewWriter(&small)
	if _, err := w.Write(packed); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	plain := []string{"build", "--progress", "plain", "--no-cache"}
	list(all, e.RunIn(string(packed), append(plain, "-")...))
	list(all, e.RunIn(small.String(), append(plain, "-f", "other/x.file", "-")...))
	archive := filepath.Join(e.Home, "context.tgz")
	if err := os.WriteFile(archive, small.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	list(all, e.Run(append(plain, archive)...))
	list(all, e.RunIn(text, append(plain, "-f", "-", dir)...))

	server := httptest.NewServer(http.FileServer(http.Dir(e.Home)))
	defer server.Close()
	list(all, e.Run(append(plain, server.URL+"/context.tgz")...))
	if r := e.Run(append(plain, server.URL+"/context/gone")...); r.Code != 1 || !strings.Contains(r.Err, "404") {
		t.Errorf("of a page that is not there: %+v", r)
	}
	e.git(dir)
	list(all, e.Run(append(plain, "file://"+dir)...))
	list("./Dockerfile ./b", e.Run(append(plain, "file://"+dir+"#second:sub")...))

	// What is left out: the file beside the Dockerfile goes before that of the context,
	// and --ignorefile before both.
	e.contextOf("context", ".dockerignore", "a\n**/b\n!Dockerfile\n", "other/x.file.dockerignore", "sub\n.git\n", "../ignore", "*\n!a\n")
	list("./Dockerfile ./other/x.file ./other/x.file.dockerignore", e.build(dir, "--no-cache", "--ignorefile", e.contextOf(".", "more", "a\nsub\n.*\n")+"/more"))
	list("./.dockerignore ./Dockerfile ./a ./other/x.file ./other/x.file.dockerignore", e.build(dir, "--no-cache", "-f", filepath.Join(dir, "other/x.file")))
	list("./a", e.build(dir, "--no-cache", "--ignorefile", filepath.Join(e.Home, "ignore")))

	// A context by name.
	named := e.contextOf("named", "n", "3")
	list("./n", e.RunIn("FROM "+image+"\n"+strings.Replace(show, "target", "from=lib,target", 1)+"\n", append(plain, "--build-context", "lib="+named, "-")...))
}

// git makes a repository of a directory, with a branch "second" that has a Dockerfile in
// sub.
func (e *Env) git(dir string) {
	e.t.Helper()
	c := exec.Command("sh", "-ec", `git init -q -b main . && git add . && git commit -q -m one && git switch -q -c second &&
		cp Dockerfile sub && git add . && git commit -q -m two && git switch -q main`)
	c.Dir = dir
	c.Env = append(e.Env(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	if out, err := c.CombinedOutput(); err != nil {
		e.t.Fatalf("%v: %s", err, out)
	}
}

// TestBuildPushes: --push brings the image to a registry, where others get it.
func TestBuildPushes(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := real(t, registry.Options{})
	e.plain(r.Addr)
	name := r.Addr + "/team/app:1"
	built := e.dockerfile("FROM "+e.Busybox()+"\nRUN echo hello >/greeting\nCMD [\"cat\", \"/greeting\"]\n", "--push", "-t", name)
	if built.Code != 0 {
		t.Fatalf("%+v", built)
	}
	id, _, _ := strings.Cut(built.Out, "\n")
	other := Sbx(t)
	other.plain(r.Addr)
	other.Is(id, "pull", "-q", name)
	other.Is("hello", "run", "--rm", name)
	e.podman("pull", "-q", name)
	if got := e.podmanSees(name, "cat /greeting"); got != "hello" {
		t.Errorf("podman shows %q", got)
	}
}

// TestBuildRawJSON: BuildKit's form, one object a line.
func TestBuildRawJSON(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := e.RunIn("FROM "+e.Busybox()+"\nRUN echo one; echo two >&2\nRUN exit 3\n", "build", "--progress", "rawjson", "-")
	names, log, failed := map[string]string{}, "", ""
	for line := range strings.Lines(r.Err) {
		var status struct {
			Vertexes []struct{ Digest, Name, Error string }
			Logs     []struct {
				Vertex string
				Data   []byte
			}
		}
		if err := json.Unmarshal([]byte(line), &status); err != nil {
			if strings.HasPrefix(line, "sbx: build ") {
				continue
			}
			t.Errorf("%q: %v", line, err)
		}
		for _, v := range status.Vertexes {
			names[v.Digest] = v.Name
			failed += v.Error
		}
		for _, l := range status.Logs {
			if !strings.Contains(names[l.Vertex], "RUN echo one") {
				t.Errorf("%q is of %q", l.Data, names[l.Vertex])
			}
			log += string(l.Data)
		}
	}
	if r.Code != 1 || log != "one\ntwo\n" && log != "two\none\n" || !strings.Contains(failed, "exit code: 3") {
		t.Errorf("status %d, log %q, error %q", r.Code, log, failed)
	}
}

// TestBuildReset: nothing of builds is left when everything is removed, and the next
// build begins anew.
func TestBuildReset(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	text := "FROM " + image + "\nRUN --mount=type=cache,target=/c touch /c/file /made\n"
	e.built(text)
	e.OK("system", "reset", "-f")
	if _, err := os.Stat(filepath.Join(e.Data, "build")); err == nil {
		t.Error("the directory of builds is left")
	}
	e.Busybox()
	if r := e.built(text); strings.Count(r.Err, "CACHED") != 1 {
		t.Errorf("after a reset only FROM is there already:\n%s", r.Err)
	}
}
