package binfmt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// second is the other ABI that processors have beside their own. The kernel would
// execute its programs, but the filter of sandboxes knows none of its system calls: they
// take QEMU like those of any other processor.
var second = map[string]string{"amd64": "386", "arm64": "arm"}

// emulated says whether QEMU is registered for a processor.
func emulated(arch string) bool {
	list, err := registered()
	return err == nil && slices.ContainsFunc(list, func(f format) bool {
		return f.name == ours+arch || strings.TrimSuffix(filepath.Base(f.interpreter), "-static") == Emulator(arch)
	})
}

// patience bounds a try: a machine that is busy, and emulates all of it.
const patience = 20 * time.Second

// Try executes a program for a processor, one of Known. Without an error it was executed,
// and would be in a sandbox.
func Try(ctx context.Context, arch string) error {
	m, ok := machines[arch]
	if !ok {
		return fmt.Errorf("execute a program for %s: %w", arch, errors.ErrUnsupported)
	}
	if arch == second[runtime.GOARCH] && !emulated(arch) {
		return fmt.Errorf("execute a program for %s: sandboxes have none of its system calls: %w", arch, unix.ENOEXEC)
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
