package cp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dirOf opens a directory the way that a root and a place come.
func dirOf(t *testing.T, path string) *os.File {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return f
}

// copyIn copies between two paths of two roots.
func copyIn(ctx context.Context, fromRoot, toRoot *os.File, from, to string, o Options) error {
	src, err := Find(fromRoot, from, from, false)
	if err != nil {
		return err
	}
	defer src.File.Close()
	dst, err := Locate(toRoot, to, to)
	if err != nil {
		return err
	}
	defer dst.Dir.Close()
	return Copy(ctx, src, dst, o)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// files are all names below a directory, with the content of files and the targets of
// links.
func files(t *testing.T, top string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		rel := strings.TrimPrefix(path, top+"/")
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			rel += "->" + to
		case d.Type().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel += "=" + string(text)
		}
		all = append(all, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// What docker cp makes of the words, docs.docker.com/reference/cli/docker/container/cp.
func TestDockersRules(t *testing.T) {
	for _, c := range []struct{ from, to, want, fails string }{
		{from: "file", to: "new", want: "new=F"},
		{from: "file", to: "nodir/", fails: "no such directory"},
		{from: "file", to: "nodir/new", fails: "must exist"},
		{from: "file", to: "old", want: "old=F"},
		{from: "file", to: "old/", fails: "not a directory"},
		{from: "file", to: "dir", want: "dir/file=F"},
		{from: "file", to: "dir/", want: "dir/file=F"},
		{from: "file", to: "tolink", want: "target=F"},
		{from: "file", to: "todir", want: "dir/file=F"},
		{from: "file", to: "dangling", want: "made=F"},
		{from: "file", to: "full", fails: "cannot be replaced by a file"},
		{from: "file/", to: "dir", fails: "not a directory"},
		{from: "file/.", to: "dir", fails: "not a directory"},
		{from: "tree", to: "new", want: "new/a=A"},
		{from: "tree", to: "new/", want: "new/a=A"},
		{from: "tree", to: "old", fails: "cannot be copied to a file"},
		{from: "tree", to: "dir", want: "dir/tree/a=A"},
		{from: "tree/", to: "dir", want: "dir/tree/a=A"},
		{from: "tree/.", to: "dir", want: "dir/a=A"},
		{from: "tree/.", to: "new", want: "new/a=A"},
		{from: "tree/.", to: "old", fails: "cannot be copied to a file"},
		{from: "tree", to: "blocked", fails: "cannot be replaced by one"},
		{from: "link", to: "new", want: "new->file"},
		{from: "link", to: "dir", want: "dir/link->file"},
		{from: "treelink", to: "new", want: "new->tree"},
		{from: "treelink/", to: "new", want: "new/a=A"},
		{from: "treelink/", to: "dir", want: "dir/treelink/a=A"},
		{from: "treelink/.", to: "dir", want: "dir/a=A"},
		{from: "nothing", to: "dir", fails: "no such file"},
		{from: "/", to: "new", want: "new/file=F"},
		{from: "../../file", to: "new", want: "new=F"}, // the root is as high as it goes
		{from: "file", to: "../../new", want: "new=F"},
		{from: "file", to: "pipe", fails: "a named pipe"},
		{from: "tree", to: "out", want: ""}, // an absolute link stays in the root
	} {
		t.Run(c.from+" to "+c.to, func(t *testing.T) {
			top := t.TempDir()
			from, to := top+"/from", top+"/to"
			write(t, from+"/file", "F")
			write(t, from+"/tree/a", "A")
			write(t, to+"/old", "O")
			write(t, to+"/target", "T")
			write(t, to+"/full/file/in-the-way", "")
			write(t, to+"/blocked/tree", "")
			link := func(target, name string) {
				if err := os.Symlink(target, name); err != nil {
					t.Fatal(err)
				}
			}
			link("file", from+"/link")
			link("tree", from+"/treelink")
			link("target", to+"/tolink")
			link("/dir", to+"/todir")
			link("made", to+"/dangling")
			link(top+"/outside", to+"/out")
			if err := errors.Join(os.Mkdir(to+"/dir", 0o755), unix.Mkfifo(to+"/pipe", 0o600)); err != nil {
				t.Fatal(err)
			}
			err := copyIn(t.Context(), dirOf(t, from), dirOf(t, to), c.from, c.to, Options{})
			got := files(t, to)
			switch {
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("error %v, want one with %q; %s", err, c.fails, got)
			case c.fails == "" && c.want != "" && (err != nil || !strings.Contains(" "+got+" ", " "+c.want+" ")):
				t.Errorf("no %q in %s; error %v", c.want, got, err)
			}
			if _, err := os.Lstat(top + "/outside"); err == nil {
				t.Error("something was made outside of the root")
			}
			if strings.Contains(got, ".sbx-cp-") {
				t.Errorf("a temporary file is left: %s", got)
			}
		})
	}
}

// What is special about files goes along.
func TestKeepsWhatThereIs(t *testing.T) {
	top := t.TempDir()
	from := top + "/from/tree"
	long, odd := strings.Repeat("n", 255), "not\xffutf8\n"
	write(t, from+"/"+long, "long")
	write(t, from+"/sub/"+odd, "odd")
	write(t, from+"/one", "several names")
	sparse, err := os.Create(from + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := sparse.WriteAt([]byte("in the middle"), 64<<20)
	when := time.Unix(981173106, 789)
	err = errors.Join(err1, sparse.Truncate(256<<20), sparse.Close(),
		os.Link(from+"/one", from+"/sub/two"), os.Symlink("/nowhere", from+"/link"), unix.Mkfifo(from+"/pipe", 0o640),
		unix.Setxattr(from+"/one", "user.test", []byte("value"), 0),
		os.Chmod(from+"/one", 0o751|fs.ModeSetuid), os.Chmod(from+"/sub", 0o500), os.Chtimes(from+"/sub", when, when))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(from+"/sub", 0o700); os.Chmod(top+"/to/tree/sub", 0o700) })
	to := top + "/to"
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyIn(t.Context(), dirOf(t, top+"/from"), dirOf(t, to), "tree", "/", Options{Owner: Same, Attrs: true}); err != nil {
		t.Fatal(err)
	}
	stat := func(name string) (st unix.Stat_t) {
		t.Helper()
		if err := unix.Lstat(to+"/tree/"+name, &st); err != nil {
			t.Error(err)
		}
		return st
	}
	stat(long)
	stat("sub/" + odd)
	one, two := stat("one"), stat("sub/two")
	if one.Ino != two.Ino || one.Nlink != 2 {
		t.Error("the hard link has become a second file")
	}
	if one.Mode&0o7777 != 0o4751 {
		t.Errorf("mode %o", one.Mode&0o7777)
	}
	value := make([]byte, 16)
	if n, err := unix.Getxattr(to+"/tree/one", "user.test", value); err != nil || string(value[:n]) != "value" {
		t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
	}
	if st := stat("sparse"); st.Size != 256<<20 || st.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file has %d bytes in %d blocks", st.Size, st.Blocks)
	}
	middle := make([]byte, 13)
	if f, err := os.Open(to + "/tree/sparse"); err != nil {
		t.Error(err)
	} else if _, err := f.ReadAt(middle, 64<<20); err != nil || string(middle) != "in the middle" {
		t.Errorf("%q, %v", middle, err)
	}
	if st := stat("pipe"); st.Mode != unix.S_IFIFO|0o640 {
		t.Errorf("the pipe has mode %o", st.Mode)
	}
	if st := stat("link"); st.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("the link has mode %o", st.Mode)
	}
	if st := stat("sub"); st.Mode&0o7777 != 0o500 || st.Mtim.Sec != when.Unix() || st.Mtim.Nsec != 789 {
		t.Errorf("the directory has mode %o, time %v", st.Mode&0o7777, st.Mtim)
	}
}

