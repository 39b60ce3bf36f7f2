package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// digest is that of a COPY of one pattern.
func digest(t testing.TB, root *Root, path string, more ...func(*Copy)) string {
	t.Helper()
	c := &Copy{Items: []Item{{From: root, Path: path}}, Dest: "/x", WorkDir: "/"}
	for _, m := range more {
		m(c)
	}
	d, err := c.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The digest changes with all that the layer would show, and with nothing else.
func TestDigest(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(top string) error
		path   string // what is copied; "."
		owners bool
		same   bool
	}{
		{name: "nothing", do: func(string) error { return nil }, same: true},
		{name: "content", do: func(top string) error { return os.WriteFile(top+"/dir/f", []byte("G"), 0o644) }},
		{name: "times", do: func(top string) error { return os.Chtimes(top+"/dir/f", time.Unix(1, 0), time.Unix(2, 0)) }, same: true},
		{name: "written again", do: func(top string) error { return os.WriteFile(top+"/dir/f", []byte("F"), 0o644) }, same: true},
		{name: "mode", do: func(top string) error { return os.Chmod(top+"/dir/f", 0o600) }},
		{name: "set-id", do: func(top string) error { return unix.Chmod(top+"/dir/f", 0o4644) }},
		{name: "directory's mode", do: func(top string) error { return os.Chmod(top+"/dir", 0o755) }},
		{name: "the copied directory's mode", do: func(top string) error { return os.Chmod(top+"/dir", 0o755) }, path: "dir", same: true},
		{name: "name", do: func(top string) error { return os.Rename(top+"/dir/f", top+"/dir/e") }},
		{name: "moved", do: func(top string) error { return os.Rename(top+"/dir/f", top+"/f") }},
		{name: "new", do: func(top string) error { return os.WriteFile(top+"/dir/new", nil, 0o644) }},
		{name: "new empty directory", do: func(top string) error { return os.Mkdir(top+"/dir/new", 0o755) }},
		{name: "new elsewhere", do: func(top string) error { return os.WriteFile(top+"/new", nil, 0o644) }, path: "dir", same: true},
		{name: "gone", do: func(top string) error { return os.Remove(top + "/dir/f") }},
		{name: "link's target", do: func(top string) error { return errors.Join(os.Remove(top+"/link"), os.Symlink("b.txt", top+"/link")) }},
		{name: "followed link's name", do: func(top string) error { return errors.Join(os.Remove(top+"/link"), os.Symlink("./a", top+"/link")) }, path: "link", same: true},
		{name: "link instead of file", do: func(top string) error { return errors.Join(os.Remove(top+"/a"), os.Symlink("A", top+"/a")) }},
		{name: "attribute", do: func(top string) error { return unix.Setxattr(top+"/a", "user.x", []byte("1"), 0) }},
		{name: "directory's attribute", do: func(top string) error { return unix.Setxattr(top+"/dir", "user.x", []byte("1"), 0) }},
		{name: "overlay's attribute", do: func(top string) error { return unix.Setxattr(top+"/dir", "user.overlay.opaque", []byte("x"), 0) }, same: true},
		{name: "capability", do: func(top string) error {
			return unix.Setxattr(top+"/a", "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0)
		}},
		{name: "owner", do: func(top string) error { return os.Chown(top+"/a", 5, 5) }, same: true},
		{name: "owner that is kept", do: func(top string) error { return os.Chown(top+"/a", 5, 5) }, owners: true},
		{name: "socket", do: func(top string) error { return unix.Mknod(top+"/s", unix.S_IFSOCK|0o600, 0) }, same: true},
		{name: "wildcard finds more", do: func(top string) error { return os.WriteFile(top+"/d.txt", []byte("B"), 0o644) }, path: "*.txt"},
		{name: "wildcard's file renamed", do: func(top string) error { return os.Rename(top+"/c.txt", top+"/d.txt") }, path: "*.txt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := t.TempDir()
			plant(t, top, sources)
			root := &Root{Dir: dirOf(t, top), Owners: c.owners, Shown: "x", Hashes: OpenHashes(filepath.Join(t.TempDir(), "hashes"))}
			if c.path == "" {
				c.path = "."
			}
			before := digest(t, root, c.path)
			if err := c.do(top); err != nil {
				t.Fatal(err)
			}
			if after := digest(t, root, c.path); (after == before) != c.same {
				t.Errorf("%s before, %s after", before, after)
			}
		})
	}
}

