package owners

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Role is the process's name as argv[0]; its arguments are the maps of user and group
// ids, and the paths that are not shown.
const Role = "sbx-owners"

// Descriptors that it is started with.
const (
	deviceFD = 3 // /dev/fuse
	rootFD   = 4 // the directory that is shown
	binaryFD = 5 // what it was executed from
)

// Main answers the kernel until the file system is mounted nowhere any more.
func Main() int {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, Role+":", err)
		return api.ExitFault
	}
	return 0
}

func serve(args []string) error {
	unix.Close(binaryFD)
	if len(args) < 2 {
		return api.Errorf("show a directory", "", "usage: UIDS GIDS [HIDDEN...]")
	}
	uids, err := parseMap(args[0])
	if err != nil {
		return err
	}
	gids, err := parseMap(args[1])
	if err != nil {
		return err
	}
	// Not crypto/rand, which would be a tenth of the small binary.
	var seed [8]byte
	if _, err := unix.Getrandom(seed[:], 0); err != nil {
		return os.NewSyscallError("getrandom", err)
	}
	t := newTree(rootFD, uids, gids, native.Uint64(seed[:]))
	t.hidden = args[2:]
	// Each waits in the kernel, on a thread of its own.
	workers := max(2, min(runtime.NumCPU(), 8))
	done := make(chan error, workers)
	for range workers {
		go func() { done <- t.work() }()
	}
	return <-done
}

// work answers requests, one at a time.
func (t *tree) work() error {
	in := make([]byte, requestSize)
	out := make([]byte, 0, outHeaderSize+128<<10)
	for {
		n, err := unix.Read(deviceFD, in)
		switch err {
		case nil:
		case unix.EINTR, unix.EAGAIN, unix.ENOENT: // ENOENT: the request was taken back
			continue
		case unix.ENODEV: // unmounted
			return nil
		default:
			return os.NewSyscallError("read /dev/fuse", err)
		}
		r, ok := parse(in[:n])
		if !ok {
			return api.Errorf("read", "/dev/fuse", "a packet of %d bytes that is none", n)
		}
		answer := t.answer(&r, out)
		if answer == nil {
			continue
		}
		// ENOENT: nobody waits for it any more; ENODEV comes with the next read.
		if _, err := unix.Write(deviceFD, answer); err != nil && err != unix.ENOENT && err != unix.ENODEV {
			return os.NewSyscallError("write /dev/fuse", err)
		}
	}
}
