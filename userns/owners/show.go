package owners

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// Server is a process that shows one directory, or waits until it is told which. It is a
// child of who has started it, but goes on when that one dies.
type Server struct {
	PID  int
	conn *api.Conn // nil once it shows something
}

// Start starts a server that waits for its directory. binary is one that calls Main when
// its name is Role. The caller waits for its end, with Wait.
func Start(binary *os.File) (*Server, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	ours, theirs, err := api.Pair("owners")
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	pid, err := syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", binaryFD), []string{Role}, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOGC=50"},
		Files: []uintptr{null.Fd(), null.Fd(), 2, theirs.File().Fd(), binary.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		ours.Close()
		return nil, api.Wrap("start", Role, err)
	}
	return &Server{PID: pid, conn: ours}, nil
}

// Show makes a mount, attached nowhere yet, of a directory with other owners. dir can be
// closed afterwards. What has one of the paths hidden, relative to dir, is not shown.
//
// The caller has CAP_SYS_ADMIN in its user and mount namespace. Linux 5.2.
func (s *Server) Show(dir *os.File, uids, gids Map, hidden ...string) (mount int, err error) {
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return -1, deviceError(err)
	}
	defer device.Close()
	const attr = sys.RDONLY | sys.NOSUID | sys.NODEV
	// Nobody reads the device yet: who asks for a file has to wait. allow_other means the
	// users of this namespace and of those below it.
	mount, err = sys.NewMount("fuse", attr,
		[2]string{"fd", fmt.Sprint(device.Fd())}, [2]string{"rootmode", "40000"}, [2]string{"user_id", "0"}, [2]string{"group_id", "0"},
		[2]string{"allow_other", ""}, [2]string{"default_permissions", ""}, [2]string{"source", "sbx"}, [2]string{"subtype", "owners"})
	if err != nil {
		return -1, deviceError(err)
	}
	o := order{UIDs: uids.String(), GIDs: gids.String(), Hidden: hidden}
	if err := s.conn.Send(kindShow, &o, device, dir); err != nil {
		unix.Close(mount)
		return -1, api.Wrap("show the image with other owners", "", err)
	}
	s.Close()
	return mount, nil
}

// Close ends a server that waits.
func (s *Server) Close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// Wait waits for the end of the process.
func (s *Server) Wait() (status unix.WaitStatus) {
	for {
		if _, err := unix.Wait4(s.PID, &status, 0, nil); err != unix.EINTR {
			return status
		}
	}
}

func deviceError(err error) error {
	e := api.Wrap("show the image with other owners", "", err)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		e.WithHint("--userns keep-id needs FUSE: %s", remedy.FuseModule().Text)
	case errors.Is(err, unix.EACCES):
		e.WithHint("--userns keep-id needs FUSE: %s", remedy.FuseDevice().Text)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EINVAL):
		e.WithHint("--userns keep-id needs FUSE in user namespaces, Linux 5.11 or later, and a container that allows it")
	}
	return e
}
