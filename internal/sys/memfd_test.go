package sys

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSealedCopyExecutes(t *testing.T) {
	f, err := SealedCopy("copy", self(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	cmd.Env = []string{role + "=seventeen"}
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 17 {
		t.Errorf("it ended with %v", err)
	}
	got := ask(t, &Entry{Exe: f, Args: []string{"by descriptor"}})
	if len(got.Args) != 1 || got.Args[0] != "by descriptor" {
		t.Errorf("its arguments are %q", got.Args)
	}
}

// CVE-2019-5736: nothing may change what the host runs next.
func TestSealedCopyCannotBeChanged(t *testing.T) {
	const text = "#!/bin/true\n"
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString(text); err != nil {
		t.Fatal(err)
	}
	w.Close()
	f, err := SealedCopy("copy", r)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for name, f := range map[string]*os.File{"descriptor": f, "reopened": again} {
		fd := int(f.Fd())
		_, writing := unix.Pwrite(fd, []byte("x"), 0)
		_, growing := unix.Pwrite(fd, []byte("x"), int64(len(text)))
		memory, mapping := unix.Mmap(fd, 0, len(text), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if mapping == nil {
			_ = unix.Munmap(memory)
		}
		_, sealing := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
		for try, err := range map[string]error{
			"write": writing, "grow by writing": growing, "map writable": mapping, "seal": sealing,
			"shrink": unix.Ftruncate(fd, 1), "grow": unix.Ftruncate(fd, 100),
			"punch a hole": unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096),
		} {
			if err != unix.EPERM {
				t.Errorf("%s, %s: %v, want EPERM", name, try, err)
			}
		}
	}
	if got, err := io.ReadAll(again); err != nil || string(got) != text {
		t.Errorf("contents %q, %v", got, err)
	}
}

func TestSealedCopyOfAnUnreadableFile(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if f, err := SealedCopy("copy", dir); err == nil || f != nil {
		t.Errorf("got %v, %v", f, err)
	}
}
