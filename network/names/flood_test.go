package names

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// One sandbox floods with queries that have to be forwarded to a server that does
// not answer. Another's queries are answered, and what it costs is bounded.
func TestThreat38FloodDoesNotStarve(t *testing.T) {
	newResolver(t, "127.0.0.1", echo("outside"))
	l := newLab(t, "nameserver 127.0.0.1\noptions timeout:5\n")
	l.network(1, nil)
	l.Set("net1", Sandbox{ID: "good", Names: []string{"good"}, Addrs: addrs("127.1.0.2")})
	l.Set("net1", Sandbox{ID: "bad", Addrs: addrs("127.1.0.66")})
	const packets, names = 20000, 20 // at least, while the other lasts
	flood := l.dialIn("udp", "127.1.0.66", "127.1.0.1")
	var sent atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			sent.Add(1)
			m := new(dns.Msg).SetQuestion("silent.example.org.", dns.TypeA)
			m.Id = uint16(i)
			b, _ := m.Pack()
			flood.Write(b)
		}
	}()
	// Packets are lost while the socket's queue is full, whoever they are from: who
	// asks does as a C library, and asks again.
	most, asked, tries := 0, 0, 0
	var slowest time.Duration
	for ; sent.Load() < packets || asked < names; asked++ {
		name, want, qtype := "good", "127.1.0.2", dns.TypeA
		if asked%2 == 1 {
			name, want, qtype = "example.org", "\"outside\"", dns.TypeTXT
		}
		m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
		start := time.Now()
		for try := 1; ; try++ {
			tries++
			if r := l.exchangeIn("udp", "127.1.0.2", "127.1.0.1", m, 50*time.Millisecond); r != nil {
				if short(r) != want {
					t.Errorf("%s: %s", name, short(r))
				}
				break
			}
			if try == 40 {
				t.Fatalf("%s: no answer to %d queries", name, try)
			}
		}
		slowest = max(slowest, time.Since(start))
		l.clients.mu.Lock()
		most = max(most, l.clients.forwarding)
		l.clients.mu.Unlock()
	}
	close(stop)
	<-done
	t.Logf("%d names looked up under a flood of %d by %d queries, the slowest in %v; at most %d under way", asked, sent.Load(), tries, slowest, most)
	if most > forwarding/2 || most == 0 {
		t.Errorf("%d queries under way", most)
	}
	if got := short(l.ask("127.1.0.2", "example.org", dns.TypeTXT)); got != "\"outside\"" {
		t.Errorf("afterwards: %s", got)
	}
	// Close does not wait for the server's silence.
	start := time.Now()
	if err := l.Close(); err != nil || time.Since(start) > 2*time.Second {
		t.Errorf("Close: %v after %v", err, time.Since(start))
	}
	if n := l.clients.forwarding; n != 0 {
		t.Errorf("%d queries are still counted", n)
	}
}

