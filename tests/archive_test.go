package tests

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sbx/tests/registry"
)

// What sbx saves podman loads, and the other way round: same ids, same names, same
// files.
func TestSaveForPodman(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p, script, want := rich(t, true, [4]string{"gzip", "gzip", "gzip", "gzip"})
	put(t, f.Addr, "rich", "1", p)
	image := f.Addr + "/rich:1"
	e.OK("pull", "-q", image)
	top := t.TempDir()
	for format, transport := range map[string]string{"docker-archive": "docker-archive", "oci-archive": "oci-archive"} {
		file := filepath.Join(top, format)
		e.OK("save", "-q", "--format", format, "-o", file, image)
		e.podman("load", "-q", "-i", file)
		name := image
		if format == "docker-archive" {
			if got := "sha256:" + e.podman("image", "inspect", "-f", "{{.Id}}", name); got != p.ID() {
				t.Errorf("%s: podman has id %s, want %s", format, got, p.ID())
			}
		}
		if got := e.podmanSees(name, script); got != want {
			t.Errorf("%s: podman shows %q", format, got)
		}
		e.skopeo("inspect", transport+":"+file)
		e.podman("rmi", "-f", name)
	}
	// A pipe is as good as a file.
	file := filepath.Join(top, "piped.tar")
	if r := e.Run("save", "-q", image); r.Code != 0 || os.WriteFile(file, []byte(r.Out), 0o600) != nil {
		t.Fatalf("save to a pipe: status %d, %d bytes, %s", r.Code, len(r.Out), r.Err)
	}
	e.podman("load", "-q", "-i", file)
	e.skopeo("inspect", "docker-archive:"+file)
}

func TestLoadWhatPodmanSaved(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	top := t.TempDir()
	id := e.podman("import", "-q", "-c", `CMD ["echo","from podman"]`, os.Getenv("SBX_TEST_BUSYBOX"), "localhost/made:1")
	e.podman("tag", "localhost/made:1", "docker.io/library/made:2")
	for _, format := range []string{"docker-archive", "oci-archive", "oci-dir", "docker-dir"} {
		to := filepath.Join(top, format)
		e.podman("save", "-q", "--format", format, "-o", to, "localhost/made:1")
		r := e.Run("load", "-i", to)
		if r.Code != 0 || !strings.Contains(r.Out, "Loaded image") {
			t.Errorf("load %s: %+v", format, r)
			continue
		}
		if format == "docker-dir" { // has no name in it
			fields := strings.Fields(r.Out)
			e.Is("from podman", "run", "--rm", fields[len(fields)-1])
		} else {
			e.Is("from podman", "run", "--rm", "--pull", "never", "localhost/made:1")
		}
		if format == "docker-archive" {
			e.Is(id, "image", "inspect", "-f", "{{.Id}}", "localhost/made:1")
		}
		for _, image := range strings.Fields(e.OK("images", "-q")) {
			e.OK("rmi", "-f", image)
		}
	}
	raw, err := os.ReadFile(filepath.Join(top, "docker-archive"))
	if err != nil {
		t.Fatal(err)
	}
	if r := e.RunIn(string(raw), "load", "-q"); r.Code != 0 {
		t.Errorf("load from a pipe: %+v", r)
	}
	e.Is("from podman", "run", "--rm", "--pull", "never", "localhost/made:1")
	// Compressed as a whole, as people pass them on.
	e.OK("rmi", "-f", "localhost/made:1")
	packed := filepath.Join(top, "packed.tar.gz")
	if err := output("sh", "-c", "gzip -1 <"+top+"/docker-archive >"+packed); err != nil {
		t.Fatal(err)
	}
	e.OK("load", "-q", "-i", packed)
	e.Is("from podman", "run", "--rm", "--pull", "never", "localhost/made:1")
}

// Several images and tags in one archive: shared layers once.
func TestSaveSeveral(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	one, two := small(t, "one"), small(t, "two")
	put(t, f.Addr, "a", "1", one)
	put(t, f.Addr, "a", "2", two)
	e.OK("pull", "-q", f.Addr+"/a:1")
	e.OK("pull", "-q", f.Addr+"/a:2")
	e.OK("tag", f.Addr+"/a:1", "other:tag")
	file := filepath.Join(t.TempDir(), "both.tar")
	e.OK("save", "-q", "-o", file, f.Addr+"/a:1", f.Addr+"/a:2", "other:tag")
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	seen := map[string]int64{}
	r := tar.NewReader(must[*os.File](t)(os.Open(file)))
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[h.Name] = h.Size
		if h.Name == "manifest.json" {
			if err := json.NewDecoder(r).Decode(&manifest); err != nil {
				t.Fatal(err)
			}
		}
	}
	layers := map[string]bool{}
	for _, m := range manifest {
		for _, l := range m.Layers {
			if layers[l] = true; seen[l] == 0 {
				t.Errorf("layer %s is not in the archive", l)
			}
		}
	}
	if len(manifest) != 2 || len(layers) != 3 {
		t.Errorf("%d images with %d layers: %+v", len(manifest), len(layers), manifest)
	}
	other := Sbx(t)
	loaded := other.Run("load", "-i", file)
	for _, name := range []string{f.Addr + "/a:1", f.Addr + "/a:2", "other:tag"} {
		if loaded.Code != 0 || !strings.Contains(loaded.Out, name) {
			t.Errorf("load does not name %s: %+v", name, loaded)
		}
	}
	other.Is("one", "run", "--rm", "--pull", "never", "other:tag")
	other.Is("two", "run", "--rm", "--pull", "never", f.Addr+"/a:2")
	other.Is(one.ID(), "image", "inspect", "-f", "{{.Id}}", "other:tag")
	e.podman("load", "-q", "-i", file)
}

