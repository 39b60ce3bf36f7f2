package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/build"
	"sbx/internal/dirs"
	"sbx/sandbox"
	"sbx/sandbox/keeper"
)

// idleDefault is how long a supervisor without a sandbox waits for the next
// command. SBX_IDLE says something else ("10s").
const idleDefault = time.Minute

func supervise(ctx context.Context) error {
	d, err := dirs.Find()
	if err != nil {
		return err
	}
	idle := idleDefault
	if word := os.Getenv("SBX_IDLE"); word != "" {
		if idle, err = time.ParseDuration(word); err != nil {
			return api.Wrap("read SBX_IDLE", word, err)
		}
	}
	// Not that of whoever typed the first command: sandboxes are made alike, and their
	// programs start with it.
	unix.Umask(0o022)
	for _, fd := range []int{keeper.ListenFD, keeper.ExecFD} {
		unix.CloseOnExec(fd)
	}
	if err := unix.SetNonblock(keeper.ListenFD, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	builder, err := build.New(d, log)
	if err != nil {
		return err
	}
	return sandbox.Serve(ctx, sandbox.Options{
		Dirs:   d,
		Listen: os.NewFile(keeper.ListenFD, d.Socket()),
		Binary: os.NewFile(keeper.ExecFD, "sbx"),
		Idle:   idle,
		// For tests, and for a file system on which the other one is better.
		Overlay: os.Getenv("SBX_OVERLAY"),
		Log:     log,
		Verbs:   builder.Verbs(),
		Cache:   builder.Usage,
	})
}
