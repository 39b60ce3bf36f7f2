package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func TestWriteJSONReplacesTheWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	put(t, path+".new", strings.Repeat("left by a crash", 10_000))
	states := []api.Status{{State: api.Running, PID: 1}, {State: api.Exited, Error: strings.Repeat("e", 50_000)}}
	if err := writeJSON(path, &states[0], true); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := writeJSON(path, &states[i%2], false); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 500 {
		var got api.Status
		if err := readJSON(path, &got); err != nil || got != states[0] && got != states[1] {
			t.Errorf("read %v", err)
			break
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if exists(path + ".new") {
		t.Error("the temporary file is left")
	}
}

func TestWriteJSONFailsWithoutAChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	put(t, path, `"old"`)
	put(t, dir+"/victim", "victim")
	if err := writeJSON(path, make(chan int), true); err == nil {
		t.Error("what cannot be encoded was written")
	}
	if err := os.Symlink("victim", path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(path, "new", true); !errors.Is(err, unix.ELOOP) {
		t.Errorf("by way of a link: %v", err)
	}
	if err := writeJSON(dir+"/missing/config.json", "new", true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a missing directory: %v", err)
	}
	for name, want := range map[string]string{"config.json": `"old"`, "victim": "victim"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
