package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// packDir packs a directory and reads the archive back: bodies by name.
func packDir(t *testing.T, dir string) (map[string]*tar.Header, map[string]string, []byte) {
	t.Helper()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var b bytes.Buffer
	if err := Pack(context.Background(), &b, root, nil); err != nil {
		t.Fatal(err)
	}
	archive := bytes.Clone(b.Bytes())
	headers, bodies := map[string]*tar.Header{}, map[string]string{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			return headers, bodies, archive
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if headers[h.Name] != nil {
			t.Errorf("%s is there twice", h.Name)
		}
		headers[h.Name], bodies[h.Name] = h, string(body)
	}
}

// nasty is a directory with one of each kind, and what could lead outside.
func nasty(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	long := strings.Repeat("n", 200)
	for _, err := range []error{
		os.Mkdir(path("d"), 0o700),
		os.WriteFile(path("d/file"), []byte("hello"), 0o600),
		os.Chown(path("d/file"), 1000, 1001),
		os.Chmod(path("d/file"), 0o4750|os.ModeSetuid),
		os.Chtimes(path("d/file"), time.Unix(5, 0), time.Unix(1700000000, 5)),
		os.Link(path("d/file"), path("again")),
		os.Symlink("/etc/passwd", path("passwd")),
		os.Symlink("/", path("slash")),
		os.Symlink(strings.Repeat("x/", 1000), path("longlink")),
		unix.Mkfifo(path("fifo"), 0o600),
		unix.Setxattr(path("d/file"), "user.note", []byte("a\x00b"), 0),
		unix.Setxattr(path("d"), "user.overlay.opaque", []byte("y"), 0),
		os.WriteFile(path("new\nline"), nil, 0o600),
		os.WriteFile(path("latin-\xe9"), []byte("1"), 0o600),
		os.MkdirAll(path(long+"/"+long), 0o755),
		os.WriteFile(path(long+"/"+long+"/"+long), []byte("deep"), 0o644),
		os.Mkdir(path("locked"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(sock) })
	if err := unix.Bind(sock, &unix.SockaddrUnix{Name: path("sock")}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPack(t *testing.T) {
	headers, bodies, _ := packDir(t, nasty(t))
	long := strings.Repeat("n", 200)
	for name, typ := range map[string]byte{
		"d/": tar.TypeDir, "again": tar.TypeReg, "d/file": tar.TypeLink, "passwd": tar.TypeSymlink, "slash": tar.TypeSymlink,
		"longlink": tar.TypeSymlink, "fifo": tar.TypeFifo, "new\nline": tar.TypeReg, "latin-\xe9": tar.TypeReg, "locked/": tar.TypeDir,
		long + "/": tar.TypeDir, long + "/" + long + "/" + long: tar.TypeReg, long + "/" + long + "/": tar.TypeDir,
	} {
		if h := headers[name]; h == nil || h.Typeflag != typ {
			t.Errorf("%q: %+v", name, h)
		}
		delete(headers, name)
	}
	if len(headers) != 0 {
		t.Errorf("more than was wanted: %v", headers)
	}
	if bodies["again"] != "hello" || bodies["latin-\xe9"] != "1" {
		t.Errorf("%q", bodies)
	}
}

func TestPackHeader(t *testing.T) {
	headers, _, _ := packDir(t, nasty(t))
	h := headers["again"]
	if h.Mode != 0o4750 || h.Uid != 1000 || h.Gid != 1001 || h.Uname != "" || !h.ModTime.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("%+v", h)
	}
	if len(h.PAXRecords) == 0 || h.PAXRecords["SCHILY.xattr.user.note"] != "a\x00b" {
		t.Errorf("attributes %q", h.PAXRecords)
	}
	if l := headers["d/file"]; l.Linkname != "again" || l.Size != 0 {
		t.Errorf("%+v", l)
	}
	if d := headers["d/"]; d.Mode != 0o700 || len(d.PAXRecords) != 0 {
		t.Errorf("%+v", d)
	}
	if got := headers["passwd"].Linkname; got != "/etc/passwd" {
		t.Error(got)
	}
	if got := len(headers["longlink"].Linkname); got != 2000 {
		t.Error(got)
	}
}

// What is packed can be imported, and gives the same when it is packed again.
func TestPackImport(t *testing.T) {
	_, _, archive := packDir(t, nasty(t))
	s := open(t)
	img := load(t, s, "x", archive)
	if _, _, again := packDir(t, root(t, s, img)); !bytes.Equal(again, archive) {
		t.Errorf("%d bytes, then %d others", len(archive), len(again))
	}
}

// A file that changes its size while it is packed does not spoil the archive.
func TestPackChanging(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a-shrinks", "b-goes", "c-stays"} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name[:1]), 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var b bytes.Buffer
	calls := int64(0)
	err = Pack(context.Background(), &b, root, func(done int64) {
		if calls++; calls == 1 {
			if err := errors.Join(os.Truncate(filepath.Join(dir, "a-shrinks"), 300<<10), os.Remove(filepath.Join(dir, "b-goes"))); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&b)
	h, err := r.Next()
	if err != nil || h.Size != 1<<20 {
		t.Fatal(h, err)
	}
	body, err := io.ReadAll(r)
	if want := append(bytes.Repeat([]byte("a"), 300<<10), make([]byte, 724<<10)...); err != nil || !bytes.Equal(body, want) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if h, err = r.Next(); err != nil || h.Name != "c-stays" {
		t.Error(h, err)
	}
	if _, err = r.Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestPackStops(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last int64
	err = Pack(ctx, io.Discard, root, func(done int64) { last = done; cancel() })
	if !errors.Is(err, context.Canceled) || last >= 4<<20 {
		t.Errorf("%v after %d", err, last)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if _, err := root.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := Pack(context.Background(), full, root, nil); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("no room: %v", err)
	}
}
