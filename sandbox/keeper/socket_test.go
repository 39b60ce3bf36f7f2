package keeper

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func newSocket(t *testing.T, path string) *socket {
	t.Helper()
	s, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

func dial(t *testing.T, path string) *api.Conn {
	t.Helper()
	c, err := api.Dial(path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSocketIsPrivateAndReplacesStaleOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	first := newSocket(t, path)
	unix.Close(first.fd) // as a kill -9 does: the name stays
	s := newSocket(t, path)
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	dial(t, path)
	if !s.pending() {
		t.Error("the client is not seen")
	}
	if umask := unix.Umask(0o22); umask == 0o177 {
		t.Error("umask was not restored")
	} else {
		unix.Umask(umask)
	}
}

func TestSocketPathLongerThanSunPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sock")
	s := newSocket(t, path)
	dial(t, path)
	if !s.pending() {
		t.Error("the client is not seen")
	}
}

func TestWithdraw(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	s := newSocket(t, path)
	client := dial(t, path)
	if gone, err := s.withdraw(); gone || err != nil {
		t.Fatalf("with a client: %v %v", gone, err)
	}
	dial(t, path) // the name is still good
	for range 2 {
		fd, _, err := unix.Accept4(s.fd, unix.SOCK_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
	if _, err := client.Recv(); err == nil {
		t.Error("the first client was not the one accepted")
	}
	if gone, err := s.withdraw(); !gone || err != nil {
		t.Fatalf("without a client: %v %v", gone, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left %v %v", left, err)
	}
}

// A keeper that is late to leave must not take the socket of the next one.
func TestWithdrawLeavesTheSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	old := newSocket(t, path)
	next := newSocket(t, path)
	if gone, err := old.withdraw(); !gone || err != nil {
		t.Fatalf("%v %v", gone, err)
	}
	dial(t, path)
	if !next.pending() {
		t.Error("the client is not seen")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if gone, err := next.withdraw(); gone || err != nil {
		t.Errorf("removed, but with a client: %v %v", gone, err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
