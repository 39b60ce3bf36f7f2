package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// stage unpacks an archive that must be good.
func stage(t testing.TB, s *Store, archive []byte) *Staged {
	t.Helper()
	l, err := s.Stage(context.Background(), bytes.NewReader(archive), StageOptions{Source: "layer"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// again reads layer i of an image and compares it with what it came as.
func again(t testing.TB, s *Store, img Image, i int, want []byte) {
	t.Helper()
	r, err := s.OpenLayer(img, i)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("layer %d comes back as %d bytes, %v; it was %d", i, len(got), err, len(want))
	}
}

// listing lists a directory: names, types, sizes, and what overlay makes of them.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var out []string
	err := filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		name, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%s %o", name, st.Mode)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			line = fmt.Sprintf("%s deleted", name)
			if st.Rdev != 0 {
				line = fmt.Sprintf("%s device %x", name, st.Rdev)
			}
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %.20q", data)
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line = name + " -> " + to
		}
		if n, err := unix.Lgetxattr(path, "user.overlay.opaque", make([]byte, 8)); err == nil && n == 1 {
			line += " opaque"
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// What a layer unpacks to, and that it can be made again from that.
func TestLayer(t *testing.T) {
	s := open(t)
	big := strings.Repeat("0123456789abcdef", 40_000)
	for name, c := range map[string]struct {
		files []file
		want  string
	}{
		"plain":                   {[]file{dir("./"), dir("./a"), regular("./a/f", "x"), symlink("./l", "a/f"), hardlink("./h", "a/f")}, ". 40755\na 40755\na/f 100644 \"x\"\nh 100644 \"x\"\nl -> a/f"},
		"absolute names":          {[]file{regular("/a/f", "x"), hardlink("/h", "/a/f")}, ". 40755\na 40755\na/f 100644 \"x\"\nh 100644 \"x\""},
		"dots inside":             {[]file{regular("a/../b/./c", "x")}, ". 40755\nb 40755\nb/c 100644 \"x\""},
		"no parents":              {[]file{regular("a/b/c", "x")}, ". 40755\na 40755\na/b 40755\na/b/c 100644 \"x\""},
		"twice":                   {[]file{regular("a", "first"), regular("a", big), regular("./a", "last")}, ". 40755\na 100644 \"last\""},
		"twice and empty":         {[]file{regular("a", "first"), regular("a", "")}, ". 40755\na 100644 \"\""},
		"directory twice":         {[]file{dir("d"), regular("d/f", "x"), {name: "d", typ: tar.TypeDir, mode: 0o700}}, ". 40755\nd 40700\nd/f 100644 \"x\""},
		"file for directory":      {[]file{dir("d"), regular("d/f", "x"), regular("d/g", "y"), regular("d/f", "z"), regular("d", "w")}, ". 40755\nd 100644 \"w\""},
		"directory for file":      {[]file{regular("d", "x"), dir("d"), regular("d/f", "y")}, ". 40755\nd 40755\nd/f 100644 \"y\""},
		"directory for symlink":   {[]file{dir("e"), symlink("d", "e"), dir("d"), regular("d/f", "y")}, ". 40755\nd 40755\nd/f 100644 \"y\"\ne 40755"},
		"symlink for directory":   {[]file{dir("e"), dir("d"), regular("d/f", "x"), symlink("d", "e"), regular("d/f", "y")}, ". 40755\nd -> e\ne 40755\ne/f 100644 \"y\""},
		"symlink in itself":       {[]file{dir("a"), symlink("a/l", "."), regular("a/l/l", "x")}, ". 40755\na 40755\na/l 100644 \"x\""},
		"through symlink":         {[]file{dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), regular("lib/f", "x"), regular("usr/lib/f", "y"), regular("lib/g", "z")}, ". 40755\nlib -> usr/lib\nusr 40755\nusr/lib 40755\nusr/lib/f 100644 \"y\"\nusr/lib/g 100644 \"z\""},
		"through dangling":        {[]file{symlink("lib", "/usr/lib"), regular("lib/f", "x")}, ". 40755\nlib -> /usr/lib\nusr 40755\nusr/lib 40755\nusr/lib/f 100644 \"x\""},
		"climbing symlink":        {[]file{symlink("up", "../../../../.."), regular("up/tmp/f", "x"), symlink("abs", "/"), regular("abs/g", "y")}, ". 40755\nabs -> /\ng 100644 \"y\"\ntmp 40755\ntmp/f 100644 \"x\"\nup -> ../../../../.."},
		"hard link to symlink":    {[]file{dir("d"), symlink("l", "d"), hardlink("m", "l"), regular("m/f", "x")}, ". 40755\nd 40755\nd/f 100644 \"x\"\nl -> d\nm -> d"},
		"hard link by symlink":    {[]file{dir("d"), regular("d/f", "x"), symlink("l", "d"), hardlink("h", "l/f")}, ". 40755\nd 40755\nd/f 100644 \"x\"\nh 100644 \"x\"\nl -> d"},
		"link, target replaced":   {[]file{regular("a", "old"), hardlink("b", "a"), regular("a", "new")}, ". 40755\na 100644 \"new\"\nb 100644 \"old\""},
		"link replaced":           {[]file{regular("a", "old"), hardlink("b", "a"), regular("b", "new")}, ". 40755\na 100644 \"old\"\nb 100644 \"new\""},
		"hard link to itself":     {[]file{regular("a", "x"), hardlink("a", "a")}, ". 40755\na 100644 \"x\""},
		"whiteout":                {[]file{dir("etc"), regular("etc/.wh.shadow", ""), regular(".wh.var", "")}, ". 40755\netc 40755\netc/shadow deleted\nvar deleted"},
		"whiteout with a body":    {[]file{regular(".wh.var", big)}, ". 40755\nvar deleted"},
		"opaque":                  {[]file{dir("etc"), regular("etc/.wh..wh..opq", ""), regular("etc/a", "")}, ". 40755\netc 40755 opaque\netc/a 100644 \"\""},
		"whiteout, directory":     {[]file{regular(".wh.d", ""), dir("d"), regular("d/f", "x")}, ". 40755\nd 40755 opaque\nd/f 100644 \"x\""},
		"directory, whiteout":     {[]file{dir("d"), regular("d/f", "x"), regular(".wh.d", "")}, ". 40755\nd 40755 opaque\nd/f 100644 \"x\""},
		"whiteout, file below":    {[]file{regular(".wh.d", ""), regular("d/f", "x")}, ". 40755\nd 40755 opaque\nd/f 100644 \"x\""},
		"whiteout in whiteout":    {[]file{regular(".wh.d", ""), regular("d/.wh.f", "")}, ". 40755\nd deleted"},
		"file, whiteout":          {[]file{regular("f", "x"), regular(".wh.f", "")}, ". 40755\nf 100644 \"x\""},
		"whiteout, file":          {[]file{regular(".wh.f", ""), regular("f", "x")}, ". 40755\nf 100644 \"x\""},
		"AUFS":                    {[]file{dir(".wh..wh.plnk"), regular(".wh..wh.plnk/1.2", "x"), regular(".wh..wh.aufs", "")}, ". 40755"},
		"modes":                   {[]file{{name: "s", mode: 0o4755, body: "x"}, {name: "d", typ: tar.TypeDir, mode: 0o2777}, regular("d/f", ""), {name: "w", mode: 0o666}, {name: "p", typ: tar.TypeFifo, mode: 0o620}}, ". 40755\nd 42777\nd/f 100644 \"\"\np 10620\ns 104755 \"x\"\nw 100666 \"\""},
		"unreadable directory":    {[]file{{name: "d", typ: tar.TypeDir, mode: 0}, regular("d/f", "x")}, ". 40755\nd 40000\nd/f 100644 \"x\""},
		"root's mode":             {[]file{{name: "./", typ: tar.TypeDir, mode: 0o711}}, ". 40711"},
		"device":                  {[]file{{name: "null", typ: tar.TypeChar, mode: 0o666}, regular("sda", "x"), {name: "sda", typ: tar.TypeBlock, mode: 0o660}}, ". 40755"},
		"names that are not UTF8": {[]file{dir("d\xff"), regular("d\xff/f\xfe", "x"), regular("d\"<\\>/\n", "y")}, ""},
		"nothing":                 {nil, ". 40755"},
	} {
		t.Run(name, func(t *testing.T) {
			before := inventory(t, s)
			archive := pack(t, c.files...)
			l := stage(t, s, archive)
			if want := digest.FromBytes(archive); l.DiffID != want || l.Size != int64(len(archive)) {
				t.Errorf("%s of %d bytes, want %s of %d", l.DiffID, l.Size, want, len(archive))
			}
			img := commit(t, s, "x", l)
			if got := listing(t, root(t, s, img)); got != c.want && c.want != "" {
				t.Errorf("unpacked:\n%s\nwant:\n%s", got, c.want)
			}
			again(t, s, img, 0, archive)
			if _, err := s.store.DeleteImage(img.ID, true); err != nil {
				t.Fatal(err)
			}
			if after := inventory(t, s); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// Hostile layers, THREATS 16: nothing is left of them and nothing outside changes.
func TestThreat16Layer(t *testing.T) {
	s := open(t)
	outside := filepath.Join(filepath.Dir(s.graphRoot), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	loop := []file{symlink("a", "b"), symlink("b", "a"), regular("a/f", "x")}
	for name, c := range map[string]struct {
		want  string
		files []file
	}{
		"climbing":              {"climbs out", []file{regular("../outside", "x")}},
		"climbing later":        {"climbs out", []file{regular("a/../../outside", "x")}},
		"absolute and climbing": {"climbs out", []file{regular("/../outside", "x")}},
		"link to the host":      {"not in the archive", []file{hardlink("a", outside)}},
		"link climbing":         {"climbs out", []file{hardlink("a", "../../../../outside")}},
		"link by symlink":       {"not in the archive", []file{symlink("s", filepath.Dir(outside)), hardlink("a", "s/outside")}},
		"link to a directory":   {"a directory", []file{dir("d"), hardlink("a", "d")}},
		"link to the root":      {"a directory", []file{hardlink("a", "/")}},
		"link to a whiteout":    {"not in the archive", []file{regular(".wh.a", ""), hardlink("b", "a")}},
		"root is a symlink":     {"root directory", []file{symlink(".", outside)}},
		"symlinks in a circle":  {"too many levels", loop},
		"file as directory":     {"not a directory", []file{regular("a", ""), regular("a/b", "")}},
		"whiteout of nothing":   {"whiteout of nothing", []file{regular(".wh.", "")}},
		"whiteout of the root":  {"whiteout of nothing", []file{regular(".wh..", "")}},
		"whiteout of above":     {"whiteout of nothing", []file{regular("a/.wh...", "")}},
		"below a whiteout":      {"name of a whiteout", []file{regular("a/.wh.b/c", "")}},
		"overlay's attribute":   {"user.overlay.opaque", []file{{name: "a", typ: tar.TypeDir, mode: 0o755, xattr: map[string]string{"user.overlay.opaque": "y"}}}},
		"too long":              {"256 bytes", []file{regular(strings.Repeat("n", 256), "")}},
		"foreign id":            {"user id 1000000000", []file{{name: "a", uid: 1000000000, mode: 0o644}}},
	} {
		t.Run(name, func(t *testing.T) {
			before := inventory(t, s)
			l, err := s.Stage(context.Background(), bytes.NewReader(pack(t, c.files...)), StageOptions{Source: "sha256:\x1bff"})
			if err == nil {
				t.Fatalf("unpacked to %s", l.DiffID)
			}
			var e *api.Error
			if !errors.As(err, &e) || e.Op != "unpack layer" || e.Hint == "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("error %v, want %q and a hint", err, c.want)
			}
			if after := inventory(t, s); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
	if got, err := os.ReadFile(outside); err != nil || string(got) != "mine" {
		t.Errorf("outside: %q, %v", got, err)
	}
}

// Several layers, unpacked at once, as one image: overlay shows it as it should be.
func TestLayersConcurrently(t *testing.T) {
	s := open(t)
	var archives [][]byte
	for i := range 6 {
		files := []file{dir("./"), regular("shared", fmt.Sprint(i)), regular(fmt.Sprintf("d%d/own", i), strings.Repeat("x", i<<18))}
		if i == 5 {
			files = append(files, regular(".wh.d0", ""), dir("d1"), regular("d1/.wh..wh..opq", ""))
		}
		archives = append(archives, pack(t, files...))
	}
	layers := make([]*Staged, len(archives))
	fails := make(chan error)
	for i, a := range archives {
		go func() {
			var err error
			sum := sha256.New()
			packed := zip(t, []string{"gzip", "zstd", "xz"}[i%3], a)
			layers[i], err = s.Stage(context.Background(), io.TeeReader(bytes.NewReader(packed), sum), StageOptions{})
			if got := digest.NewDigest(digest.SHA256, sum); err == nil && got != digest.FromBytes(packed) {
				err = fmt.Errorf("layer %d was not read to its end", i)
			}
			fails <- err
		}()
	}
	for range layers {
		if err := <-fails; err != nil {
			t.Fatal(err)
		}
	}
	img := commit(t, s, "x", layers...)
	if len(img.Layers) != 6 {
		t.Fatalf("%d layers", len(img.Layers))
	}
	for i, a := range archives {
		again(t, s, img, i, a)
	}
	merged := t.TempDir()
	lower := make([]string, len(img.Layers))
	for i, l := range img.Layers {
		lower[i] = filepath.Join(s.graphRoot, "overlay", "l", l)
	}
	if err := unix.Mount("overlay", merged, "overlay", 0, "userxattr,lowerdir="+strings.Join(lower, ":")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
	}()
	if got, err := os.ReadFile(filepath.Join(merged, "shared")); err != nil || string(got) != "5" {
		t.Errorf("shared: %q, %v", got, err)
	}
	for _, gone := range []string{"d0", "d1/own"} {
		if _, err := os.Stat(filepath.Join(merged, gone)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	if _, err := os.Stat(filepath.Join(merged, "d4/own")); err != nil {
		t.Error(err)
	}
}

// A layer that hides all there is below hides it in the root directory, too.
func TestLayerOpaqueRoot(t *testing.T) {
	s := open(t)
	below := pack(t, dir("etc"), regular("etc/secret", "x"), regular("old", "x"), dir("usr"))
	above := pack(t, regular(".wh..wh..opq", ""), dir("etc"), regular("new", "x"))
	img := commit(t, s, "x", stage(t, s, below), stage(t, s, above))
	top := filepath.Join(s.graphRoot, "overlay", "l", img.Layers[0])
	path, err := filepath.EvalSymlinks(top)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := listing(t, path), ". 40755 opaque\netc 40755 opaque\nnew 100644 \"x\"\nold deleted\nusr deleted"; got != want {
		t.Errorf("unpacked:\n%s\nwant:\n%s", got, want)
	}
	again(t, s, img, 1, above)
}

// Times, owners and attributes, of directories after their files are there.
func TestLayerAttributes(t *testing.T) {
	s := open(t)
	acl := "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x05\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff"
	archive := pack(t,
		file{name: "d", typ: tar.TypeDir, mode: 0o2775, uid: 7, xattr: map[string]string{"system.posix_acl_default": acl}},
		file{name: "d/f", mode: 0o664, body: "x"},
		file{name: "d/l", typ: tar.TypeSymlink, link: "f", uid: 8},
		dir("d/e"), regular("z", "x"), regular("d/late", ""),
	)
	img := commit(t, s, "x", stage(t, s, archive))
	top := root(t, s, img)
	for name, want := range map[string]struct{ mode, uid, gid uint32 }{
		"d": {0o042775, 7, 7}, "d/f": {0o100664, 0, 0}, "d/l": {0o120777, 8, 8}, "d/e": {0o040755, 0, 0}, "d/late": {0o100644, 0, 0},
	} {
		var st syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(top, name), &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode != want.mode || st.Uid != want.uid || st.Gid != want.gid || st.Mtim.Sec != 1700000000 {
			t.Errorf("%s: mode %o, owner %d:%d, time %d; want %+v", name, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, want)
		}
	}
}

// Sparse files have their holes, and the archive comes back as it was.
func TestLayerSparse(t *testing.T) {
	s := open(t)
	for name, archive := range map[string][]byte{"old": oldSparse(t), "pax": paxSparse(t, "tail")} {
		img := commit(t, s, name, stage(t, s, archive))
		again(t, s, img, 0, archive)
		path := filepath.Join(root(t, s, img), "sparse")
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil || st.Size != 1<<20 || st.Blocks > 64 {
			t.Errorf("%s: %d bytes in %d blocks, %v", name, st.Size, st.Blocks, err)
		}
		data, err := os.ReadFile(path)
		if err != nil || bytes.Count(data[:1<<20-512], []byte{0}) != 1<<20-512 || bytes.IndexByte(data[1<<20-512:], 0) >= 0 {
			t.Errorf("%s: wrong contents, %v", name, err)
		}
	}
}

// Files run out, memory does not, and nothing stays.
func TestLayerNoDescriptors(t *testing.T) {
	s := open(t)
	before := inventory(t, s)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	failed := false
	for extra := range 12 {
		limit := unix.Rlimit{Cur: uint64(fds(t) + extra), Max: old.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		l, err := s.Stage(context.Background(), bytes.NewReader(pack(t, regular("a/b", "x"), regular("c/d", "x"))), StageOptions{})
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		if errors.Is(err, unix.EMFILE) {
			failed = true
		} else if err != nil {
			t.Errorf("%d more descriptors: %v", extra, err)
		}
		if err := s.Discard(l); err != nil {
			t.Error(err)
		}
		if after := inventory(t, s); after != before {
			t.Errorf("%d more descriptors: left behind:\n%s", extra, after)
		}
	}
	if !failed {
		t.Error("there were always enough")
	}
}

// fds counts the open descriptors of this process.
func fds(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func eventually(t testing.TB, done func() bool) {
	t.Helper()
	for range 200 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("not within two seconds")
}
