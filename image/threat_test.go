package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/tests/promised"
)

func TestThreat16Entries(t *testing.T) {
	s := open(t)
	load(t, s, "good", pack(t, tree()...))
	long := strings.Repeat("n", 256)
	deep := strings.Repeat("d/", 2048)
	for name, c := range map[string]struct {
		want  string
		files []file
	}{
		"dotdot":               {"..", []file{regular("../evil", "x")}},
		"dotdot inside":        {"..", []file{dir("a"), regular("a/../../evil", "x")}},
		"dotdot that returns":  {"..", []file{dir("a"), regular("a/../b", "x")}},
		"absolute":             {"absolute", []file{regular("/etc/passwd", "x")}},
		"symlink then write":   {"symbolic link", []file{symlink("a", "/etc"), regular("a/passwd", "x")}},
		"relative symlink":     {"symbolic link", []file{symlink("a", "../../.."), regular("a/b/c", "x")}},
		"symlink, then dir":    {"symbolic link", []file{symlink("a/b", "/"), dir("a/b/c/")}},
		"symlink twice":        {"twice", []file{symlink("a", "/etc"), dir("./a/"), regular("a/passwd", "x")}},
		"hard link absolute":   {"absolute", []file{hardlink("a", "/etc/passwd")}},
		"hard link dotdot":     {"..", []file{hardlink("a", "../../../etc/passwd")}},
		"hard link by symlink": {"symbolic link", []file{symlink("l", "/etc"), hardlink("a", "l/passwd")}},
		"hard link to nothing": {"not in the archive", []file{hardlink("a", "etc/passwd")}},
		"hard link to root":    {"hard link", []file{hardlink("a", ".")}},
		"hard link to device":  {"a device node", []file{{name: "d", typ: tar.TypeChar, mode: 0o666}, hardlink("a", "d")}},
		"hard link forward":    {"not in the archive", []file{hardlink("a", "b"), regular("b", "")}},
		"hard link to itself":  {"hard link", []file{hardlink("a", "./a")}},
		"hard link to dir":     {"a directory", []file{dir("d"), hardlink("a", "d")}},
		"root is a file":       {"root directory", []file{regular(".", "x")}},
		"root is a symlink":    {"root directory", []file{symlink("./", "/")}},
		"whiteout":             {"whiteout", []file{regular("etc/.wh.shadow", "")}},
		"whiteout of the root": {"whiteout", []file{regular(".wh..", "")}},
		"opaque":               {"whiteout", []file{dir("etc"), regular("etc/.wh..wh..opq", "")}},
		"aufs link":            {"whiteout", []file{dir(".wh..wh.plnk"), regular(".wh..wh.plnk/1.2", "x")}},
		"overlay xattr":        {"user.overlay.redirect", []file{{name: "a", typ: tar.TypeDir, mode: 0o755, xattr: map[string]string{"user.overlay.redirect": "/etc"}}}},
		"override xattr":       {"user.containers.override_stat", []file{{name: "a", mode: 0o644, xattr: map[string]string{"user.containers.override_stat": "0:0:04755"}}}},
		"twice":                {"twice", []file{regular("a", "1"), regular("./a", "2")}},
		"unknown uid":          {"user id 1000000000", []file{{name: "a", uid: 1000000000, mode: 0o644}}},
		"long file name":       {"256 bytes", []file{regular(long, "")}},
		"long path":            {"4098 bytes", []file{regular(deep+"ab", "")}},
		"file as directory":    {"not a directory", []file{regular("a", ""), regular("a/b", "")}},
		"escape sequence":      {`\x1b`, []file{regular("/\x1b[2J", "")}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, s, bytes.NewReader(pack(t, c.files...)), c.want) })
	}
	// None of it has touched what was there.
	img, err := s.Resolve("good")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(root(t, s, img), "etc/passwd")); err != nil || !strings.HasPrefix(string(got), "root:") {
		t.Errorf("etc/passwd of another image is %q, %v", got, err)
	}
}

