package sys

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestScriptRunsItsCallsInOrder(t *testing.T) {
	var s Script
	pipe := new([2]int32)
	s.Call("pipe2", unix.SYS_PIPE2, Pointer(&s, pipe), unix.O_CLOEXEC)
	first, second := new([3]byte), new([3]byte)
	copy(first[:], "one")
	copy(second[:], "two")
	s.CallIgnoring([2]syscall.Errno{unix.EBADF}, "close", unix.SYS_CLOSE, ^uintptr(0))
	runtime.GC() // what the calls point to must survive
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(pipe[0]), "r"), os.NewFile(uintptr(pipe[1]), "w")
	defer r.Close()
	defer w.Close()
	var next Script
	next.Call("write", unix.SYS_WRITE, w.Fd(), Pointer(&next, first), 3)
	next.Call("write", unix.SYS_WRITE, w.Fd(), Pointer(&next, second), 3)
	next.CallIgnoring([2]syscall.Errno{unix.EBADF, unix.EINVAL}, "fchdir", unix.SYS_FCHDIR, r.Fd())
	next.Call("never", unix.SYS_CLOSE, r.Fd())
	err := next.Run()
	var failed *os.SyscallError
	if !errors.As(err, &failed) || failed.Syscall != "fchdir" || failed.Err != unix.ENOTDIR {
		t.Errorf("the third call: %v", err)
	}
	text := make([]byte, 10)
	if n, err := r.Read(text); err != nil || string(text[:n]) != "onetwo" {
		t.Errorf("the pipe holds %q, %v", text[:n], err)
	}
}

func TestEmptyScript(t *testing.T) {
	if err := (&Script{}).Run(); err != nil {
		t.Error(err)
	}
}

func TestScriptCallsOnResults(t *testing.T) {
	var s Script
	path := append([]byte(t.TempDir()+"/file"), 0)
	text := []byte("text")
	cwd := unix.AT_FDCWD
	s.Call("openat", unix.SYS_OPENAT, uintptr(cwd), Pointer(&s, &path[0]), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	s.CallOn("write", unix.SYS_WRITE, Pointer(&s, &text[0]), uintptr(len(text)))
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(string(path[:len(path)-1])); string(got) != "text" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}
