package fuseoverlay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// Program is the name of fuse-overlayfs, which is searched for in $PATH.
const Program = "fuse-overlayfs"

// Layers are the directories that an overlay shows as one.
type Layers struct {
	Dir      string   // what names are relative to
	Lower    []string // top first
	Upper    string   // where changes go; empty: it is read-only
	Work     string   // on the same file system as Upper
	Volatile bool     // nothing of it will be needed after a crash
}

// Server is a process that serves a mount. It ends with the last use of the mount.
type Server struct {
	PID     int
	process *os.Process
	said    *os.File // what it has said
}

// Find gives the path of fuse-overlayfs, or what is missing for its use.
func Find() (string, error) {
	path, err := exec.LookPath(Program)
	if err != nil {
		return "", api.Errorf("find", Program, "it is not in $PATH").WithRemedy(remedy.FuseOverlayfs())
	}
	device, err := openDevice()
	if err != nil {
		return "", err
	}
	return path, device.Close()
}

func openDevice() (*os.File, error) {
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		return device, nil
	}
	e := api.Wrap("open", "/dev/fuse", err)
	switch {
	case errors.Is(err, unix.EACCES):
		e.WithRemedy(remedy.FuseDevice())
	default:
		e.WithRemedy(remedy.FuseModule())
	}
	return nil, e
}

// Mount has the program at path serve a mount, attached nowhere yet, and waits until
// it can be used. Close it with unix.Close; the server must be waited for. It goes on
// when the caller dies.
//
// Unlike an overlay of the kernel's, the file system belongs to the caller's user
// namespace: whoever the mount is given to sees the ids that the caller has. The
// caller has CAP_SYS_ADMIN there. Linux 5.2.
func Mount(path string, l *Layers) (mount int, _ *Server, err error) {
	if l.Upper != "" {
		if err := colon(filepath.Join(l.Dir, l.Upper)); err != nil {
			return -1, nil, err
		}
	}
	device, err := openDevice()
	if err != nil {
		return -1, nil, err
	}
	defer device.Close()
	// allow_other means the users of this namespace and of those below it.
	mount, err = sys.NewMount("fuse", sys.NODEV,
		[2]string{"fd", fmt.Sprint(device.Fd())}, [2]string{"rootmode", "40000"}, [2]string{"user_id", "0"}, [2]string{"group_id", "0"},
		[2]string{"allow_other", ""}, [2]string{"default_permissions", ""}, [2]string{"source", Program}, [2]string{"subtype", Program})
	if err != nil {
		e := api.Wrap("mount", Program, err)
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
			e.WithHint("FUSE in a user namespace needs a container and a security module that allow it")
		}
		return -1, nil, e
	}
	server, err := start(path, l, device)
	if err == nil {
		// Ours must not be the one that keeps the kernel waiting for an answer.
		device.Close()
		if err = server.await(mount); err == nil {
			return mount, server, nil
		}
	}
	unix.Close(mount)
	return -1, nil, err
}

// colon says that the program cannot use an upper directory: it makes the path whole,
// and takes it apart at colons then.
func colon(upper string) error {
	real, err := filepath.EvalSymlinks(upper)
	if err != nil {
		return api.Wrap("mount", Program, err)
	}
	if strings.Contains(real, ":") {
		return api.Errorf("mount", Program, "it takes the colon in %s for a separator", real).WithHint("set SBX_DATA to a path without one")
	}
	return nil
}

// start executes the program, which takes the number of a descriptor for a mount
// point that has been mounted already (fuse(8), "/dev/fd/N"; libfuse 3.3).
func start(path string, l *Layers, device *os.File) (*Server, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	fd, err := unix.MemfdCreate(Program, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	said := os.NewFile(uintptr(fd), Program)
	p, err := os.StartProcess(path, []string{Program, "-f", "-o", l.options(), "/dev/fd/3"}, &os.ProcAttr{
		Dir: l.Dir, Env: []string{"PATH=" + os.Getenv("PATH")},
		Files: []*os.File{null, null, said, device},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		said.Close()
		return nil, api.Wrap("start", path, err)
	}
	return &Server{PID: p.Pid, process: p, said: said}, nil
}

// options are those of fuse-overlayfs(1). Without writeback=0 a change would reach
// the upper directory, which others read too, at some later time.
func (l *Layers) options() string {
	o := "writeback=0,lowerdir=" + strings.Join(l.Lower, ":")
	if l.Upper != "" {
		o += ",upperdir=" + l.Upper + ",workdir=" + l.Work
	}
	if l.Volatile {
		o += ",volatile"
	}
	if !l.hasACLs() {
		o += ",noacl"
	}
	return o
}

// hasACLs says that all directories are on file systems with access control lists. The
// kernel takes it for an error of a file if its file system only seems to have them.
func (l *Layers) hasACLs() bool {
	for _, dir := range append(slices.Clone(l.Lower), l.Upper) {
		if dir == "" {
			continue
		}
		_, err := unix.Getxattr(filepath.Join(l.Dir, dir), "system.posix_acl_access", nil)
		if errors.Is(err, unix.EOPNOTSUPP) {
			return false
		}
	}
	return true
}

// await waits until the root directory can be read, or the process has ended.
func (s *Server) await(mount int) error {
	var st unix.Stat_t
	err := unix.Fstatat(mount, "", &st, unix.AT_EMPTY_PATH)
	for err == unix.EINTR {
		err = unix.Fstatat(mount, "", &st, unix.AT_EMPTY_PATH)
	}
	if err == nil {
		return nil
	}
	// It has closed the device, or never answers again.
	if kill := s.process.Kill(); kill != nil && !errors.Is(kill, os.ErrProcessDone) {
		return errors.Join(err, kill)
	}
	if reason := s.Wait(); reason != nil {
		return reason
	}
	return api.Wrap("mount", Program, err)
}

// Wait waits for the end of the process. It is an error if that was not the end of
// the mount.
func (s *Server) Wait() error {
	defer s.said.Close()
	state, err := s.process.Wait()
	if err != nil {
		return api.Wrap("wait for", Program, err)
	}
	if state.Success() {
		return nil
	}
	return api.Errorf("mount", Program, "%s", s.lastWords(state))
}

func (s *Server) lastWords(state *os.ProcessState) string {
	const most = 512
	text := make([]byte, most)
	n, err := s.said.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return state.String()
	}
	var words []string
	for line := range strings.Lines(string(text[:n])) {
		// What a newer libfuse than it was made for makes it say each time.
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "unknown argument ignored: ") {
			words = append(words, strings.TrimPrefix(line, Program+": "))
		}
	}
	if len(words) == 0 {
		return state.String()
	}
	return strings.Join(words, " ")
}
