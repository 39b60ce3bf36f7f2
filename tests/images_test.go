package tests

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"sbx/tests/registry"
)

func TestImagesList(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := small(t, "x")
	put(t, f.Addr, "team/app", "1", p)
	repo := f.Addr + "/team/app"
	if out := e.OK("images"); out != "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE" {
		t.Errorf("no images: %q", out)
	}
	e.OK("pull", "-q", repo+":1")
	e.OK("tag", repo+":1", "mine")
	e.OK("tag", p.ID()[7:19], "localhost/other:2")
	lines := strings.Split(e.OK("images"), "\n")
	if len(lines) != 4 || !slices.Equal(strings.Fields(lines[0]), []string{"REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"}) {
		t.Fatalf("images: %q", lines)
	}
	e.Is(repo+":1 "+p.ID()[7:19], "images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", repo)
	e.Is(p.ID(), "images", "-q", "--no-trunc", repo)
	e.Is("mine latest", "images", "--format", "{{.Repository}} {{.Tag}}", "mine")
	e.Is(p.Manifest.Digest(), "images", "--format", "{{.Digest}}", "--digests", repo+":1")
	if out := e.OK("images", "--filter", "reference=*/team/*", "--format", "{{.Tag}}"); out != "1" {
		t.Errorf("--filter reference: %q", out)
	}
	if out := e.OK("images", "-q", "--filter", "dangling=true"); out != "" {
		t.Errorf("--filter dangling: %q", out)
	}
	var first map[string]any
	if err := json.Unmarshal([]byte(strings.Split(e.OK("images", "--format", "json"), "\n")[0]), &first); err != nil || first["ID"] != p.ID()[7:19] {
		t.Errorf("--format json: %v %v", first, err)
	}
	e.refused(1, []string{"colour"}, "images", "--filter", "colour=blue")
	// image ls, and image list, are the same.
	if a, b := e.OK("images", "-q"), e.OK("image", "ls", "-q"); a != b {
		t.Errorf("image ls: %q, images: %q", b, a)
	}
}

// Docker's rules of rmi.
func TestImagesRemove(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := small(t, "x")
	id := p.ID()
	put(t, f.Addr, "a", "1", p)
	image := f.Addr + "/a:1"
	e.OK("pull", "-q", image)
	e.OK("tag", image, "other:1")
	if out := e.OK("rmi", "other:1"); !strings.HasPrefix(out, "Untagged: other:1") || strings.Contains(out, "Deleted") {
		t.Errorf("rmi of one name of two: %q", out)
	}
	e.OK("tag", image, "other:1")
	e.refused(1, []string{"-f"}, "rmi", id[7:19]) // two repositories
	e.OK("create", "--name", "box", image)
	e.OK("rmi", "other:1") // only a name
	e.refused(1, []string{"box"}, "rmi", image)
	e.OK("run", "-d", "--name", "runs", image, "sleep", "1000")
	e.refused(1, []string{"runs"}, "rmi", "-f", id)
	e.OK("rm", "-f", "runs", "box")
	out := e.OK("rmi", image)
	for _, words := range []string{"Untagged: " + image, "Untagged: " + f.Addr + "/a@" + p.Manifest.Digest(), "Deleted: " + id} {
		if !strings.Contains(out, words) {
			t.Errorf("rmi: no %q in %q", words, out)
		}
	}
	e.noImages()
	e.refused(1, []string{"no-such"}, "rmi", "no-such")
	// A layer that another image has too stays.
	put(t, f.Addr, "a", "2", small(t, "two"))
	e.OK("pull", "-q", image)
	e.OK("pull", "-q", f.Addr+"/a:2")
	if out := e.OK("rmi", image); strings.Count(out, "Deleted: ") != 2 {
		t.Errorf("rmi of an image that shares a layer: %q", out)
	}
	e.Is("two", "run", "--rm", "--pull", "never", f.Addr+"/a:2")
	e.OK("rmi", "-a", "-f")
	e.noImages()
}

