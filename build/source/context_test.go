package source

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbx/api"
	"sbx/build/files"
)

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// stream is a pipe that the data comes from.
func stream(t testing.TB, data []byte) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		w.Write(data) // the reader may not want all of it
		w.Close()
	}()
	t.Cleanup(func() { r.Close() })
	return r
}

// What comes on standard input is told by what it is.
func TestStream(t *testing.T) {
	plain := archive(t, "Dockerfile=FROM~a", "sub/=", "sub/x=X", ".dockerignore=sub/y\n", "out=->/etc/passwd")
	for _, c := range []struct {
		name  string
		data  []byte
		build api.Build
		text  string // of the Dockerfile
		files string // that are there
		fails string
	}{
		{name: "tar", data: plain, text: "FROM~a", files: "sub/x Dockerfile"},
		{name: "gzip", data: gzipped(t, plain), text: "FROM~a", files: "sub/x"},
		{name: "a Dockerfile", data: []byte("FROM scratch\n"), text: "FROM scratch\n"},
		{name: "a long one", data: []byte("FROM scratch\n" + strings.Repeat("# x\n", 1<<18)), text: "FROM scratch\n" + strings.Repeat("# x\n", 1<<18)},
		{name: "another name", data: plain, build: api.Build{Dockerfile: "sub/x"}, text: "X"},
		{name: "usual name", data: archive(t, "Containerfile=FROM~b"), text: "FROM~b"},
		{name: "missing", data: archive(t, "x="), fails: "no Dockerfile in the context: name it with -f"},
		{name: "missing name", data: plain, build: api.Build{Dockerfile: "nope"}, fails: "no nope in the context"},
		{name: "link out", data: plain, build: api.Build{Dockerfile: "out"}, fails: "no out in the context"},
		{name: "directory", data: plain, build: api.Build{Dockerfile: "sub"}, fails: "it is no file"},
		{name: "binary", data: []byte("\x7fELF\x00\x00"), fails: "neither text nor a tar archive"},
		{name: "cut off", data: plain[:1024+100], fails: "cut off"},
		{name: "climbs out", data: archive(t, "../x=X"), fails: `climbs out with ".."`},
		{name: "through a link", data: archive(t, "d=->/tmp", "d/evil=E"), fails: "d"},
		{name: "empty", data: nil, text: ""},
		{name: "bad pattern", data: archive(t, "Dockerfile=F", ".dockerignore=a[\n"), fails: ".dockerignore"},
		{name: "ignore beside it", data: archive(t, "Dockerfile=F", "Dockerfile.dockerignore=x\n", ".dockerignore=[[[\n"), text: "F"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "contexts")
			c.build.Context, c.build.Where = api.ContextArchive, "-"
			ctx, err := Open(t.Context(), &c.build, Files{Context: stream(t, c.data)}, Options{Dir: dir})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v, want one with %q", err, c.fails)
				}
				empty(t, dir)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, text := ctx.Dockerfile(); string(text) != c.text {
				t.Errorf("%d bytes of Dockerfile: %.40q", len(text), text)
			}
			for name := range strings.FieldsSeq(c.files) {
				if _, err := os.Stat(filepath.Join(ctx.private.path, name)); err != nil {
					t.Error(err)
				}
			}
			if err := ctx.Close(); err != nil {
				t.Error(err)
			}
			empty(t, dir)
		})
	}
}

// The Dockerfile and what is left out may come beside the directory.
func TestDirectory(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/a", "A")
	write(t, top+"/b", "B")
	write(t, top+"/.dockerignore", "# all but one\n/a\n")
	write(t, top+"/Dockerfile", "FROM x")
	open := func(path string) *os.File {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	dir, err := openPath(top)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []struct {
		from    Files
		ignored string
	}{
		{Files{Context: dir, Dockerfile: open(top + "/Dockerfile")}, "a"},
		{Files{Context: dir, Dockerfile: open(top + "/Dockerfile"), Ignore: stream(t, []byte("b\n"))}, "b"},
	} {
		b := &api.Build{Context: api.ContextDir, Dockerfile: "Dockerfile", DockerfileFile: true}
		ctx, err := Open(t.Context(), b, c.from, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if name, text := ctx.Dockerfile(); name != "Dockerfile" || string(text) != "FROM x" {
			t.Errorf("%s is %q", name, text)
		}
		for _, name := range []string{"a", "b"} {
			_, err := (&files.Copy{Items: []files.Item{{From: ctx.Root(), Path: name}}, Dest: "/", WorkDir: "/"}).Digest(t.Context())
			if (err != nil) != (name == c.ignored) {
				t.Errorf("%s, with %s left out: %v", name, c.ignored, err)
			}
		}
		if err := ctx.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestClean(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/x/y/z", "")
	if err := Clean(dir); err != nil {
		t.Error(err)
	}
	empty(t, dir)
	if err := Clean(dir + "/none"); err != nil {
		t.Error(err)
	}
}

func FuzzIgnore(f *testing.F) {
	for _, s := range []string{"", "a", "!a", "**/b", "a/**", "\xef\xbb\xbfa", "[a-", "\\", "/..", "*\n!x/y\n", "{a,b}"} {
		f.Add(s, "x/y")
	}
	dir := f.TempDir()
	write(f, dir+"/x/y", "")
	root, err := openPath(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		write(t, dir+"/.dockerignore", text)
		c, err := OpenDir(root, "x", Options{})
		if err != nil {
			return
		}
		// Whatever it says: no crash, and no loop.
		_, _ = (&files.Copy{Items: []files.Item{{From: c.Root(), Path: path}}, Dest: "/"}).Digest(t.Context())
	})
}
