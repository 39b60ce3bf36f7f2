package keeper

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// Name is the keeper's argv[0].
const Name = "sbx-keeper"

// SupervisorEnv names the variable with the path of sbxd; SBX_DATA and SBX_RUN
// must be set too. StateDir is rootlesskit's state directory, below SBX_RUN.
const (
	SupervisorEnv = "SBXD"
	StateDir      = "rootlesskit"
)

// Main is the whole process; it returns its exit status. Standard output is the
// pipe to whoever waits for Ready, standard error is the log.
func Main() int {
	// Signals on a parent's death follow the thread, here and in our children.
	runtime.LockOSThread()
	s, err := prepare()
	if err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		if err := Refuse(err); err != nil {
			fmt.Fprintln(os.Stderr, "keeper: write to stdout:", err)
		}
		return 1
	}
	s.obey()
	if err := s.keep(); err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		return 1
	}
	return 0
}

// prepare does everything that must be there before the first supervisor, in
// the order in which a failure leaves the least behind: the socket comes last.
func prepare() (*supervisor, error) {
	if err := isolate(); err != nil {
		return nil, err
	}
	d, err := dirs.Find()
	if err != nil {
		return nil, err
	}
	s := &supervisor{exe: os.Getenv(SupervisorEnv), env: environment(os.Environ())}
	if s.exe == "" {
		return nil, api.Errorf("start the supervisor", "", "%s is not set", SupervisorEnv)
	}
	if err := keepNetns(filepath.Join(d.Run, StateDir, "netns"), d.Switch()); err != nil {
		// Sandboxes without a network do without it.
		fmt.Fprintln(os.Stderr, "keeper:", err)
	}
	if s.binary, err = sealedSelf(); err != nil {
		return nil, err
	}
	if s.socket, err = listen(d.Socket()); err != nil {
		return nil, err
	}
	if err := Ready(); err != nil {
		return nil, os.NewSyscallError("write", err)
	}
	// The pipe is somebody's who waits for the end of file, perhaps.
	return s, os.NewSyscallError("dup2", unix.Dup2(unix.Stderr, unix.Stdout))
}

// isolate makes the process one that inherits orphans but no descriptors and no
// terminal, and that ends with its parent.
func isolate() error {
	// Rootlesskit leaves a pipe open. Mark, not close: the Go runtime keeps
	// descriptors of its own, and reads them. Linux 5.11.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return os.NewSyscallError("close_range", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	// Rootlesskit has set this already; entering old namespaces clears it.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_PDEATHSIG", err)
	}
	// EPERM: it leads its session already.
	if _, err := unix.Setsid(); err != nil && !errors.Is(err, unix.EPERM) {
		return os.NewSyscallError("setsid", err)
	}
	return nil
}

func sealedSelf() (int, error) {
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return -1, err
	}
	defer exe.Close()
	binary, err := sys.SealedCopy("sbx", exe)
	if errors.Is(err, unix.EACCES) {
		return -1, api.Wrap("seal the executable", "", err).WithRemedy(remedy.Memfd())
	}
	if err != nil {
		return -1, err
	}
	// For the life of the process: the finalizer of binary must not close it.
	fd, err := unix.FcntlInt(binary.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	return fd, binary.Close()
}

// obey passes requests to stop on to the supervisor.
func (s *supervisor) obey() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for sig := range signals {
			if num, ok := sig.(syscall.Signal); ok {
				s.stop(num)
			}
		}
	}()
}
