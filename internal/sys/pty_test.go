package sys

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenPty(t *testing.T) {
	ptmx, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer unix.Close(ptmx)
	fd, err := OpenPty(ptmx)
	if err != nil {
		t.Fatal(err)
	}
	terminal := os.NewFile(uintptr(fd), "tty")
	defer terminal.Close()
	if flags, err := unix.FcntlInt(terminal.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the terminal would be inherited: %v", err)
	}
	buf := make([]byte, 100)
	if _, err := terminal.WriteString("out\n"); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Read(ptmx, buf); err != nil || string(buf[:max(n, 0)]) != "out\r\n" {
		t.Errorf("the master reads %q, %v", buf[:max(n, 0)], err)
	}
	if _, err := unix.Write(ptmx, []byte("in\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := terminal.Read(buf); err != nil || string(buf[:n]) != "in\n" {
		t.Errorf("the terminal reads %q, %v", buf[:n], err)
	}
	if err := SetWinsize(ptmx, 33, 101); err != nil {
		t.Fatal(err)
	}
	if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err != nil || size.Row != 33 || size.Col != 101 {
		t.Errorf("size %+v, %v", size, err)
	}
}

func TestOpenPtyOfSomethingElse(t *testing.T) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	if fd, err := OpenPty(null); !errors.Is(err, unix.ENOTTY) || fd != -1 {
		t.Errorf("got %d, %v", fd, err)
	}
	if err := SetWinsize(null, 1, 1); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("a size for /dev/null: %v", err)
	}
}