// A file of the user's that anybody may run as him is not made of one in a sandbox.
func TestHostGetsNoSetID(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/from/tool", "x")
	if err := os.Chmod(top+"/from/tool", 0o755|fs.ModeSetuid|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{Host: true}, {Host: true, Owner: Same}} {
		if err := copyIn(t.Context(), dirOf(t, top+"/from"), dirOf(t, top), "tool", "tool", o); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(top + "/tool")
		if err != nil {
			t.Fatal(err)
		}
		if kept := st.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0; kept != (o.Owner == Same) {
			t.Errorf("%+v: mode %v", o, st.Mode())
		}
	}
}

func TestNotIntoItself(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/tree/sub/file", "x")
	root := dirOf(t, top)
	for _, c := range [][2]string{{"tree", "tree/sub"}, {"tree", "tree/new"}, {"tree/.", "tree/sub"}, {"tree/.", "tree"}, {"tree", "/"}, {"/", "tree"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := copyIn(ctx, root, root, c[0], c[1], Options{})
		cancel()
		if err == nil || !strings.Contains(err.Error(), "into itself") {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// A copy that is stopped leaves whole files only, and none of its own.
func TestStoppedLeavesNoHalf(t *testing.T) {
	top := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(t, top+"/from/"+name, strings.Repeat(name, 20<<20))
	}
	if err := os.Mkdir(top+"/to", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, top+"/to/from/b", "old")
	ctx, cancel := context.WithCancel(t.Context())
	err := copyIn(ctx, dirOf(t, top), dirOf(t, top+"/to"), "from", "/", Options{Progress: func(done int64) {
		if done > 30<<20 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	whole := 0
	entries, err := os.ReadDir(top + "/to/from")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case st.Size() == 20<<20:
			whole++
		case e.Name() != "b" || st.Size() != 3:
			t.Errorf("%s has %d bytes", e.Name(), st.Size())
		}
	}
	if whole != 1 {
		t.Errorf("%d whole files of the one that was copied", whole)
	}
}

// A program that swaps directories and files for symbolic links gains nothing: neither
// is what they lead to read nor is anything written there.
func TestRacingLinks(t *testing.T) {
	for _, direction := range []string{"out", "in"} {
		t.Run(direction, func(t *testing.T) {
			top := t.TempDir()
			hostile, own, outside := top+"/hostile", top+"/own", top+"/outside"
			write(t, outside+"/file", "secret")
			write(t, hostile+"/tree/dir/file", "public")
			write(t, own+"/tree/dir/file", "public")
			write(t, hostile+"/tree/solo", "public")
			write(t, own+"/tree/solo", "public")
			if err := errors.Join(os.Symlink(outside, hostile+"/link"), os.Symlink(outside+"/file", hostile+"/filelink")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				dir := dirFD(hostile)
				defer unix.Close(dir)
				for ctx.Err() == nil {
					for _, pair := range [][2]string{{"tree/dir", "link"}, {"tree/solo", "filelink"}} {
						// One at a time; the other way round the next time.
						_ = unix.Renameat2(dir, pair[0], dir, pair[1], unix.RENAME_EXCHANGE)
					}
				}
			}()
			hostileRoot := dirOf(t, hostile)
			runs, done := 0, 0
			for ; ctx.Err() == nil; runs++ {
				var err error
				if direction == "out" {
					to := t.TempDir()
					err = copyIn(t.Context(), hostileRoot, dirOf(t, to), "tree", "/", Options{})
					if got := files(t, to); strings.Contains(got, "secret") {
						t.Fatalf("read from outside: %s", got)
					}
					if os.RemoveAll(to) != nil {
						t.Fatal("clear")
					}
				} else {
					err = copyIn(t.Context(), dirOf(t, own), hostileRoot, "tree", "/", Options{})
				}
				if err == nil {
					done++
				}
			}
			<-stopped
			if got := files(t, outside); got != "file=secret" {
				t.Fatalf("written outside: %s", got)
			}
			t.Logf("%d of %d copies got through", done, runs)
			if done == 0 || runs < 50 {
				t.Errorf("%d of %d copies got through: this tests too little", done, runs)
			}
		})
	}
}

func dirFD(path string) int {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	return fd
}
