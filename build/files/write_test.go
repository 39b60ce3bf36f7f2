package files

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/tests/promised"
)

// copyAll copies a whole directory into another one.
func copyAll(t *testing.T, from, to string, more func(*Copy, *Root)) error {
	t.Helper()
	root := &Root{Dir: dirOf(t, from), Shown: "the context"}
	c := &Copy{Items: []Item{{From: root, Path: "."}}, Dest: "/", WorkDir: "/"}
	if more != nil {
		more(c, root)
	}
	return c.Write(t.Context(), Target{Root: dirOf(t, to)}, nil)
}

// What is special about files goes along.
func TestWriteKeeps(t *testing.T) {
	top := t.TempDir()
	from, to := top+"/from", top+"/to"
	plant(t, from, "one=several~names sub/ to/ exec=X@6755")
	plant(t, to, "")
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(from + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := sparse.WriteAt([]byte("in the middle"), 64<<20)
	when := time.Unix(981173106, 789)
	caps := []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	odd := "/sub/not\xffutf8\n" + strings.Repeat("n", 200)
	err = errors.Join(err1, sparse.Truncate(256<<20), sparse.Close(),
		os.Link(from+"/one", from+"/sub/two"), os.WriteFile(from+odd, nil, 0o400), os.Symlink("/nowhere", from+"/link"),
		unix.Setxattr(from+"/one", "user.test", []byte("value"), 0), unix.Setxattr(from+"/exec", "security.capability", caps, 0),
		unix.Setxattr(from+"/sub", "user.overlay.opaque", []byte("y"), 0),
		os.Chtimes(from+"/one", when, when), os.Chtimes(from+"/sub", when, when),
		unix.UtimesNanoAt(unix.AT_FDCWD, from+"/link", []unix.Timespec{{Sec: 5}, {Sec: 6}}, unix.AT_SYMLINK_NOFOLLOW))
	if err != nil {
		t.Fatal(err)
	}
	if err := copyAll(t, from, to, func(c *Copy, _ *Root) { c.Chown = "3:4" }); err != nil {
		t.Fatal(err)
	}
	stat := func(name string) (st unix.Stat_t) {
		t.Helper()
		if err := unix.Lstat(to+name, &st); err != nil {
			t.Error(err)
		}
		if st.Uid != 3 || st.Gid != 4 {
			t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
		}
		return st
	}
	if one, two := stat("/one"), stat("/sub/two"); one.Ino != two.Ino || one.Mtim.Nano() != when.UnixNano() {
		t.Errorf("inodes %d and %d, time %v", one.Ino, two.Ino, one.Mtim)
	}
	if st := stat("/sub"); st.Mtim.Nano() != when.UnixNano() {
		t.Errorf("the directory has time %v", st.Mtim)
	}
	if st := stat("/link"); st.Mtim.Sec != 6 {
		t.Errorf("the link has time %v", st.Mtim)
	}
	if st := stat("/sparse"); st.Size != 256<<20 || st.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file has %d bytes in %d blocks", st.Size, st.Blocks)
	}
	if st := stat("/exec"); st.Mode&0o7777 != 0o6755 {
		t.Errorf("mode %o", st.Mode)
	}
	stat(odd)
	value := make([]byte, 64)
	if n, err := unix.Getxattr(to+"/one", "user.test", value); err != nil || string(value[:n]) != "value" {
		t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
	}
	if n, err := unix.Getxattr(to+"/exec", "security.capability", value); err != nil || !bytes.Equal(value[4:8], caps[4:8]) {
		t.Errorf("capabilities %q, %v", value[:max(n, 0)], err)
	}
	if _, err := unix.Getxattr(to+"/sub", "user.overlay.opaque", value); err != unix.ENODATA {
		t.Errorf("overlay's attribute is copied: %v", err)
	}
}

