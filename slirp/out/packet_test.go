package out

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// opening is a first packet as a kernel makes it, with some options of TCP.
func opening(from, to string, flags byte) []byte {
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	tcp := make([]byte, sizeTCP, sizeTCP+4)
	binary.BigEndian.PutUint16(tcp, a.Port())
	binary.BigEndian.PutUint16(tcp[2:], b.Port())
	binary.BigEndian.PutUint32(tcp[4:], 0xfffffffe)
	tcp[12], tcp[flagsAt] = (sizeTCP+4)/4<<4, flags
	tcp = append(tcp, 2, 4, 0xff, 0xd7)
	// The packet of an answer is made the other way round.
	f := first{pair: pair{from: b, to: a}}
	return f.answer(unix.IPPROTO_TCP, tcp, 16)
}

var both = map[string][2]string{
	"IPv4": {"10.88.0.2:40000", "198.51.100.2:80"},
	"IPv6": {"[fd88::2]:40000", "[2001:db8::2]:80"},
}

func TestParse(t *testing.T) {
	for name, ends := range both {
		t.Run(name, func(t *testing.T) {
			good := opening(ends[0], ends[1], syn)
			f, ok := parse(good)
			if !ok || f.from.String() != ends[0] || f.to.String() != ends[1] || !bytes.Equal(f.packet, good) {
				t.Fatalf("%v %+v", ok, f)
			}
			for _, flags := range []byte{0, ack, syn | ack, syn | fin, syn | rst, fin} {
				if _, ok := parse(opening(ends[0], ends[1], flags)); ok {
					t.Errorf("flags %#x are taken for a first packet", flags)
				}
			}
			if _, ok := parse(opening(ends[0], ends[1], syn|0xc0)); !ok {
				t.Error("with ECN it is none")
			}
			for n := range good {
				if _, ok := parse(good[:n]); ok {
					t.Errorf("the first %d bytes are enough", n)
				}
			}
			if _, ok := parse(append(bytes.Clone(good), 0)); ok {
				t.Error("the length does not matter")
			}
		})
	}
	for what, change := range map[string]func(p []byte){
		"a fragment":             func(p []byte) { p[6] |= 0x20 },
		"a later fragment":       func(p []byte) { p[7] = 1 },
		"UDP":                    func(p []byte) { p[9] = unix.IPPROTO_UDP },
		"a short IP header":      func(p []byte) { p[0] = 0x44 },
		"a long IP header":       func(p []byte) { p[0] = 0x4f },
		"a short TCP header":     func(p []byte) { p[size4+12] = 0x40 },
		"a long TCP header":      func(p []byte) { p[size4+12] = 0xf0 },
		"another version":        func(p []byte) { p[0] = 0x55 },
		"port 0":                 func(p []byte) { p[size4+2], p[size4+3] = 0, 0 },
		"port 0 of the sandbox":  func(p []byte) { p[size4], p[size4+1] = 0, 0 },
		"more than is there, v4": func(p []byte) { p[3]++ },
	} {
		p := opening("10.88.0.2:40000", "198.51.100.2:80", syn)
		change(p)
		if _, ok := parse(p); ok {
			t.Errorf("%s is taken for a first packet", what)
		}
	}
}

// good says whether the checksums of an answer are right: then their sum is 0.
func good(p []byte) bool {
	proto, payload, from, to := p[9], p[size4:], p[12:16], p[16:20]
	if p[0]>>4 == 6 {
		proto, payload, from, to = p[6], p[size6:], p[8:24], p[24:40]
	} else if folded(sum16(p[:size4], 0)) != 0 {
		return false
	}
	var start uint32
	if proto != unix.IPPROTO_ICMP {
		start = sum16(from, sum16(to, uint32(len(payload))+uint32(proto)))
	}
	return folded(sum16(payload, start)) == 0
}

func TestAnswers(t *testing.T) {
	for name, ends := range both {
		f, ok := parse(opening(ends[0], ends[1], syn))
		if !ok {
			t.Fatal(name)
		}
		no := f.refusal()
		tcp := no[f.tcp:]
		if !good(no) || tcp[flagsAt] != rst|ack || binary.BigEndian.Uint32(tcp[8:]) != 0xffffffff ||
			binary.BigEndian.Uint16(tcp) != 80 || binary.BigEndian.Uint16(tcp[2:]) != 40000 {
			t.Errorf("%s: %x", name, no)
		}
		for _, why := range []unreachable{noRoute, noHost, prohibited} {
			p := f.failure(why)
			icmp := p[f.tcp:]
			kind, code := byte(3), why.v4
			if name == "IPv6" {
				kind, code = 1, why.v6
			}
			if !good(p) || icmp[0] != kind || icmp[1] != code || !bytes.Equal(icmp[8:], f.packet) {
				t.Errorf("%s: %x", name, p)
			}
		}
	}
}

// What sandboxes may send here is what they like.
func FuzzParse(f *testing.F) {
	for _, ends := range both {
		f.Add(opening(ends[0], ends[1], syn))
		f.Add(opening(ends[0], ends[1], syn)[:size6])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		opened, ok := parse(p)
		if !ok {
			return
		}
		if opened.from.Port() == 0 || opened.to.Port() == 0 || len(p) > maxFirst {
			t.Errorf("%+v of %x", opened, p)
		}
		for _, answer := range [][]byte{opened.refusal(), opened.failure(noHost)} {
			if !good(answer) {
				t.Errorf("a wrong checksum: %x", answer)
			}
		}
	})
}
