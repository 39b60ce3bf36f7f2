package ports

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// privilegedPorts is the sysctl with the first port that anybody may listen on.
const privilegedPorts = "net.ipv4.ip_unprivileged_port_start"

// refused explains why the kernel did not let us listen. Holder is who has the
// port, "" if that is not known.
func refused(f Forward, err error, holder string) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return api.Wrap(opPublish, f.String(), err)
	}
	e := &api.Error{Op: opPublish, Path: f.String(), Errno: errno}
	switch errno {
	case unix.EADDRINUSE:
		e.Msg = "the port is taken"
		if holder != "" {
			e.Msg += " by " + holder
		}
		if f.Port == 0 {
			e.Msg = "no port is free"
			return e.WithHint("sysctl net.ipv4.ip_local_port_range has the ports to choose from")
		}
		return e.WithHint("choose another port of the host")
	case unix.EACCES:
		if start := firstPort(); f.Port != 0 && int(f.Port) < start {
			e.Msg = "ports below " + strconv.Itoa(start) + " are for root"
			return e.WithHint("choose another port of the host, or %s", remedy.LowPorts(int(f.Port)).Text)
		}
	case unix.EADDRNOTAVAIL:
		e.Msg = "the host has no address " + f.Host.String()
		return e.WithHint("ip address shows those that it has")
	case unix.EAFNOSUPPORT:
		e.Msg = "the host has no IPv6"
	}
	return e
}

// firstPort is 1024 where the file cannot be read.
func firstPort() int {
	const usual = 1024
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(privilegedPorts, ".", "/"))
	if err != nil {
		return usual
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return usual
	}
	return n
}