// The storage library looks for compressed data once more, and an archive begins
// with the name of its first entry.
func TestThreat16NameLikeCompressedData(t *testing.T) {
	s := open(t)
	for format, name := range map[string]string{"gzip": "\x1f\x8b\x08", "zstd": "\x28\xb5\x2f\xfd", "bzip2": "BZh91AY"} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		h := tarHeader(regular(name, ""))
		h.Format = tar.FormatGNU // the others put such a name elsewhere
		if err := errors.Join(w.WriteHeader(h), w.Close()); err != nil {
			t.Fatal(err)
		}
		refused(t, s, bytes.NewReader(zip(t, "gzip", b.Bytes())), "begins like "+format)
		refused(t, s, &b, "damaged")
	}
}

// What only looks bad is taken.
func TestThreat16Harmless(t *testing.T) {
	s := open(t)
	img := load(t, s, "x", pack(t,
		symlink("etc", "/usr/etc"), symlink("up", "../../.."), symlink("null", "/dev/null"),
		dir("a..b"), regular("a..b/...", "dots"), hardlink("h", "up"), regular("wh.x", ""),
		regular("bytes\xff", ""), dir("dir\xff"), regular("dir\xff/a", "a"), regular("other\xff/a", "a"),
		file{name: "a..b/x", mode: 0o644, xattr: map[string]string{"trusted.overlay.opaque": "y", "security.selinux": "l"}},
	))
	if to, err := os.Readlink(filepath.Join(root(t, s, img), "h")); err != nil || to != "../../.." {
		t.Errorf("hard link to a symbolic link: %q, %v", to, err)
	}
}

func TestThreat16Damaged(t *testing.T) {
	s := open(t)
	good := pack(t, regular("a", strings.Repeat("x", 3000)), regular("b", strings.Repeat("y", 3000)))
	flipped := bytes.Clone(good)
	flipped[512+3072+100] ^= 1 // the second header
	zst, gz, lzma, bz := zip(t, "zstd", good), zip(t, "gzip", good), zip(t, "xz", good), zip(t, "bzip2", good)
	crc := bytes.Clone(gz)
	crc[len(crc)-6] ^= 1
	for name, c := range map[string]struct {
		want    string
		archive []byte
	}{
		"empty":               {"empty", nil},
		"no entries":          {"no entries", make([]byte, 1024)},
		"empty gzip":          {"empty", zip(t, "gzip", nil)},
		"text":                {"not a tar", []byte(strings.Repeat("#!/bin/sh\nexit 0\n", 100))},
		"short text":          {"not a tar", []byte("hello\n")},
		"gzip of text":        {"not a tar", zip(t, "gzip", []byte(strings.Repeat("hello ", 500)))},
		"twice compressed":    {"not a tar", zip(t, "gzip", zip(t, "gzip", good))},
		"cut in a header":     {"cut off", good[:512+3072+200]},
		"cut in a body":       {"cut off", good[:512+1000]},
		"cut between entries": {"cut off", good[:512+3072]},
		"cut before the end":  {"cut off", good[:2*(512+3072)]},
		"damaged header":      {"damaged", flipped},
		"cut gzip":            {"gzip data is cut off", gz[:len(gz)-10]},
		"cut zstd":            {"zstd data is cut off", zst[:len(zst)-3]},
		"cut xz":              {"xz data is cut off", lzma[:len(lzma)-20]},
		"cut bzip2":           {"bzip2 data is cut off", bz[:len(bz)-10]},
		"gzip checksum":       {"gzip data is damaged", crc},
		"only a magic number": {"gzip data is cut off", []byte{0x1f, 0x8b, 8, 0}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, s, bytes.NewReader(c.archive), c.want) })
	}
}

func TestThreat16ReadError(t *testing.T) {
	s := open(t)
	good := pack(t, regular("a", strings.Repeat("x", 1<<20)))
	broken := io.MultiReader(bytes.NewReader(good[:1<<19]), failing{})
	_, err := s.Import(context.Background(), broken, ImportOptions{Source: "a.tar"})
	if !errors.Is(err, unix.EIO) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want EIO", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) {
	return 0, &os.PathError{Op: "read", Path: "a.tar", Err: unix.EIO}
}

// A file that says it is large is refused before it is unpacked.
func TestThreat16TooLarge(t *testing.T) {
	s := open(t)
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(tarHeader(file{name: "a", size: 1 << 62, mode: 0o644})); err != nil {
		t.Fatal(err)
	}
	refused(t, s, &b, "does not fit")
}

