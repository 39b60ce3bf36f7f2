package etc

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watched is a Watcher whose calls arrive in a channel.
func watched(t *testing.T, path string) (first string, calls <-chan string) {
	t.Helper()
	c := make(chan string, 100)
	w, data, err := Watch(path, func(b []byte) { c <- string(b) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return string(data), c
}

func next(t *testing.T, calls <-chan string, want string) {
	t.Helper()
	select {
	case got := <-calls:
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("nothing happens, want %q", want)
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// As systemd and NetworkManager have it: a link in /etc to a file in /run that is
// replaced, as the link is, and the directory.
func TestWatchLink(t *testing.T) {
	dir := t.TempDir()
	etc, run, file := filepath.Join(dir, "etc"), filepath.Join(dir, "run/systemd/resolve"), "resolv.conf"
	do(t, os.MkdirAll(etc, 0o755))
	path := filepath.Join(etc, file)
	do(t, os.Symlink("../run/systemd/resolve/"+file, path))
	first, calls := watched(t, path)
	if first != "" {
		t.Errorf("of a link to nowhere: %q", first)
	}
	do(t, os.MkdirAll(run, 0o755))
	time.Sleep(3 * settle) // so that the directory is found before the file
	put(t, filepath.Join(run, file), "one")
	next(t, calls, "one")
	put(t, filepath.Join(run, "new"), "two")
	do(t, os.Rename(filepath.Join(run, "new"), filepath.Join(run, file)))
	next(t, calls, "two")
	put(t, filepath.Join(run, file), "three") // in place
	next(t, calls, "three")
	do(t, os.RemoveAll(filepath.Join(dir, "run")))
	next(t, calls, "")
	do(t, os.MkdirAll(run, 0o755))
	put(t, filepath.Join(run, file), "four")
	next(t, calls, "four")
	put(t, filepath.Join(dir, "other"), "five")
	do(t, os.Symlink("../other", path+".new"))
	do(t, os.Rename(path+".new", path))
	next(t, calls, "five")
	put(t, filepath.Join(dir, "other"), "six")
	next(t, calls, "six")
	do(t, os.Remove(path))
	next(t, calls, "")
	put(t, path, "seven")
	next(t, calls, "seven")
}

// A burst of changes is one, and what changes nothing is none.
func TestWatchSettles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	put(t, path, "start")
	first, calls := watched(t, path)
	if first != "start" {
		t.Errorf("first %q", first)
	}
	put(t, path, "start")
	put(t, path+".other", "noise")
	for try := 1; ; try++ {
		start := time.Now()
		for i := range 20 {
			put(t, path, string(rune('a'+i)))
		}
		if time.Since(start) < settle/2 {
			break
		}
		if try == 20 {
			t.Fatal("twenty writes never are a burst here")
		}
		// The disk had something else to do: those were several bursts.
		time.Sleep(2*burst + settle)
		for len(calls) > 0 {
			<-calls
		}
		put(t, path, "start")
		next(t, calls, "start")
	}
	next(t, calls, "t")
	time.Sleep(3 * settle)
	if len(calls) != 0 {
		t.Errorf("called again with %q", <-calls)
	}
	// A directory that never rests holds the news up for a burst, not for ever.
	put(t, path, "news")
	deadline := time.After(5 * time.Second)
	for {
		put(t, path+".other", "noise")
		select {
		case got := <-calls:
			if got != "news" {
				t.Errorf("got %q", got)
			}
			return
		case <-deadline:
			t.Fatal("nothing happens")
		case <-time.After(settle / 10):
		}
	}
}

func TestWatchCannotRead(t *testing.T) {
	if w, _, err := Watch(t.TempDir(), func([]byte) {}); err == nil {
		w.Close()
		t.Error("watches a directory")
	}
	file := filepath.Join(t.TempDir(), "big")
	put(t, file, string(make([]byte, 2*largest)))
	if first, _ := watched(t, file); len(first) != largest {
		t.Errorf("read %d bytes", len(first))
	}
}
