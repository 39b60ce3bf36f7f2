package network

import (
	"net"
	"net/netip"

	"sbx/api"
)

// macOf is the MAC address that goes with an IPv4 address, Docker's scheme. Who
// gets the address next has the same one, so that no neighbour's table is stale.
func macOf(ip netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0x42}, ip.AsSlice()...)
}

// parseMAC takes the address of one interface of Ethernet.
func parseMAC(s string) (net.HardwareAddr, error) {
	const op = "use MAC address"
	mac, err := net.ParseMAC(s)
	switch {
	case err != nil || len(mac) != 6:
		return nil, api.Errorf(op, "", "%q is none", s).WithHint("write it as 02:42:0a:58:00:05")
	case mac[0]&1 != 0:
		return nil, api.Errorf(op, mac.String(), "it is for many receivers").WithHint("the first byte must be even, such as 02")
	case mac.String() == "00:00:00:00:00:00":
		return nil, api.Errorf(op, mac.String(), "it means that there is none")
	}
	return mac, nil
}

// linkLocal is the IPv6 address that every interface has for its own link. RFC
// 4291, appendix A.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff,
		12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}
