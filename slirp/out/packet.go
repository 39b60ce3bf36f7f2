package out

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// pair are both ends of a connection, as the sandbox sees it.
type pair struct{ from, to netip.AddrPort }

// first is the first packet of a connection.
type first struct {
	pair
	packet []byte // all of it
	tcp    int    // where its TCP header is
}

// Of the headers of IPv4, IPv6 and TCP.
const (
	size4, size6, sizeTCP = 20, 40, 20
	flagsAt               = 13
	fin, syn, rst, ack    = 0x01, 0x02, 0x04, 0x10
	hops                  = 64
)

// maxFirst bounds the packets that are led here, in bytes. All options of IPv4 and
// TCP fit into it, and data of TCP Fast Open do not: those connections take the
// other way.
const maxFirst = 128

// parse is false for anything but a first packet without a fault. The packet comes
// from a sandbox.
func parse(packet []byte) (f first, ok bool) {
	if len(packet) < size4 || len(packet) > maxFirst {
		return f, false
	}
	f.packet = packet
	var from, to netip.Addr
	switch packet[0] >> 4 {
	case 4:
		f.tcp = int(packet[0]&0xf) * 4
		const moreFragments, offset = 0x2000, 0x1fff
		if f.tcp < size4 || int(binary.BigEndian.Uint16(packet[2:])) != len(packet) || packet[9] != unix.IPPROTO_TCP ||
			binary.BigEndian.Uint16(packet[6:])&(moreFragments|offset) != 0 {
			return f, false
		}
		from, to = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
	case 6:
		f.tcp = size6
		if len(packet) < size6 || size6+int(binary.BigEndian.Uint16(packet[4:])) != len(packet) || packet[6] != unix.IPPROTO_TCP {
			return f, false
		}
		from, to = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
	default:
		return f, false
	}
	if len(packet) < f.tcp+sizeTCP {
		return f, false
	}
	tcp := packet[f.tcp:]
	if length := int(tcp[12]>>4) * 4; length < sizeTCP || length > len(tcp) || tcp[flagsAt]&(fin|syn|rst|ack) != syn {
		return f, false
	}
	f.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(tcp))
	f.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:]))
	return f, f.from.Port() != 0 && f.to.Port() != 0
}

// refusal is the reset that a closed port answers with.
func (f first) refusal() []byte {
	tcp := f.packet[f.tcp:]
	answer := make([]byte, sizeTCP)
	binary.BigEndian.PutUint16(answer, f.to.Port())
	binary.BigEndian.PutUint16(answer[2:], f.from.Port())
	binary.BigEndian.PutUint32(answer[8:], binary.BigEndian.Uint32(tcp[4:])+1)
	answer[12], answer[flagsAt] = sizeTCP/4<<4, rst|ack
	return f.answer(unix.IPPROTO_TCP, answer, 16)
}

// Codes of "destination unreachable", RFC 792, RFC 1812 and RFC 4443.
type unreachable struct{ v4, v6 byte }

var (
	noRoute    = unreachable{0, 0}
	noHost     = unreachable{1, 3}
	prohibited = unreachable{13, 1}
)

// failure is the error of ICMP that a router answers with.
func (f first) failure(why unreachable) []byte {
	const header, type4, type6 = 8, 3, 1
	answer := make([]byte, header, header+len(f.packet))
	proto := byte(unix.IPPROTO_ICMP)
	if answer[0], answer[1] = type4, why.v4; f.to.Addr().Is6() {
		proto = unix.IPPROTO_ICMPV6
		answer[0], answer[1] = type6, why.v6
	}
	return f.answer(proto, append(answer, f.packet...), 2)
}

// answer is a packet back to the sandbox. Sum is where the payload has its checksum.
func (f first) answer(proto byte, payload []byte, sum int) []byte {
	from, to := f.to.Addr().AsSlice(), f.from.Addr().AsSlice()
	var start uint32
	if proto != unix.IPPROTO_ICMP { // the others cover a pseudo-header
		start = sum16(from, sum16(to, uint32(len(payload))+uint32(proto)))
	}
	binary.BigEndian.PutUint16(payload[sum:], folded(sum16(payload, start)))
	if f.to.Addr().Is6() {
		ip := make([]byte, size6, size6+len(payload))
		ip[0], ip[6], ip[7] = 6<<4, proto, hops
		binary.BigEndian.PutUint16(ip[4:], uint16(len(payload)))
		copy(ip[8:], from)
		copy(ip[24:], to)
		return append(ip, payload...)
	}
	ip := make([]byte, size4, size4+len(payload))
	ip[0], ip[8], ip[9] = 4<<4|size4/4, hops, proto
	binary.BigEndian.PutUint16(ip[2:], uint16(size4+len(payload)))
	copy(ip[12:], from)
	copy(ip[16:], to)
	binary.BigEndian.PutUint16(ip[10:], folded(sum16(ip, 0)))
	return append(ip, payload...)
}

// sum16 adds up words of two bytes, RFC 1071. It does not overflow: packets are short.
func sum16(data []byte, sum uint32) uint32 {
	for ; len(data) > 1; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	return sum
}

func folded(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
