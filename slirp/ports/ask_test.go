package ports

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

func TestHolderIsKnownOutside(t *testing.T) {
	run := t.TempDir()
	if got := askParent(run, "1"); got != "" {
		t.Errorf("nobody answers, and says %q", got)
	}
	stop, err := AnswerHolders(run)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inode, uid := lookup("/proc/thread-self/net/tcp", Forward{Proto: TCP, Port: uint16(l.Addr().(*net.TCPAddr).Port)})
	if inode == "" || uid != fmt.Sprint(os.Getuid()) {
		t.Fatalf("inode %q, uid %q", inode, uid)
	}
	if got, want := askParent(run, inode), fmt.Sprintf("(pid %d)", os.Getpid()); !strings.HasSuffix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := askParent(run, "18446744073709551615"); got != "" {
		t.Errorf("a socket that nobody has: %q", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(run); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[31m\x7fé"); got != "a?[31m?é" {
		t.Errorf("%q", got)
	}
}
