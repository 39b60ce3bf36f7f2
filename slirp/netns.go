package slirp

import (
	"errors"
	"io/fs"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// KeepNetns makes a network namespace, with its loopback interface up, and keeps it
// as path: it lasts until that is unmounted. One that is there already is left as it
// is. The caller needs CAP_SYS_ADMIN where it is.
func KeepNetns(path string) error {
	var at unix.Statfs_t
	if err := unix.Statfs(path, &at); err == nil && at.Type == unix.NSFS_MAGIC {
		return nil
	}
	if err := os.WriteFile(path, nil, 0o400); err != nil && !errors.Is(err, fs.ErrPermission) { // there, of an earlier try
		return err
	}
	made := make(chan error)
	go makeNetns(path, made)
	return <-made
}

// makeNetns never unlocks its thread, which ends with it: nothing else may run in the
// new namespace.
func makeNetns(path string, made chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread does not end, and /proc/PID/ns/net is what it has. While it
		// is held here, the other goroutine gets another one.
		again := make(chan error)
		go makeNetns(path, again)
		err := <-again
		runtime.UnlockOSThread()
		made <- err
		return
	}
	made <- func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return err
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return &os.PathError{Op: "mount --bind", Path: path, Err: err}
		}
		return nil
	}()
}
