package delegate

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// alone makes the sockets in dir the only ones: the user's own manager, if there is
// one, is another matter.
func alone(t *testing.T, dir string) []place {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	var ours []place
	for _, p := range places() {
		if strings.HasPrefix(p.path, dir) {
			ours = append(ours, p)
		}
	}
	return ours
}

// silent listens and takes connections, as a daemon that hangs does, or a stopped
// one.
func silent(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func TestHungManagerHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	silent(t, filepath.Join(dir, "bus"))
	silent(t, filepath.Join(dir, "systemd/private"))
	list := alone(t, dir)
	if len(list) != 2 || list[0].bus || !list[1].bus {
		t.Fatal("the bus comes last", list)
	}
	began := time.Now()
	err := ask(t.Context(), func(context.Context, *manager) error { t.Error("an answer?"); return nil })
	if !errors.Is(err, errHangs) || !strings.HasSuffix(err.Error(), "has not answered in time at "+list[0].path) {
		t.Error(err)
	}
	if took := time.Since(began); took > answerPatience+time.Second {
		t.Errorf("it took %v", took)
	}
	if h := (tree{}).none(err); h.Exists() || !strings.Contains(h.Why, "has not answered") || h.Text == "" {
		t.Errorf("%+v", h)
	}
}

func TestOtherDaemonsAreNoManager(t *testing.T) {
	dir := t.TempDir()
	if p := alone(t, dir); len(p) > 0 {
		t.Fatal(p)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			_, _ = c.Write([]byte("220 smtp\r\n"))
			c.Close()
		}
	}()
	p := alone(t, dir)
	if len(p) != 1 {
		t.Fatal(p)
	}
	err = askAt(t.Context(), p[0], func(context.Context, *manager) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "talk to your service manager") {
		t.Error(err)
	}
	<-done
	// Closed, the socket's file stays: nobody listens.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if err = askAt(t.Context(), p[0], nil); err != errNoManager {
		t.Error(err)
	}
}

func TestAddressesOfBuses(t *testing.T) {
	dir := t.TempDir()
	silent(t, filepath.Join(dir, "own"))
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "tcp:host=localhost,port=1;unixexec:path=/bin/false;unix:path=relative;unix:path="+dir+"/own,guid=12")
	list := places()
	if !slices.Contains(list, place{dir + "/own", true}) {
		t.Error(list)
	}
	for _, p := range list {
		if !filepath.IsAbs(p.path) {
			t.Error(p)
		}
	}
}
