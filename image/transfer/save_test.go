package transfer

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sbx/api"
)

func TestSaveAndLoad(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	a := s.make("lib/a", "1", threeLayers(), nil)
	b := s.make("lib/b", "1", threeLayers()[:2], nil)
	nameA, nameB := s.host()+"/lib/a:1", s.host()+"/lib/b:1"
	mustPull(t, o, nameA, PullOptions{})
	mustPull(t, o, nameB, PullOptions{})
	for _, format := range []string{"", api.DockerArchive, api.OCIArchive, api.OCIDir} {
		dir := t.TempDir()
		f, err := os.Create(filepath.Join(dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		save := api.Save{Names: []string{nameA, nameB}, Format: format}
		load := api.Load{Source: "file"}
		if format == api.OCIDir {
			save.Dir = filepath.Join(dir, "layout")
			load.Dir = save.Dir
		}
		if err := Save(context.Background(), o, f, save); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		other := newOptions(t)
		got, err := Load(context.Background(), other, f, load)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if len(got) != 2 || got[0].Image.ID != a.id || got[0].Names[0] != nameA || got[1].Image.ID != b.id || got[1].Names[0] != nameB {
			t.Errorf("%s: loaded %+v", format, got)
		}
		if img, err := other.Store.Resolve(nameB); err != nil || img.ID != b.id {
			t.Errorf("%s: %s is %s, %v", format, nameB, img.ID, err)
		}
	}
}

func TestSaveDockerDir(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	a := s.make("lib/a", "1", threeLayers(), nil)
	mustPull(t, o, s.host()+"/lib/a:1", PullOptions{})
	dir := filepath.Join(t.TempDir(), "saved")
	if err := Save(context.Background(), o, nil, api.Save{Names: []string{a.id}, Format: api.DockerDir, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	other := newOptions(t)
	got, err := Load(context.Background(), other, nil, api.Load{Source: dir, Dir: dir})
	if err != nil || len(got) != 1 || got[0].Image.ID != a.id {
		t.Errorf("loaded %+v, %v", got, err)
	}
}

func TestLoadFromPipe(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	a := s.make("lib/a", "1", threeLayers(), nil)
	name := s.host() + "/lib/a:1"
	mustPull(t, o, name, PullOptions{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	saved := make(chan error, 1)
	go func() {
		defer w.Close()
		saved <- Save(context.Background(), o, w, api.Save{Names: []string{name}})
	}()
	other := o
	got, err := Load(context.Background(), other, r, api.Load{Source: "-"})
	if err != nil || <-saved != nil || len(got) != 1 || got[0].Image.ID != a.id {
		t.Errorf("loaded %+v, %v", got, err)
	}
}

// A layout is for others, whatever the umask of who makes it, and keeps what it has.
func TestSaveLayoutForOthers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	s, o := newServer(t), newOptions(t)
	a := s.make("lib/a", "1", threeLayers(), nil)
	b := s.make("lib/b", "1", []layer{{"other", "x", "gzip"}}, nil)
	dir := filepath.Join(t.TempDir(), "layout")
	for _, name := range []string{"/lib/a:1", "/lib/b:1", "/lib/a:1"} {
		mustPull(t, o, s.host()+name, PullOptions{})
		if err := Save(context.Background(), o, nil, api.Save{Names: []string{s.host() + name}, Format: api.OCIDir, Dir: dir}); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o755, false: 0o644}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	other := newOptions(t)
	got, err := Load(context.Background(), other, nil, api.Load{Source: dir, Dir: dir})
	if err != nil || len(got) != 2 || got[0].Image.ID != b.id || got[1].Image.ID != a.id {
		t.Errorf("loaded %+v, %v", got, err)
	}
	one, err := Pull(context.Background(), newOptions(t), "oci:"+dir+":"+s.host()+"/lib/b:1", PullOptions{})
	if err != nil || one.Image.ID != b.id || one.Name != s.host()+"/lib/b:1" {
		t.Errorf("pulled %+v, %v", one, err)
	}
}

// Layers of a shared directory are not fetched again, though the registry has them
// compressed in another way; and a shared directory is not trusted.
func TestPullShared(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	a := s.make("lib/a", "1", threeLayers(), nil)
	name := s.host() + "/lib/a:1"
	mustPull(t, o, name, PullOptions{})
	dir := filepath.Join(t.TempDir(), "layout")
	if err := Save(context.Background(), o, nil, api.Save{Names: []string{name}, Format: api.OCIDir, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	other := newOptions(t)
	other.Reach.Shared = []string{"/does/not/exist", dir}
	s.forget()
	if got := mustPull(t, other, name, PullOptions{}); got.Image.ID != a.id {
		t.Errorf("pulled %+v", got)
	}
	if n := s.asked("GET /v2/lib/a/blobs"); n != 0 {
		t.Errorf("%d blobs were fetched", n)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(blobs) != 5 {
		t.Fatalf("blobs %v, %v", blobs, err)
	}
	for _, path := range blobs {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 500 { // a layer, not a document
			data[len(data)-10] ^= 1
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	forged := newOptions(t)
	forged.Reach.Shared = []string{dir}
	if got := mustPull(t, forged, name, PullOptions{}); got.Image.ID != a.id {
		t.Errorf("pulled %+v", got)
	}
	if n := s.asked("GET /v2/lib/a/blobs"); n == 0 {
		t.Error("forged blobs of the shared directory were taken")
	}
}

// Whoever makes an archive can write any name into it, but none with a digest: what
// is run by NAME@DIGEST is what was pinned (the digest would say that it is there
// already, to a pull as well).
func TestThreat18ArchiveClaimsDigest(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	good, bad := s.make("lib/good", "1", threeLayers(), nil), s.make("lib/bad", "1", threeLayers()[:1], nil)
	pinned := s.host() + "/lib/good@" + good.desc.Digest.String()
	mustPull(t, o, s.host()+"/lib/bad:1", PullOptions{})
	dir := filepath.Join(t.TempDir(), "layout")
	if err := Save(context.Background(), o, nil, api.Save{Names: []string{s.host() + "/lib/bad:1"}, Format: api.OCIDir, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "index.json")
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(s.host()+"/lib/bad:1"), []byte(pinned), 1)
	if err := os.WriteFile(index, text, 0o600); err != nil {
		t.Fatal(err)
	}
	victim := newOptions(t)
	if got, err := Load(context.Background(), victim, nil, api.Load{Source: dir, Dir: dir}); err != nil || got[0].Image.ID != bad.id {
		t.Fatalf("loaded %+v, %v", got, err)
	}
	if img, err := victim.Store.Resolve(pinned); err == nil {
		t.Errorf("%s is %s", pinned, img.ID)
	}
	if got := mustPull(t, victim, pinned, PullOptions{}); got.Image.ID != good.id {
		t.Errorf("pulled %s, want %s", got.Image.ID, good.id)
	}
	archive := layer{name: "manifest.json", content: `[{"Config":"c.json","RepoTags":["` + pinned + `"],"Layers":[]}]`}
	f, err := os.Open(writeFile(t, "docker.tar", string(archive.plain(t))))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = Load(context.Background(), newOptions(t), f, api.Load{Source: "docker.tar"})
	checkError(t, err, "is not a name with a tag")
}
