package etc

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// HostWatcher follows the network of the host.
type HostWatcher struct {
	rtnl    *os.File
	inotify *os.File // nil: there are no inotify instances left, or no record
	bursts
}

// WatchHost calls changed once at the start, and whenever the routes or addresses of
// the network namespace that it is called in, or the file record, may have changed.
// Calls come one at a time, when a burst of changes has calmed down, as with Watch.
func WatchHost(record string, changed func()) (*HostWatcher, error) {
	const groups = unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, api.Wrap("watch the host's network", "", os.NewSyscallError("socket", err))
	}
	w := &HostWatcher{rtnl: os.NewFile(uintptr(fd), "rtnetlink"), bursts: newBursts()}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return nil, errors.Join(api.Wrap("watch the host's network", "", os.NewSyscallError("bind", err)), w.end(w.rtnl))
	}
	w.wg.Go(func() { w.listen(w.rtnl) })
	if w.inotify = watchFile(record); w.inotify != nil {
		w.wg.Go(func() { w.listen(w.inotify) })
	}
	// What has changed before the first event can come is not missed either.
	w.wake()
	w.wg.Go(func() { w.run(nil, changed) })
	return w, nil
}

// watchFile watches a file that is always written in place.
func watchFile(path string) *os.File {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY|unix.IN_CLOSE_WRITE); err != nil {
		f.Close()
		return nil
	}
	return f
}

// Close ends the watching; changed is not called after it. It must not be called
// by changed.
func (w *HostWatcher) Close() error { return w.end(w.rtnl, w.inotify) }
