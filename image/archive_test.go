package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbx/api"
)

// file is an entry of a hand-made archive.
type file struct {
	name  string
	body  string
	link  string
	typ   byte // 0: regular
	mode  int64
	uid   int
	size  int64 // announced, if not len(body)
	xattr map[string]string
}

func dir(name string) file { return file{name: name, typ: tar.TypeDir, mode: 0o755} }
func symlink(name, to string) file {
	return file{name: name, typ: tar.TypeSymlink, link: to, mode: 0o777}
}
func hardlink(name, to string) file {
	return file{name: name, typ: tar.TypeLink, link: to, mode: 0o644}
}
func regular(name, body string) file { return file{name: name, body: body, mode: 0o644} }

func tarHeader(f file) *tar.Header {
	h := &tar.Header{
		Name: f.name, Linkname: f.link, Typeflag: f.typ, Mode: f.mode, Uid: f.uid, Gid: f.uid,
		Size: int64(len(f.body)), ModTime: time.Unix(1700000000, 0), Format: tar.FormatPAX,
	}
	if f.typ == 0 {
		h.Typeflag = tar.TypeReg
	}
	if f.size != 0 {
		h.Size = f.size
	}
	if f.typ == tar.TypeChar || f.typ == tar.TypeBlock {
		h.Devmajor, h.Devminor = 1, 3
	}
	for k, v := range f.xattr {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+k] = v
	}
	return h
}

func pack(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(tarHeader(f)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree is a small root file system.
func tree() []file {
	return []file{
		dir("./"), dir("./etc"), regular("./etc/passwd", "root:x:0:0::/:/bin/sh\n"),
		dir("./bin"), regular("./bin/sh", "not a shell"), symlink("./bin/ash", "sh"), hardlink("./bin/dash", "./bin/sh"),
	}
}

func open(t testing.TB) *Store {
	t.Helper()
	return openAt(t, t.TempDir())
}

func openAt(t testing.TB, top string) *Store {
	t.Helper()
	s, err := Open(filepath.Join(top, "graph"), filepath.Join(top, "run"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func load(t testing.TB, s *Store, name string, archive []byte) Image {
	t.Helper()
	img, err := s.Import(context.Background(), bytes.NewReader(archive), ImportOptions{Name: name, Source: "root.tar"})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// root is the directory with the files of an image of one layer.
func root(t testing.TB, s *Store, img Image) string {
	t.Helper()
	if len(img.Layers) != 1 {
		t.Fatalf("layers %q, want one", img.Layers)
	}
	path, err := filepath.EvalSymlinks(filepath.Join(s.graphRoot, "overlay", "l", img.Layers[0]))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// refused imports an archive that must not become an image, and checks that the
// error is one line that names the archive, the cause and a remedy, and that the
// store is as it was.
func refused(t *testing.T, s *Store, archive io.Reader, want string) *api.Error {
	t.Helper()
	before := inventory(t, s)
	img, err := s.Import(context.Background(), archive, ImportOptions{Name: "bad", Source: "evil.tar"})
	if err == nil {
		t.Fatalf("imported %s, want an error with %q", img.ID, want)
	}
	var e *api.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is not an *api.Error: %v", err, err)
	}
	t.Log(err)
	text := err.Error()
	if e.Path != "evil.tar" || e.Hint == "" || !strings.Contains(text, want) {
		t.Errorf("error %q: want the name evil.tar, %q and a hint", text, want)
	}
	if strings.ContainsAny(text, "\n\x1b\x00") || strings.Contains(text, s.graphRoot) && !strings.Contains(text, "inodes") {
		t.Errorf("error %q is not one plain line about the archive", text)
	}
	if e.ExitCode() != api.ExitFault {
		t.Errorf("exit status %d", e.ExitCode())
	}
	if after := inventory(t, s); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
	if _, err := s.Resolve("bad"); err == nil {
		t.Error("the name of the refused image is known")
	}
	return e
}

// inventory lists the records of the store, and its directories down to where the
// files of layers begin.
func inventory(t testing.TB, s *Store) string {
	t.Helper()
	var b strings.Builder
	images, err := s.store.Images()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		b.WriteString("image " + i.ID + strings.Join(i.Names, ",") + "\n")
	}
	layers, err := s.store.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		b.WriteString("layer " + l.ID + "\n")
	}
	err = filepath.WalkDir(s.graphRoot, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, s.graphRoot)
		if d.IsDir() && d.Name() == "diff" {
			return filepath.SkipDir
		}
		// Locks and empty lists are written when first needed.
		if !d.IsDir() && (strings.HasSuffix(rel, ".json") || strings.HasSuffix(rel, "lock")) || rel == "/tmp" {
			return nil
		}
		if d.IsDir() && strings.Count(rel, "/") < 3 {
			if left, err := os.ReadDir(path); err != nil || len(left) == 0 || strings.Count(rel, "/") < 2 {
				return err
			}
		}
		b.WriteString(rel + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
