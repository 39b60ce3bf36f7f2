package owners

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/wire"
)

// Role is the process's name as argv[0].
const Role = "sbx-owners"

// Descriptors that it is started with.
const (
	// controlFD is the socket on which it is told what to show. Its end, before that, is the
	// end of the process.
	controlFD = 3
	binaryFD  = 4 // what it was executed from
)

// kindShow is the only packet: an order, with /dev/fuse and the directory.
const kindShow = "show"

// order says how a directory is shown.
type order struct {
	UIDs, GIDs string   // Map.String
	Hidden     []string // paths that are not shown
}

// Fields implements wire.Message.
func (o *order) Fields(c *wire.Coder) {
	c.String(&o.UIDs)
	c.String(&o.GIDs)
	c.Strings(&o.Hidden)
}

// Main answers the kernel until the file system is mounted nowhere any more.
func Main() int {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, Role+":", err)
		return api.ExitFault
	}
	return 0
}

func serve() error {
	unix.CloseOnExec(controlFD)
	unix.Close(binaryFD)
	control, err := api.NewConn(os.NewFile(controlFD, "control"))
	if err != nil {
		return err
	}
	packet, err := control.Recv()
	if err == io.EOF {
		return nil // nobody needs us
	}
	if err != nil {
		return err
	}
	control.Close()
	var o order
	if err := packet.Decode(&o); err != nil {
		return err
	}
	if packet.Kind != kindShow || len(packet.Files) != 2 {
		return api.Errorf("show a directory", "", "an order %q with %d files", packet.Kind, len(packet.Files))
	}
	uids, err := parseMap(o.UIDs)
	if err != nil {
		return err
	}
	gids, err := parseMap(o.GIDs)
	if err != nil {
		return err
	}
	// Not crypto/rand, which would be a tenth of the small binary.
	var seed [8]byte
	if _, err := unix.Getrandom(seed[:], 0); err != nil {
		return os.NewSyscallError("getrandom", err)
	}
	device := int(packet.Files[0].Fd())
	t := newTree(int(packet.Files[1].Fd()), uids, gids, native.Uint64(seed[:]))
	t.hidden = o.Hidden
	// Each waits in the kernel, on a thread of its own.
	workers := max(2, min(runtime.NumCPU(), 8))
	done := make(chan error, workers)
	for range workers {
		go func() { done <- t.work(device) }()
	}
	defer packet.CloseFiles()
	return <-done
}

// work answers requests that come from /dev/fuse, one at a time.
func (t *tree) work(device int) error {
	in := make([]byte, requestSize)
	out := make([]byte, 0, outHeaderSize+128<<10)
	for {
		n, err := unix.Read(device, in)
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
		if _, err := unix.Write(device, answer); err != nil && err != unix.ENOENT && err != unix.ENODEV {
			return os.NewSyscallError("write /dev/fuse", err)
		}
	}
}