func TestMalformedPackets(t *testing.T) {
	l := twoNetworks(t)
	c := l.dialIn("udp", "127.1.0.2", "127.1.0.1")
	good, err := new(dns.Msg).SetQuestion("web.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func([]byte) []byte) []byte { return change(append([]byte(nil), good...)) }
	set := func(i int, v uint16) []byte {
		return with(func(b []byte) []byte { binary.BigEndian.PutUint16(b[i:], v); return b })
	}
	for name, p := range map[string]struct {
		packet []byte
		rcode  int // -1: no answer
	}{
		"empty":          {nil, -1},
		"half a header":  {good[:7], -1},
		"a response":     {set(2, 0x8180), -1},
		"only a header":  {good[:12], dns.RcodeFormatError},
		"no question":    {set(4, 0), dns.RcodeFormatError},
		"two questions":  {set(4, 2), dns.RcodeFormatError},
		"65535 options":  {set(10, 65535), dns.RcodeFormatError},
		"an answer":      {set(6, 1), dns.RcodeFormatError},
		"cut question":   {good[:len(good)-3], dns.RcodeFormatError},
		"points at self": {append(append([]byte(nil), good[:12]...), 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
		"an update":      {set(2, 5<<11), dns.RcodeNotImplemented},
		"a notification": {set(2, 4<<11), dns.RcodeNotImplemented},
		"too long":       {append(append([]byte(nil), good...), make([]byte, 30000)...), dns.RcodeSuccess},
	} {
		if _, err := c.Write(p.packet); err != nil {
			t.Fatal(err)
		}
		wait := 5 * time.Second
		if p.rcode < 0 {
			wait = 100 * time.Millisecond
		}
		c.SetReadDeadline(time.Now().Add(wait))
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		switch {
		case p.rcode < 0 && err == nil:
			t.Errorf("%s: answered with % x", name, buf[:n])
		case p.rcode >= 0 && err != nil:
			t.Errorf("%s: %v", name, err)
		case p.rcode >= 0 && (int(buf[3]&0xf) != p.rcode || buf[2]&0x80 == 0 || buf[0] != good[0]):
			t.Errorf("%s: answered with % x, want the error %s", name, buf[:n], dns.RcodeToString[p.rcode])
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 { // and noise
		b := append([]byte(nil), good...)
		for range 1 + r.IntN(6) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		c.Write(b[:1+r.IntN(len(b))])
	}
	if got := short(l.ask("127.1.0.3", "web", dns.TypeA)); got != "127.1.0.2" {
		t.Errorf("afterwards: %s", got)
	}
}

// Several queries by one connection, and connections that send nothing.
func TestStreams(t *testing.T) {
	l := twoNetworks(t)
	c := l.dialIn("tcp", "127.1.0.2", "127.1.0.1")
	q, err := new(dns.Msg).SetQuestion("web.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	for range 3 {
		if err := writeStream(c, q); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		b, err := readStream(c, dns.MaxMsgSize)
		var m dns.Msg
		if err != nil || m.Unpack(b) != nil || short(&m) != "127.1.0.2" {
			t.Fatal(err, m)
		}
	}
	if _, err := c.Write([]byte{0xff, 0xff, 1, 2, 3}); err != nil { // longer than any query
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a query of 65535 bytes is waited for")
	}
	open := 0
	for range streams {
		c := l.dialIn("tcp", "127.1.0.66", "127.1.0.1")
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			if _, timeout := err.(net.Error); timeout {
				open++
			}
		}
		if open > 10 && err == io.EOF {
			break
		}
	}
	if open > streams/2 || open < 10 {
		t.Errorf("one client holds %d connections", open)
	}
	m := new(dns.Msg).SetQuestion("web.", dns.TypeA)
	if got := short(l.exchangeIn("tcp", "127.1.0.3", "127.1.0.1", m, time.Second)); got != "127.1.0.2" {
		t.Errorf("another client: %s", got)
	}
}

func TestBudget(t *testing.T) {
	c := clients{known: map[clientKey]*client{}}
	now := time.Now()
	bad, good := clientKey{sandbox: "bad"}, clientKey{sandbox: "good"}
	allowed := 0
	for range 3 * burst {
		if c.allow(bad, now) {
			allowed++
		}
	}
	if allowed != burst || !c.allow(good, now) || c.allow(bad, now) || !c.allow(bad, now.Add(time.Second)) {
		t.Errorf("allowed %d at once", allowed)
	}
	for i := range 3 * mostKnown {
		c.allow(clientKey{sandbox: string(rune(i))}, now)
	}
	if len(c.known) > mostKnown {
		t.Errorf("%d clients are remembered", len(c.known))
	}
	// However many want everything, there is something for the next.
	for i := range 50 {
		for c.startForward(clientKey{sandbox: string(rune(i))}) {
		}
	}
	if first := c.known[clientKey{sandbox: string(rune(0))}].forwarding; first < forwarding/4 || first > forwarding/2 {
		t.Errorf("the first one got %d", first)
	}
	if !c.startForward(good) || c.forwarding > forwarding+51*few {
		t.Errorf("nothing left; %d under way", c.forwarding)
	}
}

func fuzzServer() (*Server, *network) {
	s := &Server{clients: clients{known: map[clientKey]*client{}}, networks: map[string]*network{}, sandboxes: map[string][]*member{},
		upstream: newUpstream("/nonexistent"), ctx: context.Background(), host: addrs("10.0.2.2")}
	n := newNetwork(Network{Name: "net1", Named: true})
	s.networks["net1"] = n
	s.Set("net1", Sandbox{ID: "1", Names: []string{"web"}, Addrs: addrs("127.1.0.2"), Search: []string{"example.org"}})
	return s, n
}

// FuzzQuery: any packet has an answer that can be read, or none; and the recover
// in take is for what nobody has found yet.
func FuzzQuery(f *testing.F) {
	for _, name := range []string{"web.", "web.net1.", "example.org.", "2.0.1.127.in-addr.arpa.", "f.f.ip6.arpa.", "."} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.SetEdns0(1232, true)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	s, n := fuzzServer()
	from := addrs("127.1.0.2")[0]
	f.Fuzz(func(t *testing.T, packet []byte) {
		if m, _ := parse(packet); m != nil { // without recover
			s.local(asker{networks: []*network{n}, outside: true}, m.Question[0])
			if b, err := outgoing(m); err == nil {
				answers(packet, b)
			}
		}
		reply, q := s.take(n, from, packet, false)
		if reply == nil {
			return
		}
		if q != nil || len(reply) < header || reply[0] != packet[0] || reply[2]&0x80 == 0 || len(reply) > maxAnswer {
			t.Errorf("% x: answered with % x", packet, reply)
		}
		if err := new(dns.Msg).Unpack(reply); err != nil {
			t.Errorf("% x: answered with % x: %v", packet, reply, err)
		}
	})
}

// FuzzAnswer: whatever a server says, what a client gets is no longer than it
// takes.
func FuzzAnswer(f *testing.F) {
	m := new(dns.Msg).SetQuestion("example.org.", dns.TypeTXT)
	m.Id = 7
	sent, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	r := new(dns.Msg).SetReply(m)
	for range 4 {
		txt(r, "some text that takes its place, again and again, since there is a lot of it to be had here, and more where it came from")
		b, err := r.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		reply := append([]byte(nil), packet...)
		if !answers(reply, sent) {
			return
		}
		cannotTell(reply)
		if got := fit(&query{msg: m, limit: plainUDP}, reply); len(got) > plainUDP || len(got) < header {
			t.Errorf("% x: %d bytes", packet, len(got))
		}
	})
}