// A copy that a later item has replaced is no hard link's other name.
func TestHardLinkToReplaced(t *testing.T) {
	top := t.TempDir()
	plant(t, top+"/from", "a/f=linked c/f=other b/")
	plant(t, top+"/to", "x/")
	if err := os.Link(top+"/from/a/f", top+"/from/b/g"); err != nil {
		t.Fatal(err)
	}
	err := copyAll(t, top+"/from", top+"/to", func(c *Copy, root *Root) {
		c.Items = []Item{{From: root, Path: "a"}, {From: root, Path: "c"}, {From: root, Path: "b"}}
	})
	if got := tree(t, top+"/to"); err != nil || got != "f=other g=linked x/" {
		t.Error(got, err)
	}
}

func TestNoSetID(t *testing.T) {
	top := t.TempDir()
	plant(t, top+"/from", "u=U@4755 d/@2775 d/g=G@2750")
	plant(t, top+"/to", "x/")
	if err := copyAll(t, top+"/from", top+"/to", func(c *Copy, _ *Root) { c.NoSetID = true }); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, top+"/to"); got != "d/@2775 d/g=G@750 u=U@755 x/" {
		t.Error(got)
	}
}

// SOURCE_DATE_EPOCH is the latest time there is.
func TestWriteEpoch(t *testing.T) {
	top := t.TempDir()
	plant(t, top+"/from", "new=N old=O d/f=F")
	plant(t, top+"/to", "")
	if err := errors.Join(os.MkdirAll(top+"/to", 0o755), os.Chtimes(top+"/from/old", time.Unix(50, 0), time.Unix(50, 0))); err != nil {
		t.Fatal(err)
	}
	epoch := int64(100)
	err := copyAll(t, top+"/from", top+"/to", func(c *Copy, _ *Root) {
		c.Epoch, c.Dest = &epoch, "/a/b"
		c.Items = append(c.Items, Item{Inline: &Inline{"here", []byte("x")}})
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"a/b/new": 100, "a/b/old": 50, "a/b/d": 100, "a/b/d/f": 100, "a/b/here": 100} {
		st, err := os.Stat(top + "/to/" + name)
		if err != nil || st.ModTime().Unix() != want {
			t.Errorf("%s has time %v, %v", name, st.ModTime().Unix(), err)
		}
	}
}

func TestInline(t *testing.T) {
	top := t.TempDir()
	plant(t, top, "dir/ set/@2775%0:7 old=O")
	for _, c := range []struct{ dest, chmod, want string }{
		{"/new", "", "new=text"},
		{"/dir", "", "dir/name=text"},
		{"/dir/sub/", "600", "dir/sub/@600 dir/sub/name=text@600"},
		{"/set", "", "set/name=text"},
		{"/old", "", "old=text"},
	} {
		cp := &Copy{Items: []Item{{Inline: &Inline{"sub/name", []byte("text")}}}, Dest: c.dest, WorkDir: "/", Chmod: c.chmod}
		if err := errors.Join(cp.Check(), cp.Write(t.Context(), Target{Root: dirOf(t, top)}, nil)); err != nil {
			t.Error(err)
		}
		for w := range strings.FieldsSeq(c.want) {
			if got := tree(t, top); !strings.Contains(" "+got+" ", " "+w+" ") {
				t.Errorf("%s: no %s in %s", c.dest, w, got)
			}
		}
	}
	two := &Copy{Items: []Item{{Inline: &Inline{"a", nil}}, {Inline: &Inline{"b", nil}}}, Dest: "/file", WorkDir: "/"}
	if err := two.Write(t.Context(), Target{Root: dirOf(t, top)}, nil); err == nil {
		t.Error("two heredocs got one name")
	}
	for _, name := range []string{"", ".", "..", "a/.."} {
		if (&Copy{Items: []Item{{Inline: &Inline{Name: name}}}}).Check() == nil {
			t.Errorf("a heredoc is called %q", name)
		}
	}
}

// packed is an archive in a format, made by the usual programs.
func packed(t *testing.T, program string, headers ...tar.Header) []byte {
	t.Helper()
	var plain, out bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, h := range headers {
		text := ""
		if h.Typeflag == tar.TypeReg {
			text = "packed"
		}
		h.Size = int64(len(text))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		_, err := w.Write(nil)
		if err = errors.Join(err, w.WriteHeader(&h)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if program == "" {
		return plain.Bytes()
	}
	cmd := exec.Command(program, "-c")
	cmd.Stdin, cmd.Stdout = &plain, &out
	if err := cmd.Run(); err != nil {
		promised.OrSkip(t, program, err)
	}
	return out.Bytes()
}

func TestUnpack(t *testing.T) {
	file := func(name string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Uid: 5, Gid: 6, ModTime: time.Unix(77, 0)}
	}
	for _, c := range []struct {
		name, program string
		headers       []tar.Header
		data          []byte
		into, dest    string
		chown         string
		literal       bool // not to be unpacked
		want, fails   string
	}{
		{name: "tar", headers: []tar.Header{file("a")}, want: "x/ x/a=packed%5:6"},
		{name: "gzip", program: "gzip", headers: []tar.Header{file("d/a")}, want: "x/d/ x/d/a=packed%5:6"},
		{name: "bzip2", program: "bzip2", headers: []tar.Header{file("a")}, want: "x/a=packed%5:6"},
		{name: "xz", program: "xz", headers: []tar.Header{file("a")}, want: "x/a=packed%5:6"},
		{name: "zstd", program: "zstd", headers: []tar.Header{file("a")}, want: "x/a=packed%5:6"},
		{name: "chown", headers: []tar.Header{file("a")}, chown: "8:9", want: "x/%8:9 x/a=packed%8:9"},
		{name: "copied", headers: []tar.Header{file("a")}, literal: true, want: "x=archive"},
		{name: "no archive", data: []byte("text"), want: "x=text"},
		{name: "packed text", data: func() []byte {
			out, _ := exec.Command("sh", "-c", "echo text | gzip").Output()
			return out
		}(), want: "x=archive"},
		{name: "empty", data: []byte{}, want: "x="},
		{name: "file over directory", headers: []tar.Header{file("d")}, into: "x/d/e/f=F", want: "x/d=packed%5:6"},
		{name: "directory over file", headers: []tar.Header{{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700}, file("d/a")}, into: "x/d=F", want: "x/d/@700 x/d/a=packed%5:6"},
		{name: "directory over link", headers: []tar.Header{{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, file("d/a")}, into: "x/d->../e e/", want: "x/d/ e/ x/d/a=packed%5:6"},
		{name: "through a link", headers: []tar.Header{file("d/a")}, into: "x/d->../e e/", want: "x/d->../e e/a=packed%5:6"},
		{name: "destination is a link", headers: []tar.Header{file("a")}, into: "x->e e/", want: "e/a=packed%5:6"},
		{name: "directories merge", headers: []tar.Header{{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}}, into: "x/d/f=F", want: "x/d/f=F"},
		{name: "file, then directory", headers: []tar.Header{file("d/a"), file("d"), {Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, file("d/b")}, want: "x/d/ x/d/b=packed%5:6"},
		{name: "over a file", headers: []tar.Header{file("a")}, into: "x=F", fails: "no directory"},
		{name: "out", headers: []tar.Header{file("../a")}, fails: "climbs out"},
		{name: "link out", headers: []tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "OUT"}, file("l/f")}, fails: "l"},
		{name: "cut off", data: packed(t, "", file("a"), file("b"))[:1024+100], fails: "/archive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := t.TempDir()
			plant(t, top+"/outside", "f=old")
			for i := range c.headers {
				c.headers[i].Linkname = strings.ReplaceAll(c.headers[i].Linkname, "OUT", top+"/outside")
			}
			if c.data == nil {
				c.data = packed(t, c.program, c.headers...)
			}
			plant(t, top+"/to", "keep=K "+c.into)
			if err := errors.Join(os.Mkdir(top+"/from", 0o755), os.WriteFile(top+"/from/archive", c.data, 0o644)); err != nil {
				t.Fatal(err)
			}
			err := copyAll(t, top+"/from", top+"/to", func(cp *Copy, root *Root) {
				cp.Items, cp.Dest, cp.Chown = []Item{{From: root, Path: "archive", Unpack: !c.literal}}, "/x", c.chown
			})
			got := " " + tree(t, top+"/to") + " "
			if c.name == "copied" || c.name == "packed text" {
				text, _ := os.ReadFile(top + "/to/x")
				if err != nil || !bytes.Equal(text, c.data) {
					t.Errorf("it is not the same file: %v", err)
				}
				return
			}
			if c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("error %v, want one with %q", err, c.fails)
			}
			if c.fails == "" && err != nil {
				t.Fatal(err)
			}
			for w := range strings.FieldsSeq(c.want) {
				if !strings.Contains(got, " "+w+" ") {
					t.Errorf("no %s in%s", w, got)
				}
			}
			if st, err := os.Stat(top + "/to/x/a"); err == nil && st.ModTime().Unix() != 77 {
				t.Errorf("time %v", st.ModTime())
			}
			if out := tree(t, top+"/outside"); out != "f=old" {
				t.Errorf("outside there is %s", out)
			}
		})
	}
}

