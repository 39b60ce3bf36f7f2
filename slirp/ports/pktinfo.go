package ports

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A client takes an answer only from the address that it has asked. Where the host
// has several, the kernel tells which one that was, and is told with the answer:
// IP_PKTINFO, ip(7), IPV6_RECVPKTINFO, ipv6(7).

// destinationSize has room for either control message.
var destinationSize = unix.CmsgSpace(unix.SizeofInet6Pktinfo)

func wantDestination(fd int, listen netip.Addr) error {
	if listen.Is4() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
}

// destination is the address a datagram was sent to; the zero value if the kernel
// has not said.
func destination(oob []byte) netip.Addr {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&m.Data[0])).Spec_dst)
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&m.Data[0])).Addr)
		}
	}
	return netip.Addr{}
}

// source is the control message for an answer from this address.
func source(a netip.Addr) []byte {
	switch {
	case a.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.As4()})
	case a.Is6():
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
	}
	return nil
}
