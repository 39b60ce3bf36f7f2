package files

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Neither what is read nor what is written leaves the roots, and .dockerignore holds,
// while somebody swaps directories and files for links as fast as he can.
func TestThreat21ContextRaces(t *testing.T) {
	top := t.TempDir()
	from, outside := top+"/from", top+"/outside"
	plant(t, outside, "f=secret solo=secret")
	plant(t, from, "dir/f=public solo=public hidden/f=secret hidden/solo=secret")
	plant(t, from, "l1->"+outside+" l2->"+outside+"/solo l3->hidden l4->hidden/solo l5->../outside")
	ignore, err := NewPatterns([]string{"hidden", "l?"})
	if err != nil {
		t.Fatal(err)
	}
	root := &Root{Dir: dirOf(t, from), Ignore: ignore, Shown: "x"}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		dir := int(root.Dir.Fd())
		for ctx.Err() == nil {
			for _, pair := range [][2]string{{"dir", "l1"}, {"solo", "l2"}, {"dir", "l3"}, {"solo", "l4"}, {"dir", "l5"}} {
				// Swapped, and swapped back.
				_ = unix.Renameat2(dir, pair[0], dir, pair[1], unix.RENAME_EXCHANGE)
				_ = unix.Renameat2(dir, pair[0], dir, pair[1], unix.RENAME_EXCHANGE)
			}
		}
	}()
	runs, done := 0, 0
	for ; ctx.Err() == nil; runs++ {
		to := top + "/to"
		if err := os.Mkdir(to, 0o755); err != nil {
			t.Fatal(err)
		}
		paths := []string{".", "dir/f", "solo", "d*/f", "dir"}
		c := &Copy{Items: []Item{{From: root, Path: paths[runs%len(paths)]}}, Dest: "/x/", WorkDir: "/"}
		if c.Write(t.Context(), Target{Root: dirOf(t, to)}, nil) == nil {
			done++
		}
		if got := tree(t, to); strings.Contains(got, "secret") {
			t.Fatalf("COPY %s: %s", c.Items[0].Path, got)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	<-stopped
	t.Logf("%d of %d copies got through", done, runs)
	if done == 0 || runs < 50 {
		t.Errorf("%d of %d copies got through: this tests too little", done, runs)
	}
}

// Links in the destination, which an image can have made, stay in its root.
func TestThreat21Destination(t *testing.T) {
	for _, c := range []struct{ into, dest string }{
		{"x->OUT", "/x/"},
		{"x->OUT", "/x/f"},
		{"x->OUT/f", "/x"},
		{"x->../../../../../../../../OUT", "/x/"},
		{"a/b->/OUT c->a/b/", "/c/new/"},
		{"f->OUT/f", "/"},
		{"d->OUT", "/"},
	} {
		top := t.TempDir()
		plant(t, top+"/outside", "f=old")
		plant(t, top+"/from", "f=new d/f=new")
		plant(t, top+"/to", strings.ReplaceAll(c.into, "OUT", top+"/outside"))
		root := &Root{Dir: dirOf(t, top+"/from"), Shown: "x"}
		for _, p := range []string{"f", "d", "."} {
			// Some are errors: a directory does not replace a link.
			_ = (&Copy{Items: []Item{{From: root, Path: p}}, Dest: c.dest, WorkDir: "/"}).Write(t.Context(), Target{Root: dirOf(t, top+"/to")}, nil)
		}
		if got := tree(t, top+"/outside"); got != "f=old" {
			t.Errorf("%s to %s: outside there is %s", c.into, c.dest, got)
		}
		if made, err := Mkdir(Target{Root: dirOf(t, top+"/to")}, "/x/y", MkdirOptions{}); err != nil && made {
			t.Error(err)
		}
		if got := tree(t, top+"/outside"); got != "f=old" {
			t.Errorf("mkdir: outside there is %s", got)
		}
	}
}

// What cannot be read by waiting for it is not waited for.
func TestPipesDoNotBlock(t *testing.T) {
	top := t.TempDir()
	plant(t, top+"/from", "p|")
	root := &Root{Dir: dirOf(t, top+"/from"), Shown: "x"}
	plant(t, top+"/to", "p|")
	c := &Copy{Items: []Item{{From: root, Path: "p", Unpack: true}}, Dest: "/", WorkDir: "/", Chown: "1:1"}
	if _, err := c.Digest(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Write(t.Context(), Target{Root: dirOf(t, top+"/to")}, nil); err != nil || tree(t, top+"/to") != "p|%1:1" {
		t.Errorf("%v: %s", err, tree(t, top+"/to"))
	}
}

func TestVeryDeep(t *testing.T) {
	top := t.TempDir()
	fd, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range deepest + 10 {
		err := unix.Mkdirat(fd, "d", 0o755)
		next, err1 := unix.Openat(fd, "d", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil || err1 != nil {
			t.Fatal(err, err1)
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < deepest*2 {
		t.Skip("too few descriptors")
	}
	c := &Copy{Items: []Item{{From: &Root{Dir: dirOf(t, top), Shown: "x"}, Path: "."}}}
	if _, err := c.Digest(t.Context()); err == nil || !strings.Contains(err.Error(), "levels deep") {
		t.Error(err)
	}
}

func FuzzCopy(f *testing.F) {
	for _, s := range [][2]string{{".", "/x"}, {"**/*", "a/../.."}, {"[", ""}, {"l*/../f", "l/x/"}, {"a/./b", "./."}, {"d/\\*", "//"}} {
		f.Add(s[0], s[1], false)
		f.Add(s[0], s[1], true)
	}
	top := f.TempDir()
	plant(f, top+"/from", "d/f=1 d/*=2 l->d up->../../.. d/self->.")
	plant(f, top+"/outside", "f=old")
	from := dirOf(f, top+"/from")
	f.Fuzz(func(t *testing.T, pattern, dest string, parents bool) {
		to, err := os.MkdirTemp(top, "to")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(to)
		plant(t, to, "l->"+top+"/outside x->../outside")
		c := &Copy{Items: []Item{{From: &Root{Dir: from, Shown: "x"}, Path: pattern}}, Dest: dest, WorkDir: "/w", Parents: parents}
		// Errors are fine; a crash, a loop and a way out are not.
		if c.Check() == nil {
			_ = c.Write(t.Context(), Target{Root: dirOf(t, to)}, nil)
		}
		if got := tree(t, top+"/outside"); got != "f=old" {
			t.Errorf("outside there is %s", got)
		}
	})
}