func TestWriteStops(t *testing.T) {
	top := t.TempDir()
	plant(t, top+"/to", "x/")
	for _, n := range []string{"a", "b", "c"} {
		plant(t, top+"/from", n+"="+strings.Repeat(n, 20<<20))
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := &Copy{Items: []Item{{From: &Root{Dir: dirOf(t, top+"/from"), Shown: "x"}, Path: "."}}, Dest: "/", WorkDir: "/"}
	err := c.Write(ctx, Target{Root: dirOf(t, top+"/to")}, func(done int64) {
		if done > 30<<20 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What is left out is said by the name that it has in the context.
func TestWriteNotes(t *testing.T) {
	top := t.TempDir()
	plant(t, top, "to/ from/d/")
	var said []string
	for _, name := range []string{"from/s", "from/d/s"} {
		if err := unix.Mknod(filepath.Join(top, name), unix.S_IFSOCK|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
	err := copyAll(t, top+"/from", top+"/to", func(c *Copy, _ *Root) {
		c.Note = func(path, _ string) { said = append(said, path) }
	})
	slices.Sort(said)
	if want := []string{"the context: /d/s", "the context: /s"}; err != nil || !slices.Equal(said, want) {
		t.Errorf("%q, %v, want %q", said, err, want)
	}
	if got := tree(t, top+"/to"); got != "d/" {
		t.Errorf("copied: %s", got)
	}
}

func TestMkdir(t *testing.T) {
	top := t.TempDir()
	plant(t, top, "d/@700%1:1 f=F l->d")
	to := Target{Root: dirOf(t, top)}
	for _, c := range []struct {
		path, chown, want string
		made              bool
		fails             bool
	}{
		{path: "/d", want: "d/@700%1:1"},
		{path: "/", want: "f=F"},
		{path: "/l", want: "l->d"},
		{path: "/l/x/y", want: "d/x/ d/x/y/", made: true},
		{path: "/n/m/", chown: "2:3", want: "n/%2:3 n/m/%2:3", made: true},
		{path: "/f", fails: true},
		{path: "/f/g", fails: true},
	} {
		made, err := Mkdir(to, c.path, MkdirOptions{Chown: c.chown})
		if made != c.made || (err != nil) != c.fails {
			t.Errorf("%s: %v %v", c.path, made, err)
		}
		for w := range strings.FieldsSeq(c.want) {
			if got := tree(t, top); !strings.Contains(" "+got+" ", " "+w+" ") {
				t.Errorf("%s: no %s in %s", c.path, w, got)
			}
		}
	}
}
