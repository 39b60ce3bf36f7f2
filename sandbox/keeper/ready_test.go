package keeper

import (
	"encoding/json"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// stdout runs f with a pipe as descriptor 1 and returns what it wrote.
func stdout(t *testing.T, f func() error) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	saved, err := unix.FcntlInt(uintptr(unix.Stdout), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup2(int(w.Fd()), unix.Stdout); err != nil {
		t.Fatal(err)
	}
	failure := f()
	if err := unix.Dup2(saved, unix.Stdout); err != nil {
		t.Fatal(err)
	}
	unix.Close(saved)
	w.Close()
	if failure != nil {
		t.Error(failure)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The command line reads these lines with code of its own.
func TestWords(t *testing.T) {
	if got := stdout(t, Ready); got != "ready\n" {
		t.Errorf("%q", got)
	}
	cause := api.Errorf("map subordinate ids", "/etc/subuid", "no range\nfor you").WithHint("ask")
	line := stdout(t, func() error { return Refuse(cause) })
	var got struct{ Error *api.Error }
	if err := json.Unmarshal([]byte(line), &got); err != nil || *got.Error != *cause || line[len(line)-1] != '\n' {
		t.Errorf("%q: %v", line, err)
	}
}

func TestNobodyReads(t *testing.T) {
	stdout(t, func() error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		r.Close()
		defer w.Close()
		if err := unix.Dup2(int(w.Fd()), unix.Stdout); err != nil {
			return err
		}
		return Ready()
	})
}