// What cannot be loaded or saved is said in one line, and leaves nothing.
func TestSaveLoadFaults(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	top := t.TempDir()
	e.refused(1, []string{"no-such"}, "save", "-q", "-o", top+"/x", "no-such")
	e.refused(1, []string{"/no/such/dir"}, "save", "-q", "-o", "/no/such/dir/x", image)
	if r := e.Terminal("save", image).Wait(); r == 0 {
		t.Error("an archive was written to a terminal")
	}
	if entries := must[[]os.DirEntry](t)(os.ReadDir(top)); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
	if out, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		c := e.Command(t.Context(), "save", "-q", image)
		var errs bytes.Buffer
		c.Stdout, c.Stderr = out, &errs
		if err := c.Run(); err == nil || strings.Count(errs.String(), "\n") != 1 || !strings.Contains(errs.String(), "space") {
			t.Errorf("save to a full disk: %v %q", err, errs.String())
		}
		out.Close()
	}
	file := filepath.Join(top, "ok.tar")
	e.OK("save", "-q", "-o", file, image)
	e.OK("rmi", image)
	raw := must[[]byte](t)(os.ReadFile(file))
	for name, content := range map[string][]byte{"empty": nil, "text": []byte("hello\n"), "half": raw[:len(raw)/2], "root": must[[]byte](t)(os.ReadFile(os.Getenv("SBX_TEST_BUSYBOX")))} {
		path := filepath.Join(top, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		e.refused(1, []string{name}, "load", "-q", "-i", path)
		if r := e.RunIn(string(content), "load", "-q"); r.Code != 1 || strings.Count(r.Err, "\n") != 1 {
			t.Errorf("load <%s: %+v", name, r)
		}
		e.noImages()
	}
	e.refused(1, []string{"/no/such"}, "load", "-q", "-i", "/no/such")
	e.OK("load", "-q", "-i", file)
	e.Is("ok", "run", "--rm", "--pull", "never", image, "echo", "ok")
}

// The file system of a sandbox, as podman exports the same image.
func TestExportIsAsPodmans(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := real(t, registry.Options{})
	e.plain(r.Addr)
	p, script, want := rich(t, false, [4]string{"gzip", "zstd", "gzip", ""})
	put(t, r.Addr, "rich", "1", p)
	image := r.Addr + "/rich:1"
	top := t.TempDir()
	e.OK("pull", "-q", image)
	e.OK("create", "--name", "box", image)
	e.export(top+"/ours.tar", "box")
	e.podman("pull", "-q", image)
	e.podman("create", "-q", "--name", "box", image)
	e.podman("export", "-o", top+"/theirs.tar", "box")
	ours, theirs := entriesOf(t, top+"/ours.tar"), entriesOf(t, top+"/theirs.tar")
	for name, their := range theirs {
		if our := ours[name]; our != their {
			t.Errorf("%s: %q, podman has %q", name, our, their)
		}
	}
	for name, our := range ours {
		if _, ok := theirs[name]; !ok {
			t.Errorf("%s: %q, podman has nothing", name, our)
		}
	}
	// It can be imported again, and of a sandbox that runs it has what was written.
	e.OK("import", top+"/ours.tar", "again")
	e.Is(want, "run", "--rm", "again", "sh", "-c", script)
	e.OK("run", "-d", "--name", "runs", image, "sh", "-c", "mkfifo /p2; echo written >/new; rm /old; sleep 1000")
	e.Eventually("it has written", func() bool { return e.Run("exec", "runs", "test", "!", "-e", "/old").Code == 0 })
	e.export(top+"/runs.tar", "runs")
	runs := entriesOf(t, top+"/runs.tar")
	if runs["old"] != "" || !strings.HasPrefix(runs["new"], "0 ") || runs["p2"] == "" {
		t.Errorf("of the running one: old %q, new %q, p2 %q", runs["old"], runs["new"], runs["p2"])
	}
	e.refused(1, []string{"no-such"}, "export", "-o", top+"/x", "no-such")
}

// entriesOf describes each entry of an archive, but those that every runtime adds.
func entriesOf(t testing.TB, archive string) map[string]string {
	t.Helper()
	f := must[*os.File](t)(os.Open(archive))
	defer f.Close()
	found := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Trim(strings.TrimPrefix(h.Name, "./"), "/")
		switch name {
		case "", "dev", "proc", "sys", "run", "etc", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "run/.containerenv", "dev/pts", "dev/shm", "dev/console":
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		target := h.Linkname
		kind := h.Typeflag
		if kind == tar.TypeLink { // which of the names comes first is anybody's choice
			target = "linked"
		}
		found[name] = strings.Join([]string{string(kind), h.FileInfo().Mode().String(), strconv.Itoa(h.Uid), strconv.Itoa(h.Gid), target, h.PAXRecords["SCHILY.xattr.user.colour"],
			registry.Blob(content).Digest()[7:15]}, " ")
		if strings.HasPrefix(name, "hard") || strings.HasPrefix(name, "shared") {
			found[name] = "linked"
		}
	}
}