// A sparse file of 1 EiB in an archive of a few blocks; archive/tar cannot write
// one, so its records are written as those of another name.
func TestThreat16SparseBomb(t *testing.T) {
	s := open(t)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := tarHeader(regular("GNUSparseFile.0/bomb", strings.Repeat("\x00", 512)))
	h.PAXRecords = map[string]string{}
	for k, v := range map[string]string{"major": "1", "minor": "0", "name": "bomb", "realsize": fmt.Sprint(1 << 60)} {
		h.PAXRecords["XXX.sparse."+k] = v
	}
	h.Size = 512
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	sparse := fmt.Sprintf("1\n%d\n0\n", 1<<60)
	if _, err := io.WriteString(w, sparse+strings.Repeat("\x00", 512-len(sparse))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	archive := bytes.ReplaceAll(b.Bytes(), []byte("XXX.sparse."), []byte("GNU.sparse."))
	refused(t, s, bytes.NewReader(archive), "does not fit")
}

// endless is a compressed tar with a file of zeros of the given size.
func endless(t *testing.T, format string, size int64) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	path, err := exec.LookPath(format)
	if err != nil {
		promised.OrSkip(t, format, err)
	}
	cmd := exec.Command(path, "-c")
	cmd.Stdout = w
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		// The import ends first; what is written then has no reader.
		defer func() { in.Close(); w.CloseWithError(cmd.Wait()) }()
		tw := tar.NewWriter(in)
		if tw.WriteHeader(tarHeader(file{name: "zeros", size: size, mode: 0o644})) != nil {
			return
		}
		zeros := make([]byte, 1<<20)
		for left := size; left > 0; left -= int64(len(zeros)) {
			if _, err := tw.Write(zeros[:min(left, int64(len(zeros)))]); err != nil {
				return
			}
		}
	}()
	return r
}

func TestThreat16CompressionBomb(t *testing.T) {
	s := open(t)
	if free, err := roomAt(s.graphRoot); err != nil || free.bytes < 4<<30 {
		t.Skipf("needs 4 GiB of free space: %v, %v", free, err)
	}
	refused(t, s, endless(t, "zstd", 3<<30), "bomb")
}

// An entry with any number of headers in front of it must not fill the memory.
func TestThreat16HeaderBomb(t *testing.T) {
	s := open(t)
	one := pack(t, file{name: "a", mode: 0o644, xattr: map[string]string{"user.x": strings.Repeat("v", 1<<19)}})
	extended := one[:len(one)-1024-512] // without the entry itself and the end
	var b bytes.Buffer
	b.Write(pack(t, dir("d"))[:512])
	for range 16 {
		b.Write(extended)
	}
	refused(t, s, &b, "headers")
}

func TestThreat16ManyEntries(t *testing.T) {
	n := 20_000
	if os.Getenv("SBX_TEST_LONG") != "" {
		n = 1_000_000
	}
	s := open(t)
	r, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		var err error
		for i := 0; i < n && err == nil; i++ {
			if i%1000 == 0 {
				err = tw.WriteHeader(tarHeader(dir(fmt.Sprintf("d%d", i/1000))))
			}
			if err == nil {
				err = tw.WriteHeader(tarHeader(regular(fmt.Sprintf("d%d/f%d", i/1000, i), "")))
			}
		}
		w.CloseWithError(errors.Join(err, tw.Close()))
	}()
	img, err := s.Import(context.Background(), r, ImportOptions{Name: "many", Source: "many.tar"})
	if err != nil {
		t.Fatal(err)
	}
	last := fmt.Sprintf("d%d/f%d", (n-1)/1000, n-1)
	if _, err := os.Lstat(filepath.Join(root(t, s, img), last)); err != nil {
		t.Error(err)
	}
}