// inspect and history say what podman says.
func TestImagesInspect(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := pack(t, registry.Image{Docker: true, Layers: []registry.Layer{bottom(t, "gzip"), layer(t, "gzip", file("f", "x"))}, Config: map[string]any{
		"Cmd": []string{"a", "b c"}, "Entrypoint": []string{"/bin/e"}, "Env": []string{"PATH=/bin", "X=y z"}, "User": "1000:1000", "WorkingDir": "/w",
		"ExposedPorts": map[string]any{"80/tcp": map[string]any{}}, "Volumes": map[string]any{"/data": map[string]any{}}, "Labels": map[string]string{"a": "b"},
		"StopSignal": "SIGINT", "Healthcheck": map[string]any{"Test": []string{"CMD", "true"}, "Interval": 1e9}, "OnBuild": []string{"RUN x"}, "Shell": []string{"/bin/ash"}},
		Change: func(_, c map[string]any) { c["author"] = "somebody" }})
	put(t, f.Addr, "a", "1", p)
	image := f.Addr + "/a:1"
	e.OK("pull", "-q", image)
	e.podman("pull", "-q", image)
	for _, field := range []string{".RepoTags", ".RepoDigests", ".Architecture", ".Os", ".Author", ".RootFS.Layers", ".Config.Cmd", ".Config.Entrypoint",
		".Config.Env", ".Config.User", ".Config.WorkingDir", ".Config.ExposedPorts", ".Config.Volumes", ".Config.Labels", ".Config.StopSignal"} {
		ours := e.OK("image", "inspect", "-f", "{{json "+field+"}}", image)
		theirs := e.podman("image", "inspect", "-f", "{{json "+field+"}}", image)
		if !sameJSON(t, ours, theirs) {
			t.Errorf("%s: sbx %s, podman %s", field, ours, theirs)
		}
	}
	var all []map[string]any
	if err := json.Unmarshal([]byte(e.OK("image", "inspect", image)), &all); err != nil || len(all) != 1 {
		t.Fatalf("%v: %v", err, all)
	}
	for _, key := range []string{"Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "DockerVersion", "Author", "Config", "Architecture", "Os", "Size", "GraphDriver", "RootFS", "Metadata"} {
		if _, ok := all[0][key]; !ok {
			t.Errorf("no %s in inspect", key)
		}
	}
	if all[0]["Id"] != p.ID() || all[0]["Author"] != "somebody" {
		t.Errorf("inspect: %v %v", all[0]["Id"], all[0]["Author"])
	}
	if out := e.OK("inspect", image); !strings.Contains(out, p.ID()) { // no sandbox has that name
		t.Errorf("inspect: %q", out)
	}
	if out := e.Run("image", "inspect", "no-such"); out.Code != 1 || out.Out != "[]\n" {
		t.Errorf("image inspect no-such: %+v", out)
	}
	history := strings.Split(e.OK("history", "--no-trunc", "--format", "{{.CreatedBy}}", image), "\n")
	if !slices.Equal(history, []string{"layer 1", "layer 0"}) {
		t.Errorf("history: %q", history)
	}
	lines := strings.Split(e.OK("history", image), "\n")
	if len(lines) != 3 || !slices.Equal(strings.Fields(lines[0]), []string{"IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"}) || !strings.HasPrefix(lines[1], p.ID()[7:19]) || !strings.HasPrefix(lines[2], "<missing>") {
		t.Errorf("history: %q", lines)
	}
	// The image's own settings are what run starts from.
	e.refused(127, []string{"/bin/e"}, "run", "--rm", image) // which is not there
}

func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatalf("%q: %v", a, err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return string(must[[]byte](t)(json.Marshal(x))) == string(must[[]byte](t)(json.Marshal(y)))
}

func TestImagesTag(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("tag", "busybox", "host.example.com:5000/a/b:1.0")
	e.OK("tag", "busybox", "a")
	e.Is("ok", "run", "--rm", "--pull", "never", "docker.io/library/a:latest", "echo", "ok")
	// A name belongs to one image: it moves.
	e.OK("import", "-m", "another", os.Getenv("SBX_TEST_BUSYBOX"), "second")
	e.OK("tag", "second", "a")
	if a, b := e.OK("image", "inspect", "-f", "{{.Id}}", "a"), e.OK("image", "inspect", "-f", "{{.Id}}", "second"); a != b {
		t.Errorf("a is %s, second is %s", a, b)
	}
	for _, bad := range []string{"UPPER", "a b", "a@sha256:" + strings.Repeat("0", 64), "\x1b[31m", "a:" + strings.Repeat("x", 200), ""} {
		e.checkRefused(e.Run("tag", "busybox", bad), 1, nil, "tag", bad)
	}
	e.refused(1, []string{"no-such"}, "tag", "no-such", "x")
}
