package main

import (
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"sbx/internal/dirs"
	"sbx/slirp/ports"
)

// publish is the process that forwards published ports. A supervisor has started
// it; it outlives that one, and us all.
func publish() error {
	d, err := dirs.Find()
	if err != nil {
		return err
	}
	// By this name ss -p knows who listens, where "exe" would tell nothing.
	if err := os.WriteFile("/proc/self/comm", []byte("sbxd-ports"), 0); err != nil {
		return err
	}
	for _, fd := range []int{ports.ListenFD, ports.SwitchFD} {
		unix.CloseOnExec(fd)
	}
	if err := unix.SetNonblock(ports.ListenFD, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	return ports.Serve(os.NewFile(ports.ListenFD, "ports.sock"), os.NewFile(ports.SwitchFD, "switch"),
		d.Run, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}
