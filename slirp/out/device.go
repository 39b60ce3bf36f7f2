package out

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Device is the interface that the first packets of connections go to.
const Device = "syn0"

const tunDevice = "/dev/net/tun"

// openDevice runs on a thread in the switch. The device goes with the file.
func openDevice() (f *os.File, index int, err error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, &os.PathError{Op: "open", Path: tunDevice, Err: err}
	}
	request, err := unix.NewIfreq(Device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, 0, fmt.Errorf("make %s: %w", Device, err)
	}
	// Not before: a file is watched from here on, and that one is not of the device yet.
	f = os.NewFile(uintptr(fd), Device)
	link, err := netlink.LinkByName(Device)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("ip link set %s up: %w", Device, err), f.Close())
	}
	return f, link.Attrs().Index, nil
}