func TestDigestOfItems(t *testing.T) {
	top := t.TempDir()
	plant(t, top, "a=A b=A")
	root := &Root{Dir: dirOf(t, top), Shown: "x"}
	seen := map[string]string{}
	for name, items := range map[string][]Item{
		"a":        {{From: root, Path: "a"}},
		"b":        {{From: root, Path: "b"}},
		"a b":      {{From: root, Path: "a"}, {From: root, Path: "b"}},
		"b a":      {{From: root, Path: "b"}, {From: root, Path: "a"}},
		"unpacked": {{From: root, Path: "a", Unpack: true}},
		"inline a": {{Inline: &Inline{"a", []byte("A")}}},
		"inline B": {{Inline: &Inline{"a", []byte("B")}}},
		"two":      {{Inline: &Inline{"a", []byte("A")}}, {Inline: &Inline{"b", []byte("B")}}},
		"shifted":  {{Inline: &Inline{"a", []byte("AB")}}, {Inline: &Inline{"b", nil}}},
		"told":     {{From: root, Path: "a", Digest: "x"}},
		"all":      {{From: root, Path: "."}},
	} {
		d, err := (&Copy{Items: items}).Digest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[d]; twice {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		seen[d] = name
	}
}

// What is remembered is used, is not believed when a file has changed, and is forgotten
// when it is damaged.
func TestHashes(t *testing.T) {
	top, store := t.TempDir(), filepath.Join(t.TempDir(), "new", "hashes")
	plant(t, top, "old=A fresh=B")
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(top+"/old", past, past); err != nil {
		t.Fatal(err)
	}
	// Nobody can set the time of the last change: it must pass.
	var st unix.Stat_t
	if err := unix.Stat(top+"/old", &st); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Unix(st.Ctim.Unix()).Add(granularity + 100*time.Millisecond)))
	plant(t, top, "fresh=C")
	h := OpenHashes(store)
	root := &Root{Dir: dirOf(t, top), Shown: "x", Hashes: h}
	want := digest(t, root, ".")
	if len(h.fresh) != 1 {
		t.Errorf("%d files are remembered, want the old one", len(h.fresh))
	}
	if err := h.Save(); err != nil {
		t.Fatal(err)
	}
	h = OpenHashes(store)
	root.Hashes = h
	if got := digest(t, root, "."); h.count() != 1 || h.used[0] != 1 || len(h.fresh) != 0 || got != want {
		t.Errorf("%d known, used %b, %d new; %s, want %s", h.count(), h.used[0], len(h.fresh), got, want)
	}
	// A lie about the content shows that the file is not read again.
	copy(h.known[40:72], strings.Repeat("x", 32))
	if got := digest(t, root, "."); got == want {
		t.Error("the file is read although it is known")
	}
	if err := os.WriteFile(top+"/old", []byte("Z"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(top+"/old", past, past); err != nil { // the size and this time as before
		t.Fatal(err)
	}
	changed := digest(t, root, ".")
	if plain := digest(t, &Root{Dir: root.Dir, Shown: "x"}, "."); changed != plain || changed == want {
		t.Errorf("%s with what is remembered, %s without", changed, plain)
	}
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { b[50] ^= 1; return b },
		func([]byte) []byte { return nil },
		func(b []byte) []byte { return append(b, 0) },
	} {
		data, err := os.ReadFile(store)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(store+"x", damage(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := OpenHashes(store + "x").count(); n != 0 {
			t.Errorf("%d records of a damaged file", n)
		}
	}
}

// The store is bounded, and keeps what was used last.
func TestHashesAreBounded(t *testing.T) {
	h := OpenHashes(filepath.Join(t.TempDir(), "hashes"))
	old := time.Now().Add(-time.Hour)
	for i := range mostRecords + 10 {
		st := unix.Stat_t{Ino: uint64(i), Mtim: unix.NsecToTimespec(old.UnixNano())}
		h.remember(&st, time.Now(), [32]byte{1})
		if i < 10 {
			r := h.fresh[[keySize]byte(recordKey(&st))]
			r.setDay(1)
			h.fresh[[keySize]byte(recordKey(&st))] = r
		}
	}
	if err := h.Save(); err != nil {
		t.Fatal(err)
	}
	h = OpenHashes(h.path)
	if h.count() != mostRecords {
		t.Errorf("%d records", h.count())
	}
	for i, want := range map[int]bool{0: false, 9: false, 10: true, mostRecords + 9: true} {
		st := unix.Stat_t{Ino: uint64(i), Mtim: unix.NsecToTimespec(old.UnixNano())}
		if _, ok := h.lookup(&st); ok != want {
			t.Errorf("record %d: %v", i, ok)
		}
	}
}

func recordKey(st *unix.Stat_t) []byte {
	r := recordOf(st)
	return r[:keySize]
}

// A digest of many large files ends when it is told to.
func TestDigestStops(t *testing.T) {
	top := t.TempDir()
	for i := range 20 {
		f, err := os.Create(fmt.Sprint(top, "/", i))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	c := &Copy{Items: []Item{{From: &Root{Dir: dirOf(t, top), Shown: "x"}, Path: "."}}}
	if _, err := c.Digest(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
