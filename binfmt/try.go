package binfmt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// Known says whether it can be tried if programs for a processor are executed.
func Known(arch string) bool {
	_, ok := machines[arch]
	return ok
}

// patience bounds a try: a machine that is busy, and emulates all of it.
const patience = 20 * time.Second

// Try executes a program for a processor, one of Known. Without an error it was executed.
func Try(ctx context.Context, arch string) error {
	m, ok := machines[arch]
	if !ok {
		return fmt.Errorf("execute a program for %s: %w", arch, errors.ErrUnsupported)
	}
	f, err := sys.SealedCopy("probe", bytes.NewReader(m.probe()))
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// An interpreter opens it by its name, so that it must not be closed by then.
	c := exec.CommandContext(ctx, "/proc/self/fd/3")
	c.ExtraFiles = []*os.File{f}
	c.Env = []string{}
	runtime.LockOSThread() // Pdeathsig follows the thread
	defer runtime.UnlockOSThread()
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	err = c.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == probeStatus:
		return nil
	case err == nil:
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("execute a program for %s: %w", arch, err)
}
