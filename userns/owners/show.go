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

// Show makes a mount, attached nowhere yet, of a directory with other owners. binary
// is one that calls Main when its name is Role. It is served by a process whose pid is
// returned, a child for the caller to wait for; when the caller dies that one goes
// on. dir can be closed afterwards. What has one of the paths hidden, relative to dir, is
// not shown.
//
// The caller has CAP_SYS_ADMIN in its user and mount namespace. Linux 5.2.
func Show(dir *os.File, uids, gids Map, binary *os.File, hidden ...string) (mount, pid int, err error) {
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return -1, 0, deviceError(err)
	}
	defer device.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return -1, 0, err
	}
	defer null.Close()
	const attr = sys.RDONLY | sys.NOSUID | sys.NODEV
	// The process has not been started: who asks for a file has to wait. allow_other
	// means the users of this namespace and of those below it.
	mount, err = sys.NewMount("fuse", attr,
		[2]string{"fd", fmt.Sprint(device.Fd())}, [2]string{"rootmode", "40000"}, [2]string{"user_id", "0"}, [2]string{"group_id", "0"},
		[2]string{"allow_other", ""}, [2]string{"default_permissions", ""}, [2]string{"source", "sbx"}, [2]string{"subtype", "owners"})
	if err != nil {
		return -1, 0, deviceError(err)
	}
	pid, err = syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", binaryFD), append([]string{Role, uids.String(), gids.String()}, hidden...), &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOGC=50"},
		Files: []uintptr{null.Fd(), null.Fd(), 2, device.Fd(), dir.Fd(), binary.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		unix.Close(mount)
		return -1, 0, api.Wrap("start", Role, err)
	}
	return mount, pid, nil
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
