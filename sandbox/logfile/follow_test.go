package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// follower is a Read with Follow in the background.
type follower struct {
	t      *testing.T
	done   chan struct{}
	cancel context.CancelFunc
	result chan error
	lines  chan string // of standard output
	errOut bytes.Buffer
}

func follow(t *testing.T, dir string, o ReadOptions) *follower {
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{t: t, done: make(chan struct{}), cancel: cancel, result: make(chan error, 1), lines: make(chan string, 1<<20)}
	o.Follow = true
	go func() {
		err := Read(ctx, dir, o, &lineChan{to: f.lines}, &f.errOut, f.done)
		close(f.lines)
		f.result <- err
	}()
	return f
}

// lineChan sends each line without its newline.
type lineChan struct {
	to   chan string
	rest []byte
}

func (l *lineChan) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.to <- string(line)
		l.rest = rest
	}
}

// expect waits for the next lines.
func (f *follower) expect(want ...string) {
	f.t.Helper()
	for _, w := range want {
		select {
		case got, ok := <-f.lines:
			if !ok || got != w {
				f.t.Fatalf("got %q, want %q", got, w)
			}
		case <-time.After(time.Minute):
			f.t.Fatalf("no line, want %q", w)
		}
	}
}

// ends waits for the end, with no line in between.
func (f *follower) ends(want error) {
	f.t.Helper()
	select {
	case line, ok := <-f.lines:
		if ok {
			f.t.Fatalf("unexpected line %q", line)
		}
	case <-time.After(time.Minute):
		f.t.Fatal("does not end")
	}
	if err := <-f.result; !errors.Is(err, want) {
		f.t.Errorf("error %v, want %v", err, want)
	}
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	f := follow(t, dir, everything) // before there is a log
	w := create(t, dir, Options{})
	write(t, w.Stream("stdout"), "one\ntw")
	f.expect("one")
	write(t, w.Stream("stdout"), "o\n")
	f.expect("two")
	write(t, w.Stream("stdout"), "three\n")
	close(f.done)
	f.expect("three")
	f.ends(nil)
}

func TestFollowTail(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, Options{})
	write(t, w.Stream("stdout"), "one\ntwo\nthree\n")
	one := follow(t, dir, ReadOptions{Tail: 1})
	one.expect("three")
	// With nothing to expect first, only what its end brings shows that it began.
	none := follow(t, dir, ReadOptions{Tail: 0, Until: time.Now().Add(time.Hour)})
	close(none.done)
	none.ends(nil)
	write(t, w.Stream("stdout"), "four\n")
	one.expect("four")
	one.cancel()
	one.ends(context.Canceled)
}

func TestFollowEndsAtUntil(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, Options{})
	write(t, w.Stream("stdout"), "one\n")
	f := follow(t, dir, ReadOptions{Tail: -1, Until: time.Now().Add(50 * time.Millisecond)})
	f.expect("one")
	f.ends(nil)
}

func TestFollowEndsWithTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sandbox")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := Create(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, dir, everything)
	write(t, w.Stream("stdout"), "one\n")
	f.expect("one")
	write(t, w.Stream("stdout"), "two\n")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	f.expect("two")
	f.ends(nil)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestFollowEmptiedLog(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, Options{})
	f := follow(t, dir, everything)
	write(t, w.Stream("stdout"), "a long line before\n")
	f.expect("a long line before")
	if err := os.Truncate(filepath.Join(dir, "log"), 0); err != nil {
		t.Fatal(err)
	}
	write(t, w.Stream("stdout"), "after\n")
	f.expect("after")
	close(f.done)
	f.ends(nil)
}

func TestFollowOfNothing(t *testing.T) {
	err := Read(t.Context(), filepath.Join(t.TempDir(), "none"), ReadOptions{Follow: true}, io.Discard, io.Discard, nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// Two programs print, files rotate away under several followers and readers:
// none of them may lose, repeat, split or reorder a line.
func TestRotationUnderFollowers(t *testing.T) {
	const count = 20000
	dir := t.TempDir()
	w := create(t, dir, Options{MaxSize: 20 << 10, MaxFile: 10000})
	followers := []*follower{follow(t, dir, everything), follow(t, dir, everything)}

	var writers sync.WaitGroup
	for _, name := range []string{"stdout", "stderr"} {
		writers.Go(func() {
			for i := range count {
				// In two parts, now and then.
				line := fmt.Sprintf("%s %d\n", name, i)
				cut := len(line)
				if i%7 == 0 {
					cut = i % cut
				}
				write(t, w.Stream(name), line[:cut])
				write(t, w.Stream(name), line[cut:])
			}
		})
	}
	for range 10 {
		var out strings.Builder
		if err := Read(t.Context(), dir, everything, &out, io.Discard, make(chan struct{})); err != nil {
			t.Error(err)
		}
		text := out.String()
		if want := numbered("stdout", strings.Count(text, "\n")); text[:strings.LastIndexByte(text, '\n')+1] != want {
			t.Error("a reader got other lines than the first ones")
		}
	}
	writers.Wait()
	for _, f := range followers {
		close(f.done)
		for i := range count {
			f.expect(fmt.Sprintf("stdout %d", i))
		}
		f.ends(nil)
		equal(t, "stderr", f.errOut.String(), numbered("stderr", count))
	}
	if n := len(names(t, dir)); n < 20 {
		t.Errorf("only %d files", n)
	}
}

func numbered(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s %d\n", name, i)
	}
	return b.String()
}
