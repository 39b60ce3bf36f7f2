package cp

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// entry is one of a test's archive, owned by whoever runs the test.
func entry(kind byte, name, link, body string) (tar.Header, string) {
	return tar.Header{
		Typeflag: kind, Name: name, Linkname: link, Size: int64(len(body)), Mode: 0o755,
		Uid: os.Geteuid(), Gid: os.Getegid(), ModTime: time.Unix(1e9, 0),
	}, body
}

func pack(t *testing.T, add func(put func(tar.Header, string))) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add(func(h tar.Header, body string) {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestExtract(t *testing.T) {
	top := t.TempDir()
	root, outside := top+"/root", top+"/outside"
	write(t, root+"/to/keep", "kept")
	write(t, root+"/to/old", "old")
	write(t, root+"/usr/lib/there", "")
	if err := errors.Join(os.Mkdir(outside, 0o755), os.Symlink("/usr/lib", root+"/to/lib"), os.Symlink(outside, root+"/to/out")); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1e9, 0)
	archive := pack(t, func(put func(tar.Header, string)) {
		put(entry(tar.TypeDir, "./", "", ""))
		put(entry(tar.TypeReg, "./old", "", "new"))
		put(entry(tar.TypeReg, ".wh.keep", "", "no whiteout"))
		put(entry(tar.TypeDir, "dir/", "", ""))
		put(entry(tar.TypeReg, "dir/file", "", "in it"))
		put(entry(tar.TypeLink, "dir/hard", "dir/file", ""))
		put(entry(tar.TypeLink, "old", "dir/file", "")) // another name for what is there
		put(entry(tar.TypeSymlink, "dir/link", "/../../..", ""))
		put(entry(tar.TypeReg, "deep/er/file", "", "made on the way"))
		put(entry(tar.TypeReg, "/absolute", "", "below"))
		put(entry(tar.TypeReg, "lib/new", "", "by the sandbox's own link"))
		put(entry(tar.TypeChar, "null", "", ""))
		put(entry(tar.TypeFifo, "pipe", "", ""))
	})
	var notes []string
	o := Options{Note: func(n Note) { notes = append(notes, n.Path) }}
	if err := Extract(t.Context(), archive, dirOf(t, root), "/to", "box:/to", o); err != nil {
		t.Fatal(err)
	}
	got := files(t, root)
	for _, want := range []string{"to/keep=kept", "to/.wh.keep=no whiteout", "to/dir/file=in it", "to/dir/hard=in it", "to/old=in it",
		"to/deep/er/file=made on the way", "to/absolute=below", "usr/lib/new=by the sandbox's own link", "to/dir/link->/../../..", "to/pipe"} {
		if !strings.Contains(" "+got+" ", " "+want+" ") {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if len(notes) != 1 || notes[0] != "box:/to/null" {
		t.Errorf("notes %q", notes)
	}
	if st, err := os.Stat(root + "/to/dir"); err != nil || !st.ModTime().Equal(when) {
		t.Errorf("the directory is of %v, %v", st.ModTime(), err)
	}
	if files(t, outside) != "" {
		t.Error("written outside")
	}
}

func TestExtractRefuses(t *testing.T) {
	for _, c := range []struct {
		kind             byte
		name, link, want string
	}{
		{tar.TypeReg, "../up", "", "climbs out"},
		{tar.TypeReg, "a/../../up", "", "climbs out"},
		{tar.TypeLink, "hard", "../../../etc/passwd", "climbs out"},
		{tar.TypeReg, "dir", "", "cannot be replaced by a file"},
		{tar.TypeDir, "file/", "", "cannot be replaced by one"},
		{tar.TypeReg, "out/file", "", "no such file"}, // the link's target is not in the root
		{tar.TypeReg, "file/below", "", "not a directory"},
	} {
		top := t.TempDir()
		write(t, top+"/root/dir/x", "")
		write(t, top+"/root/file", "old")
		if err := errors.Join(os.Mkdir(top+"/outside", 0o755), os.Symlink(top+"/outside/sub", top+"/root/out")); err != nil {
			t.Fatal(err)
		}
		archive := pack(t, func(put func(tar.Header, string)) { put(entry(c.kind, c.name, c.link, "")) })
		err := Extract(t.Context(), archive, dirOf(t, top+"/root"), "/", "box:/", Options{})
		if c.name == "out/file" {
			// It may be made, but inside of the root only.
			if files(t, top+"/outside") != "" {
				t.Error("written outside")
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if files(t, top+"/outside") != "" {
			t.Error("written outside")
		}
	}
}

// A directory of the archive that a program puts a link in the place of is not
// followed, and what the link leads to is not given away.
func TestExtractSeesSwappedDirectory(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/secret/file", "secret")
	if err := os.Chmod(top+"/secret", 0o700); err != nil {
		t.Fatal(err)
	}
	pr, pw := io.Pipe()
	w := tar.NewWriter(pw)
	go func() {
		h, _ := entry(tar.TypeDir, "mine/", "", "")
		err := w.WriteHeader(&h)
		h, body := entry(tar.TypeReg, "other", "", strings.Repeat("x", 2<<20))
		err = errors.Join(err, w.WriteHeader(&h))
		_, err2 := io.WriteString(w, body)
		// By now the directory is there.
		err = errors.Join(err, err2, os.Remove(top+"/mine"), os.Symlink("secret", top+"/mine"))
		h, _ = entry(tar.TypeReg, "mine/file", "", "")
		pw.CloseWithError(errors.Join(err, w.WriteHeader(&h), w.Close()))
	}()
	err := Extract(t.Context(), pr, dirOf(t, top), "/", "box:/", Options{})
	if !errors.Is(err, unix.ESTALE) {
		t.Errorf("error %v", err)
	}
	st, err := os.Stat(top + "/secret")
	if err != nil || st.Mode().Perm() != 0o700 || files(t, top+"/secret") != "file=secret" {
		t.Errorf("the directory behind the link was written to: %v, %v", st.Mode(), err)
	}
}

func TestExtractDamaged(t *testing.T) {
	whole, err := io.ReadAll(pack(t, func(put func(tar.Header, string)) {
		put(entry(tar.TypeReg, "first", "", "first"))
		put(entry(tar.TypeReg, "second", "", strings.Repeat("x", 5000)))
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data string
		want string
	}{
		{string(whole[:3000]), `cut off in or behind entry "second"`},
		{"this is no archive" + strings.Repeat("!", 1000), "not a tar archive"},
		{"short", "not a tar archive"},
	} {
		top := t.TempDir()
		err := Extract(t.Context(), strings.NewReader(c.data), dirOf(t, top), "/", "box:/", Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if got := files(t, top); got != "" && got != "first=first" {
			t.Errorf("half a file: %s", got)
		}
	}
}

// A copy must be able to end while its pipe waits: it has the sandbox's mounts open.
func TestStreamsEnd(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := Reader(ctx, r).Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	out := NewWriter(ctx, w)
	_, err = out.Write(make([]byte, 10<<20))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	if err := out.Flush(); !errors.Is(err, context.Canceled) {
		t.Errorf("flush: %v", err)
	}
}

func TestWriterKeepsOrderAndErrors(t *testing.T) {
	var got bytes.Buffer
	out := NewWriter(t.Context(), &got)
	var want bytes.Buffer
	for i := range 3000 {
		piece := bytes.Repeat([]byte{byte(i)}, i%977)
		want.Write(piece)
		if _, err := out.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes of %d, %v", got.Len(), want.Len(), err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	out = NewWriter(t.Context(), full)
	_, err = out.Write(make([]byte, 5<<20))
	if failed := out.Flush(); !errors.Is(errors.Join(err, failed), unix.ENOSPC) {
		t.Errorf("%v, %v", err, failed)
	}
}
