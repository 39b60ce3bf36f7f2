package tests

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// probeKnock sends the first packet of a TCP connection to each of the addresses in
// args, as a frame of its own making, which no rule of the sandbox's own kernel is in
// the way of: so that also 127.0.0.1 leaves the sandbox. The first arg is the gateway,
// who gets them all. It prints the addresses from which a server answers.
func probeKnock(args []string) {
	fd := packetSocket()
	eth, err := net.InterfaceByName("eth0")
	if err != nil {
		probeFail("eth0", err)
	}
	own, own6 := ownAddresses(eth)
	to := hardwareOf(args[0])
	const sourcePort = 40000
	var asked []netip.AddrPort
	for _, text := range args[1:] {
		dest := netip.MustParseAddrPort(text)
		from, kind := own, uint16(unix.ETH_P_IP)
		if dest.Addr().Is6() {
			from, kind = own6, unix.ETH_P_IPV6
		}
		if !from.IsValid() {
			continue
		}
		frame := binary.BigEndian.AppendUint16(append(slices.Clone(to), eth.HardwareAddr...), kind)
		if _, err := unix.Write(fd, append(frame, firstPacket(from, dest, sourcePort)...)); err != nil {
			probeFail(text, err)
		}
		asked = append(asked, dest)
	}
	until := time.Now().Add(2 * time.Second)
	buf := make([]byte, 2048)
	for left := time.Until(until); left > 0; left = time.Until(until) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, int(left.Milliseconds())+1); n == 0 || err != nil {
			continue
		}
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			probeFail("recvfrom", err)
		}
		if from, ok := accepted(buf[:n], sourcePort); ok && slices.Contains(asked, from) {
			fmt.Println("knocked at", from)
		}
	}
	fmt.Println("knocked")
}

// ownAddresses are those that are not link-local.
func ownAddresses(eth *net.Interface) (v4, v6 netip.Addr) {
	addrs, err := eth.Addrs()
	if err != nil {
		probeFail("addresses", err)
	}
	for _, a := range addrs {
		switch ip := netip.MustParsePrefix(a.String()).Addr(); {
		case ip.Is4():
			v4 = ip
		case !ip.IsLinkLocalUnicast():
			v6 = ip
		}
	}
	return v4, v6
}

// hardwareOf asks for the MAC address of a neighbour.
func hardwareOf(ip string) net.HardwareAddr {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("udp", net.JoinHostPort(ip, "9")); err == nil {
			_, _ = c.Write([]byte("x")) // nobody has to be there
			c.Close()
		}
		table, err := os.ReadFile("/proc/net/arp")
		if err != nil {
			probeFail("arp", err)
		}
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if len(f) > 3 && f[0] == ip && f[3] != "00:00:00:00:00:00" {
				mac, err := net.ParseMAC(f[3])
				if err != nil {
					probeFail("arp", err)
				}
				return mac
			}
		}
	}
	probeFail("arp", fmt.Errorf("%s does not answer", ip))
	return nil
}

// firstPacket is a TCP packet with SYN.
func firstPacket(from netip.Addr, to netip.AddrPort, port uint16) []byte {
	const size = 20
	tcp := make([]byte, size)
	binary.BigEndian.PutUint16(tcp, port)
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	tcp[4], tcp[12], tcp[13], tcp[14] = 1, size/4<<4, 2, 0xff
	pseudo := append(append(append(from.AsSlice(), to.Addr().AsSlice()...), 0, unix.IPPROTO_TCP, 0, size), tcp...)
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo))
	if to.Addr().Is6() {
		h := make([]byte, 40)
		h[0], h[5], h[6], h[7] = 0x60, size, unix.IPPROTO_TCP, 64
		copy(h[8:], from.AsSlice())
		copy(h[24:], to.Addr().AsSlice())
		return append(h, tcp...)
	}
	h := make([]byte, 20)
	h[0], h[3], h[8], h[9] = 0x45, 20+size, 64, unix.IPPROTO_TCP
	copy(h[12:], from.AsSlice())
	copy(h[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, tcp...)
}

// checksum is that of RFC 1071, of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum + sum>>16)
}

// accepted says from where a frame is, if it is the answer of a server to a first
// packet: SYN and ACK.
func accepted(frame []byte, port uint16) (from netip.AddrPort, ok bool) {
	const ether, synAck = 14, 0x12
	if len(frame) < ether+40 {
		return from, false
	}
	packet := frame[ether:]
	var addr netip.Addr
	var tcp []byte
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		addr, _ = netip.AddrFromSlice(packet[12:16])
		tcp = packet[20:]
	case unix.ETH_P_IPV6:
		addr, _ = netip.AddrFromSlice(packet[8:24])
		tcp = packet[40:]
	}
	if len(tcp) < 14 || binary.BigEndian.Uint16(tcp[2:]) != port || tcp[13]&synAck != synAck {
		return from, false
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(tcp)), true
}
