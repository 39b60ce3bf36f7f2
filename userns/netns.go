package userns

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Unshare does what rootlesskit asks of its own binary when it wants a detached
// network namespace: "unshare -n mount --bind /proc/self/ns/net PATH". Beyond
// that it sets the loopback interface up, so that nothing has to run ip(8).
func Unshare(args []string) error {
	const pathArg = 5
	if len(args) != pathArg+1 || args[1] != "-n" || args[2] != "mount" {
		return api.Errorf("unshare", "", "usage: unshare -n mount --bind /proc/self/ns/net PATH")
	}
	// The thread is never unlocked: its namespace is not that of the others.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("unshare CLONE_NEWNET", err)
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	path := args[pathArg]
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return &os.PathError{Op: "mount --bind /proc/thread-self/ns/net", Path: path, Err: err}
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// struct ifreq of netdevice(7): a name, then a union of 24 bytes.
	req := struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: unix.IFF_UP | unix.IFF_RUNNING}
	copy(req.name[:], "lo")
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return os.NewSyscallError("ioctl SIOCSIFFLAGS lo", errno)
	}
	return nil
}