func TestThreat16EntryLimits(t *testing.T) {
	c := newChecker(true)
	c.uids, c.gids, c.room = idMap{{0, 10}}, idMap{{0, 10}}, room{1 << 30, 5}
	c.entries = 5
	if _, err := c.check(tarHeader(regular("a", ""))); err == nil || !strings.Contains(err.Error(), "inodes") {
		t.Errorf("6 entries with 5 inodes: %v", err)
	}
	c.room.inodes, c.entries = -1, maxEntries
	if _, err := c.check(tarHeader(regular("b", ""))); err == nil || !strings.Contains(err.Error(), "entries") {
		t.Errorf("one entry too many: %v", err)
	}
	c.entries, c.headers = 0, maxHeaders
	if _, err := c.check(tarHeader(regular("c", ""))); err == nil || !strings.Contains(err.Error(), "names") {
		t.Errorf("too many names: %v", err)
	}
}

// small makes a tmpfs of our own and a store on it.
func small(t *testing.T, options string) *Store {
	t.Helper()
	top := t.TempDir()
	if err := unix.Mount("tmpfs", top, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(top, 0); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Setxattr(top, "user.x", nil, 0); err != nil {
		t.Skip("needs a tmpfs with user attributes, Linux 6.6:", err)
	}
	return openAt(t, top)
}

func TestThreat16DiskFull(t *testing.T) {
	s := small(t, "size=32m,nr_inodes=2000")
	load(t, s, "kept", pack(t, tree()...))
	body := strings.Repeat("x", 1<<20)
	var files []file
	for i := range 16 {
		files = append(files, regular(fmt.Sprint("f", i), body))
	}
	archive := pack(t, files...)
	filler := filepath.Join(filepath.Dir(s.graphRoot), "filler")
	fill := trigger(func() {
		// Somebody else takes the space while the import goes on.
		err := os.WriteFile(filler, make([]byte, 40<<20), 0o600)
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("the disk is not full: %v", err)
		}
	})
	half := len(archive) / 2
	e := refused(t, s, io.MultiReader(bytes.NewReader(archive[:half]), fill, bytes.NewReader(archive[half:])), "no space left")
	if !errors.Is(e, unix.ENOSPC) {
		t.Errorf("errno %v", e.Errno)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, filepath.Dir(s.graphRoot))
	load(t, s, "again", archive)
	if _, err := s.Resolve("kept"); err != nil {
		t.Error(err)
	}
}

func TestThreat16NoInodes(t *testing.T) {
	s := small(t, "size=64m,nr_inodes=300")
	var files []file
	for i := range 400 {
		files = append(files, regular(fmt.Sprint("f", i), ""))
	}
	refused(t, s, bytes.NewReader(pack(t, files...)), "inodes")
	// Directories that are not in the archive are not announced.
	files = nil
	for i := range 200 {
		files = append(files, regular(fmt.Sprintf("d%d/f", i), ""))
	}
	refused(t, s, bytes.NewReader(pack(t, files...)), "no space left")
	load(t, s, "good", pack(t, tree()...))
}

// The storage library would start pigz or zstd if it found them.
func TestThreat17DecompressorInPath(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"pigz", "unpigz", "gzip", "zstd", "xz", "bzip2"} {
		script := "#!/bin/sh\ntouch " + bin + "/started\nexit 1\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	plain := pack(t, tree()...)
	archives := [][]byte{zip(t, "gzip", plain), zip(t, "zstd", plain), zip(t, "xz", plain), zip(t, "bzip2", plain)}
	t.Setenv("PATH", bin)
	s := open(t)
	for i, archive := range archives {
		load(t, s, fmt.Sprint("x", i), archive)
	}
	if _, err := os.Stat(filepath.Join(bin, "started")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a program from PATH has been started")
	}
}

func TestThreat19StorePrivate(t *testing.T) {
	top := t.TempDir()
	graph := filepath.Join(top, "graph")
	if err := os.Mkdir(graph, 0o755); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, top)
	load(t, s, "x", pack(t, file{name: "su", body: "x", mode: 0o4755}))
	for _, dir := range []string{graph, filepath.Join(top, "run")} {
		st, err := os.Stat(dir)
		if err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, %v", dir, st.Mode(), err)
		}
	}
}

func TestThreat19ForeignStore(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"other", "mine"} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(top, "other"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mine", filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"other", "link"} {
		if s, err := Open(filepath.Join(top, name), filepath.Join(top, "run")); err == nil {
			t.Errorf("opened %s", name)
			s.Close()
		} else if !strings.Contains(err.Error(), filepath.Join(top, name)) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
}
