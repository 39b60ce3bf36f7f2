package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/ulikunitz/xz"
	"go.podman.io/storage"

	"sbx/tests/promised"
)

func TestImportFormats(t *testing.T) {
	s := open(t)
	plain := pack(t, tree()...)
	for name, archive := range map[string][]byte{
		"plain": plain, "gzip": zip(t, "gzip", plain), "xz": zip(t, "xz", plain),
		"zstd": zip(t, "zstd", plain), "bzip2": zip(t, "bzip2", plain),
	} {
		t.Run(name, func(t *testing.T) {
			img := load(t, s, name, archive)
			dir := root(t, s, img)
			got, err := os.ReadFile(filepath.Join(dir, "etc/passwd"))
			if err != nil || string(got) != "root:x:0:0::/:/bin/sh\n" {
				t.Errorf("etc/passwd is %q, %v", got, err)
			}
			if to, err := os.Readlink(filepath.Join(dir, "bin/ash")); err != nil || to != "sh" {
				t.Errorf("bin/ash is a link to %q, %v", to, err)
			}
			if img.Size != int64(len(plain)) {
				t.Errorf("size %d, want %d", img.Size, len(plain))
			}
		})
	}
}

func zip(t testing.TB, format string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch format {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	default:
		path, err := exec.LookPath(format)
		if err != nil {
			promised.OrSkip(t, format, err)
		}
		cmd := exec.Command(path, "-c")
		cmd.Stdin, cmd.Stdout = bytes.NewReader(data), &b
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The records are the ones that image/v5 looks for.
func TestImportRecords(t *testing.T) {
	s := open(t)
	archive := pack(t, tree()...)
	img, err := s.Import(context.Background(), bytes.NewReader(zip(t, "gzip", archive)), ImportOptions{
		Name: "debian:12", Source: "debian.tar.gz", Message: "first",
		Changes: []string{`CMD ["bash"]`, "ENV A=1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	record, err := s.store.Image("docker.io/library/debian:12")
	if err != nil {
		t.Fatal(err)
	}
	man, err := s.store.ImageBigData(img.ID, "manifest")
	if err != nil {
		t.Fatal(err)
	}
	if record.Digest != digest.FromBytes(man) {
		t.Errorf("image digest %s is not the manifest's", record.Digest)
	}
	byDigest, err := s.store.ImageBigData(img.ID, storage.ImageDigestManifestBigDataNamePrefix+"-"+record.Digest.String())
	if err != nil || !bytes.Equal(byDigest, man) {
		t.Errorf("manifest under its digest: %q, %v", byDigest, err)
	}
	var m manifest
	if err := json.Unmarshal(man, &m); err != nil {
		t.Fatal(err)
	}
	conf, err := s.store.ImageBigData(img.ID, m.Config.Digest)
	if err != nil || digest.FromBytes(conf).Encoded() != img.ID || m.Config.Size != int64(len(conf)) {
		t.Errorf("configuration %s of %d bytes: %v", m.Config.Digest, len(conf), err)
	}
	want := digest.FromBytes(archive).String()
	var doc document
	if err := json.Unmarshal(conf, &doc); err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != 1 || m.Layers[0].Digest != want || !slices.Equal(doc.RootFS.DiffIDs, []digest.Digest{digest.Digest(want)}) {
		t.Errorf("layers %v, diff ids %v, want %s", m.Layers, doc.RootFS.DiffIDs, want)
	}
	if doc.History[0].Comment != "first" || !slices.Equal(img.Config.Cmd, []string{"bash"}) || !slices.Equal(img.Config.Env, []string{"A=1"}) {
		t.Errorf("history %v, config %+v", doc.History, img.Config)
	}
	// The library can give the archive back, which is what a push needs.
	layers, err := s.store.LayersByUncompressedDigest(digest.Digest(want))
	if err != nil || len(layers) != 1 {
		t.Fatalf("layer by digest: %v, %v", layers, err)
	}
	diff, err := s.store.Diff("", layers[0].ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer diff.Close()
	if back, err := io.ReadAll(diff); err != nil || !bytes.Equal(back, archive) {
		t.Errorf("%d bytes back, %v; want the %d of the archive", len(back), err, len(archive))
	}
}

func TestImportMovesName(t *testing.T) {
	s := open(t)
	first := load(t, s, "x", pack(t, tree()...))
	second := load(t, s, "x:latest", pack(t, regular("other", "")))
	if first.ID == second.ID {
		t.Fatal("two archives, one id")
	}
	got, err := s.Resolve("x")
	if err != nil || got.ID != second.ID {
		t.Errorf("x is %s, %v; want the second, %s", got.ID, err, second.ID)
	}
	old, err := s.Resolve(first.ID)
	if err != nil || len(old.Names) != 0 {
		t.Errorf("the first image has the names %q, %v", old.Names, err)
	}
	// Nor is it lost when the store is opened again, and swept.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, filepath.Dir(s.graphRoot))
	if list, err := s.List(); err != nil || len(list) != 2 || list[0].ID != second.ID {
		t.Errorf("%d images, %v", len(list), err)
	}
}

func TestImportWithoutName(t *testing.T) {
	s := open(t)
	img := load(t, s, "", pack(t, tree()...))
	if got, err := s.Resolve(img.ID[:12]); err != nil || len(got.Names) != 0 || got.ID != img.ID {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestImportBadRequest(t *testing.T) {
	s := open(t)
	for want, opts := range map[string]ImportOptions{
		"lowercase":          {Name: "Debian"},
		"invalid reference":  {Name: "a b"},
		"cannot have a dige": {Name: "a@sha256:" + strings.Repeat("0", 64)},
		"host's own file sy": {Name: "host"},
		"being made":         {Name: pending + "x"},
		"RUN is not an inst": {Name: "a", Changes: []string{"RUN true"}},
	} {
		archive := pack(t, tree()...)
		read := bytes.NewReader(archive)
		_, err := s.Import(context.Background(), read, opts)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", opts, err, want)
		}
		if n := len(archive) - read.Len(); n != 0 {
			t.Errorf("%+v: read %d bytes before the error", opts, n)
		}
	}
	if got := inventory(t, s); strings.Contains(got, "image") || strings.Contains(got, "layer") {
		t.Errorf("left behind: %s", got)
	}
}

func TestImportCancelled(t *testing.T) {
	s := open(t)
	before := inventory(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	archive := pack(t, regular("a", strings.Repeat("a", 8<<20)))
	r := io.MultiReader(bytes.NewReader(archive[:4<<20]), trigger(cancel), bytes.NewReader(archive[4<<20:]))
	_, err := s.Import(ctx, r, ImportOptions{Name: "a", Source: "a.tar"})
	if err == nil || err.Error() != "import a.tar: stopped" {
		t.Errorf("error %v", err)
	}
	if after := inventory(t, s); after != before {
		t.Errorf("left behind:\n%s", after)
	}
}

// trigger is a reader of nothing that does something when it is reached.
type trigger func()

func (f trigger) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// Ownership, set-user-ID and file capabilities are what the archive says; device
// nodes are left out.
func TestImportAttributes(t *testing.T) {
	s := open(t)
	capNetRaw := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	img := load(t, s, "x", pack(t,
		dir("./"), file{name: "su", body: "x", mode: 0o4755},
		file{name: "ping", body: "x", mode: 0o755, xattr: map[string]string{"security.capability": capNetRaw, "user.note": "n"}},
		file{name: "mail", body: "x", mode: 0o2640, uid: 42},
		file{name: "null", typ: '3', mode: 0o666, uid: 1 << 30},
		file{name: "pipe", typ: '6', mode: 0o600},
	))
	dir := root(t, s, img)
	for name, want := range map[string]struct{ mode, uid uint32 }{
		"su": {0o104755, 0}, "mail": {0o102640, 42}, "pipe": {0o010600, 0}, ".": {0o040755, 0},
	} {
		var st syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(dir, name), &st); err != nil || st.Mode != want.mode || st.Uid != want.uid {
			t.Errorf("%s: mode %o uid %d, %v; want mode %o uid %d", name, st.Mode, st.Uid, err, want.mode, want.uid)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "null")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("device node: %v", err)
	}
	buf := make([]byte, 64)
	if n, err := syscall.Getxattr(filepath.Join(dir, "ping"), "security.capability", buf); err != nil || n < len(capNetRaw) {
		t.Errorf("security.capability: %d bytes, %v", n, err)
	}
	if n, err := syscall.Getxattr(filepath.Join(dir, "ping"), "user.note", buf); err != nil || string(buf[:n]) != "n" {
		t.Errorf("user.note: %q, %v", buf[:max(n, 0)], err)
	}
}

// An archive without an entry for its root gets one that everybody can enter.
func TestImportRootMode(t *testing.T) {
	s := open(t)
	img := load(t, s, "x", pack(t, regular("a", "")))
	st, err := os.Stat(root(t, s, img))
	if err != nil || st.Mode().Perm()&0o555 != 0o555 {
		t.Errorf("root has mode %v, %v", st.Mode(), err)
	}
}

// A real root file system made with mmdebstrap --include=python3-minimal.
func TestImportDebian(t *testing.T) {
	path := os.Getenv("SBX_TEST_ROOTFS")
	if path == "" {
		promised.OrSkip(t, "rootfs", "SBX_TEST_ROOTFS is not set")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := open(t)
	img, err := s.Import(context.Background(), f, ImportOptions{Name: "debian", Source: path})
	if err != nil {
		t.Fatal(err)
	}
	dir := root(t, s, img)
	for _, name := range []string{"usr/bin/python3", "usr/bin/dpkg", "etc/debian_version", "var/lib/dpkg/status"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	st, err := os.Stat(filepath.Join(dir, "usr/bin/passwd"))
	if err != nil || st.Mode()&os.ModeSetuid == 0 {
		t.Errorf("passwd is not set-user-ID: %v", err)
	}
	var shadow syscall.Stat_t
	if err := syscall.Stat(filepath.Join(dir, "etc/shadow"), &shadow); err != nil || shadow.Gid != 42 {
		t.Errorf("etc/shadow belongs to group %d, %v", shadow.Gid, err)
	}
}
