package keeper

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors of the supervisor, beside the standard ones.
const (
	ListenFD = 3 // listening SOCK_SEQPACKET socket, non-blocking
	ExecFD   = 4 // sealed copy of the small binary, for monitors and pid 1
)

// supervisor is the process that the keeper exists for.
type supervisor struct {
	exe    string // sbxd
	env    []string
	socket *socket
	binary int // descriptor of the sealed executable

	mu       sync.Mutex // of the rest, which the signal handler uses too
	pid      int
	stopping bool
}

// keep runs the supervisor until it says that it is no longer needed, is told to
// stop, or crashes too often. All children of the process are reaped meanwhile.
func (s *supervisor) keep() error {
	var crashes restarts
	for {
		status, err := s.runOnce()
		if s.isStopping() {
			_, err := s.socket.withdraw()
			return err
		}
		cause := describe(status, err)
		if err == nil && status.Exited() && status.ExitStatus() == 0 {
			if gone, err := s.socket.withdraw(); gone || err != nil {
				return err
			}
			// Counted as a crash, lest one that never accepts is started for ever.
			cause = "left while a client connected"
		}
		if crashes.add(time.Now()) {
			// Clients that wait see their connection reset, later ones a socket
			// that nobody listens on: they start anew.
			return fmt.Errorf("supervisor: %s; more than %d times within %v, giving up", cause, maxCrashes, crashWindow)
		}
		fmt.Fprintf(os.Stderr, "keeper: supervisor: %s; starting it again\n", cause)
	}
}

func describe(status syscall.WaitStatus, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case status.Signaled():
		return "killed by signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// runOnce starts the supervisor and waits for its end.
func (s *supervisor) runOnce() (syscall.WaitStatus, error) {
	pid, err := s.start()
	if err != nil {
		return 0, err
	}
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return 0, os.NewSyscallError("wait4", err)
		case got == pid: // every other one was an orphan
			s.mu.Lock()
			s.pid = 0
			s.mu.Unlock()
			return status, nil
		}
	}
}

func (s *supervisor) start() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return 0, unix.ECANCELED
	}
	pid, err := syscall.ForkExec(s.exe, []string{"sbxd", "supervisor"}, &syscall.ProcAttr{
		Env:   s.env,
		Files: []uintptr{0, 2, 2, ListenFD: uintptr(s.socket.fd), ExecFD: uintptr(s.binary)},
		// Two supervisors at a time would write the same files: it must not
		// outlive the keeper. The signal comes when this thread ends, so Main
		// has locked it.
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, &os.PathError{Op: "exec", Path: s.exe, Err: err}
	}
	s.pid = pid
	return pid, nil
}

// stop passes a signal on; the supervisor's end is then the keeper's too.
func (s *supervisor) stop(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	if s.pid != 0 {
		// ESRCH is all that can come: it has ended, and is about to be reaped.
		_ = syscall.Kill(s.pid, sig)
	}
}

func (s *supervisor) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// environment without what rootlesskit leaves in it.
func environment(env []string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, "_ROOTLESSKIT_") && !strings.HasPrefix(v, "_SBX_") && !strings.HasPrefix(v, "LISTEN_") {
			kept = append(kept, v)
		}
	}
	return kept
}
