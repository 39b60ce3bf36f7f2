package tests

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"sbx/tests/registry"
)

// usageRow is a row of system df --format json, in Docker's words.
type usageRow struct{ Type, TotalCount, Active, Size, Reclaimable string }

func (e *Env) df() map[string]usageRow {
	e.t.Helper()
	rows := map[string]usageRow{}
	for line := range strings.Lines(e.OK("system", "df", "--format", "json")) {
		var r usageRow
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			e.t.Fatalf("%q: %v", line, err)
		}
		rows[r.Type] = r
	}
	return rows
}

// bytesOf reads a size as Docker writes it.
func bytesOf(t testing.TB, s string) float64 {
	t.Helper()
	var n float64
	var unit string
	s, _, _ = strings.Cut(s, " ")
	if _, err := fmt.Sscanf(s, "%f%s", &n, &unit); err != nil {
		t.Fatalf("size %q: %v", s, err)
	}
	factor, ok := map[string]float64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
	if !ok {
		t.Fatalf("size %q", s)
	}
	return n * factor
}

// system df counts a layer once that several images share, and is not far from
// what the disk says.
func TestDiskUsage(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	const size = 8 << 20
	empty := e.startedUsage()
	big := layer(t, "gzip", file("big", strings.Repeat("0123456789abcdef", size/16)))
	for _, word := range []string{"1", "2", "3"} {
		put(t, f.Addr, "a", word, pack(t, registry.Image{Layers: []registry.Layer{bottom(t, "gzip"), big, layer(t, "gzip", file("what", word))}, Config: map[string]any{"Cmd": []string{"true"}}}))
		e.OK("pull", "-q", f.Addr+"/a:"+word)
	}
	row := e.df()["Images"]
	if n := bytesOf(t, row.Size); row.TotalCount != "3" || row.Active != "0" || n < size || n > 1.5*size {
		t.Errorf("system df: %+v, three images share %d bytes", row, size)
	}
	truth := float64(e.usage() - empty)
	if n := bytesOf(t, row.Size); n < 0.8*truth || n > 1.2*truth {
		t.Errorf("system df says %s, the disk %.1f MB", row.Size, truth/1e6)
	}
	e.OK("create", "--name", "box", f.Addr+"/a:1")
	if row := e.df()["Images"]; row.Active != "1" {
		t.Errorf("with a sandbox: %+v", row)
	}
	e.OK("run", "--name", "wrote", f.Addr+"/a:1", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x >/f")
	if row := e.df()["Containers"]; row.TotalCount != "2" || bytesOf(t, row.Size) < 2.9e6 || bytesOf(t, row.Size) > 3.3e6 {
		t.Errorf("sandboxes: %+v", row)
	}
	if out := e.OK("system", "df", "-v"); !strings.Contains(out, "SHARED SIZE") || !strings.Contains(out, "UNIQUE SIZE") {
		t.Errorf("system df -v: %q", out)
	}
	if out := e.OK("system", "df"); !strings.HasPrefix(out, "TYPE") || !strings.Contains(out, "Images") {
		t.Errorf("system df: %q", out)
	}
}

// startedUsage is what an sbx without images takes.
func (e *Env) startedUsage() int64 {
	e.t.Helper()
	e.OK("images")
	return e.usage()
}

// rmi and prune give the disk back, also of files that belong to subordinate ids.
func TestDiskIsGivenBack(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	const size = 8 << 20
	content := strings.Repeat("0123456789abcdef", size/16)
	owned := file("owned/big", content)
	owned.Uid, owned.Gid, owned.Mode = 1000, 1000, 0o600
	dir := tar.Header{Name: "owned/", Typeflag: tar.TypeDir, Uid: 1000, Gid: 1000, Mode: 0o700}
	p := pack(t, registry.Image{Layers: []registry.Layer{bottom(t, "gzip"), layer(t, "gzip", dir, owned)}, Config: map[string]any{"Cmd": []string{"true"}}})
	image := f.Addr + "/a:1"
	put(t, f.Addr, "a", "1", p)
	empty := e.startedUsage()
	gone := func(how string) {
		t.Helper()
		e.Eventually(how+" gives the disk back", func() bool { return e.subUsage() < 100<<10 && e.usage() < empty+size/8 })
		e.noImages()
	}
	e.OK("pull", "-q", image)
	if n := e.subUsage(); n < size {
		t.Fatalf("%d bytes of subordinate ids", n)
	}
	e.OK("rmi", image)
	gone("rmi")
	e.OK("pull", "-q", image)
	if out := e.OK("image", "prune", "-f"); !strings.Contains(out, "Total reclaimed space: 0B") {
		t.Errorf("prune of what has a name: %q", out)
	}
	if out := e.OK("image", "prune", "-a", "-f"); strings.Contains(out, "space: 0B") || !strings.Contains(out, p.ID()) {
		t.Errorf("prune -a: %q", out)
	}
	gone("prune -a")
	// What a sandbox is made of stays until the sandbox goes.
	e.OK("pull", "-q", image)
	e.OK("create", "--name", "box", image)
	e.OK("image", "prune", "-a", "-f")
	e.refused(1, []string{"box"}, "rmi", image)
	e.OK("rmi", "-f", image)
	if r := e.Run("start", "-a", "box"); r.Code != 0 {
		t.Errorf("start of a sandbox whose image has no name any more: %+v", r)
	}
	e.OK("rm", "box")
	e.OK("image", "prune", "-a", "-f")
	gone("prune after rm")
	// A name that moves on leaves an image without one.
	e.OK("pull", "-q", image)
	put(t, f.Addr, "a", "1", small(t, "new"))
	e.OK("pull", "-q", image)
	if out := e.OK("images", "-q", "--no-trunc", "--filter", "dangling=true"); out != p.ID() {
		t.Errorf("dangling: %q", out)
	}
	if out := e.OK("image", "prune", "-f"); !strings.Contains(out, p.ID()) {
		t.Errorf("prune: %q", out)
	}
	e.Eventually("prune gives the disk back", func() bool { return e.subUsage() < 100<<10 })
	e.Is("new", "run", "--rm", "--pull", "never", image)
}

// subUsage is what files of subordinate ids take below the store, in bytes.
func (e *Env) subUsage() int64 {
	e.t.Helper()
	script := "find " + e.Data + " -xdev -type f -not -uid 0 -printf '%b\\n' 2>/dev/null | awk '{n += $1} END {print n * 512}'"
	r := must[[]byte](e.t)(outputOf("unshare", "--user", "--map-root-user", "--map-auto", "sh", "-c", script))
	var n int64
	if _, err := fmt.Sscan(string(r), &n); err != nil {
		e.t.Fatalf("%q: %v", r, err)
	}
	return n
}

// system reset asks first, and then nothing is left; sbx works from the start.
func TestSystemReset(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "runs", image, "sleep", "1000")
	e.OK("run", "--name", "owner", image, "sh", "-c", "mkdir -m 700 /d && echo x >/d/f && chown -R 1000:1000 /d")
	if r := e.RunIn("n\n", "system", "reset"); !strings.Contains(r.Err+r.Out, "WARNING") {
		t.Errorf("reset, no: %+v", r)
	}
	if out := e.OK("ps", "-aq"); strings.Count(out, "\n") != 1 {
		t.Errorf("after a no: %q", out)
	}
	if r := e.RunIn("y\n", "system", "reset"); r.Code != 0 {
		t.Errorf("reset, yes: %+v", r)
	}
	if out := e.OK("ps", "-aq"); out != "" {
		t.Errorf("sandboxes: %q", out)
	}
	e.noImages()
	if n := e.subUsage(); n != 0 {
		t.Errorf("%d bytes of subordinate ids are left", n)
	}
	e.Is("ok", "run", "--rm", e.Busybox(), "echo", "ok")
	e.OK("system", "reset", "-f")
	e.noImages()
}

// A damaged store is when people reset.
func TestSystemResetDamaged(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	for _, p := range e.roles()["supervisor"] {
		e.fell(p)
	}
	for _, name := range []string{"overlay-layers/layers.json", "overlay-images/images.json"} {
		path := e.Data + "/storage/" + name
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{broken"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := e.Run("run", "--rm", "--pull", "never", "busybox", "true"); r.Code == 0 || !strings.Contains(r.Err, "reset") {
		t.Errorf("run on a damaged store: %+v", r)
	}
	if r := e.Run("system", "reset", "-f"); r.Code != 0 {
		t.Fatalf("reset: %+v", r)
	}
	e.Is("ok", "run", "--rm", e.Busybox(), "echo", "ok")
}
