package names

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// FuzzTake: any packet of a sandbox gets an answer that is one, an error, or none.
func FuzzTake(f *testing.F) {
	for _, name := range []string{"web.", "api.", "host.sbx.internal.", "www.example.org.", "2.0.1.127.in-addr.arpa.", "."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeANY} {
			m := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true)
			packet, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packet, false)
			f.Add(packet[:len(packet)-11], true) // the question alone
		}
	}
	f.Add([]byte{}, true)
	l := twoNetworks(f)
	n, from := l.networks["net1"], netip.MustParseAddr("127.1.0.2")
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) {
		// Take itself survives a parser that does not; here it shows.
		if m, _ := parse(packet); m != nil && len(m.Question) != 1 {
			t.Fatalf("%d questions", len(m.Question))
		}
		reply, q := l.take(n, from, packet, tcp)
		switch {
		case reply != nil && q != nil:
			t.Fatal("answered, and forwarded")
		case q != nil && q.asker.key.sandbox != "1111":
			t.Fatalf("asked by %+v", q.asker.key)
		case reply == nil:
			return
		}
		if len(reply) < header || binary.BigEndian.Uint16(reply) != binary.BigEndian.Uint16(packet) || reply[2]&0x80 == 0 {
			t.Fatalf("% x is no answer", reply)
		}
		if most := 1232; !tcp && len(reply) > most {
			t.Fatalf("%d bytes by UDP", len(reply))
		}
		if err := new(dns.Msg).Unpack(reply); err != nil {
			t.Fatalf("% x: %v", reply, err)
		}
	})
}
