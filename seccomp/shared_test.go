package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestShared(t *testing.T) {
	const allow, report = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_USER_NOTIF
	denied := func(errno unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }
	for name, c := range map[string]struct {
		nr            uint32
		args          [6]uint64
		with, without uint32 // a network
	}{
		"read":            {unix.SYS_READ, [6]uint64{}, allow, allow},
		"tcp":             {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, allow, denied(unix.EACCES)},
		"udp":             {unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_NONBLOCK}, allow, denied(unix.EACCES)},
		"udp, high bits":  {unix.SYS_SOCKET, [6]uint64{1<<32 | unix.AF_UNIX, unix.SOCK_STREAM}, denied(unix.EACCES), denied(unix.EACCES)},
		"raw":             {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_RAW}, denied(unix.EACCES), denied(unix.EACCES)},
		"unix":            {unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, denied(unix.EACCES), denied(unix.EACCES)},
		"addresses":       {unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allow, denied(unix.EACCES)},
		"firewall":        {unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, denied(unix.EACCES), denied(unix.EACCES)},
		"pair":            {unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, allow, allow},
		"pair of packets": {unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET}, allow, allow},
		"datagram pair":   {unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, denied(unix.EACCES), denied(unix.EACCES)},
		"raw pair":        {unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX, unix.SOCK_RAW}, denied(unix.EACCES), denied(unix.EACCES)},
		"own limit":       {unix.SYS_PRLIMIT64, [6]uint64{0, 7}, allow, allow},
		"another's limit": {unix.SYS_PRLIMIT64, [6]uint64{1<<32 | 5, 7}, denied(unix.EPERM), denied(unix.EPERM)},
		"mode":            {unix.SYS_FCHMODAT, [6]uint64{}, report, report},
		"newest mode":     {unix.SYS_FCHMODAT2, [6]uint64{}, report, report},
		"times":           {unix.SYS_UTIMENSAT, [6]uint64{}, report, report},
		"owner":           {unix.SYS_FCHOWNAT, [6]uint64{}, denied(unix.EPERM), denied(unix.EPERM)},
		"attribute":       {unix.SYS_FSETXATTR, [6]uint64{}, denied(unix.EOPNOTSUPP), denied(unix.EOPNOTSUPP)},
		"flags of a file": {unix.SYS_IOCTL, [6]uint64{3, 7<<32 | unix.FS_IOC_SETFLAGS}, denied(unix.EPERM), denied(unix.EPERM)},
		"other ioctl":     {unix.SYS_IOCTL, [6]uint64{3, unix.TIOCGWINSZ}, allow, allow},
		"shared memory":   {unix.SYS_SHMGET, [6]uint64{}, denied(unix.EACCES), denied(unix.EACCES)},
		"io_uring":        {unix.SYS_IO_URING_SETUP, [6]uint64{}, denied(unix.EPERM), denied(unix.EPERM)},
		"not invented":    {5000, [6]uint64{}, retENOSYS, retENOSYS},
	} {
		for network, want := range map[bool]uint32{true: c.with, false: c.without} {
			program, err := Shared(network)
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(program); err != nil {
				t.Fatal(err)
			}
			if got, _ := simulate(program, call{nr: c.nr, args: c.args}); got != want {
				t.Errorf("%s, network %t: %#x, want %#x", name, network, got, want)
			}
		}
	}
}
