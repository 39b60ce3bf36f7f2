package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// readPipe makes a pipe whose reading end is ours. os.Pipe would make both ends
// non-blocking, which the program that gets the other one does not expect.
func readPipe() (ours, theirs *os.File, err error) {
	return newPipe(0)
}

// writePipe makes a pipe whose writing end is ours.
func writePipe() (ours, theirs *os.File, err error) {
	return newPipe(1)
}

func newPipe(our int) (ours, theirs *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	// A non-blocking file takes deadlines.
	if err := unix.SetNonblock(fds[our], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	return os.NewFile(uintptr(fds[our]), "pipe"), os.NewFile(uintptr(fds[1-our]), "pipe"), nil
}
