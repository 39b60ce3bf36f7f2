package names

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestForwardPassesThrough(t *testing.T) {
	got := make(chan *dns.Msg, 1)
	newResolver(t, "127.0.0.1", func(_ string, q, reply *dns.Msg) {
		got <- q.Copy()
		txt(reply, "hello")
		reply.AuthenticatedData = true
		reply.SetEdns0(1232, true)
	})
	l := newLab(t, "nameserver 127.0.0.1\n")
	l.network(1, nil)
	m := new(dns.Msg).SetQuestion("ExaMple.org.", dns.TypeTXT)
	m.CheckingDisabled = true
	m.SetEdns0(1400, true)
	m.IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"},
		&dns.EDNS0_NSID{Code: dns.EDNS0NSID},
	}
	r := l.exchangeIn("udp", "127.1.0.2", "127.1.0.1", m, time.Second)
	q := <-got
	edns := q.IsEdns0()
	if q.Id == m.Id || q.Question[0] != m.Question[0] || !q.CheckingDisabled || !q.RecursionDesired {
		t.Errorf("the server is asked %v", q)
	}
	if edns == nil || edns.UDPSize() != 1400 || !edns.Do() || len(edns.Option) != 1 || edns.Option[0].Option() != dns.EDNS0NSID {
		t.Errorf("the server sees the options %v", edns)
	}
	if short(r) != "\"hello\"" || !r.AuthenticatedData || r.IsEdns0() == nil || r.Question[0].Name != "ExaMple.org." {
		t.Errorf("the sandbox sees %v", r)
	}
}

// An answer that does not fit UDP is fetched by TCP, and cut for one who came by
// UDP.
func TestTruncation(t *testing.T) {
	up := newResolver(t, "127.0.0.1", func(network string, _, reply *dns.Msg) {
		if network == "udp" {
			reply.Truncated = true
			return
		}
		for range 20 {
			txt(reply, strings.Repeat("x", 200))
		}
	})
	l := newLab(t, "nameserver 127.0.0.1\n")
	l.network(1, nil)
	m := new(dns.Msg).SetQuestion("big.example.org.", dns.TypeTXT)
	udp := l.exchangeIn("udp", "127.1.0.2", "127.1.0.1", m, time.Second)
	if !udp.Truncated || len(udp.Answer) != 2 || udp.Len() > plainUDP {
		t.Errorf("UDP: truncated %v, %d answers, %d bytes", udp.Truncated, len(udp.Answer), udp.Len())
	}
	tcp := l.exchangeIn("tcp", "127.1.0.2", "127.1.0.1", m, time.Second)
	if tcp.Truncated || len(tcp.Answer) != 20 {
		t.Errorf("TCP: truncated %v, %d answers", tcp.Truncated, len(tcp.Answer))
	}
	if log := up.log(); !slices.Contains(log, "tcp big.example.org.") {
		t.Errorf("asked %v", log)
	}
}

// What does not answer the question is not taken for an answer.
func TestForgedAnswersAreIgnored(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go func() {
		buf := make([]byte, 512)
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if q.Unpack(buf[:n]) != nil {
			return
		}
		send := func(text string, change func(*dns.Msg)) {
			r := new(dns.Msg).SetReply(q)
			txt(r, text)
			change(r)
			b, _ := r.Pack()
			pc.WriteTo(b, from)
		}
		send("wrong id", func(r *dns.Msg) { r.Id++ })
		send("wrong name", func(r *dns.Msg) { r.Question[0].Name = "exbmple.org." })
		send("wrong type", func(r *dns.Msg) { r.Question[0].Qtype++ })
		send("a query", func(r *dns.Msg) { r.Response = false })
		send("no question", func(r *dns.Msg) { r.Question = nil })
		pc.WriteTo([]byte{1, 2, 3}, from)
		send("right", func(r *dns.Msg) { r.Question[0].Name = "EXAMPLE.org." })
	}()
	l := newLab(t, "nameserver 127.0.0.1\n")
	l.network(1, nil)
	if got := short(l.ask("127.1.0.2", "example.org", dns.TypeTXT)); got != "\"right\"" {
		t.Errorf("got %s", got)
	}
}

func TestDeadServers(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.9:53")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	newResolver(t, "127.0.0.2", echo("second"))
	newResolver(t, "127.0.0.3", func(_ string, _, reply *dns.Msg) { reply.Rcode = dns.RcodeRefused })
	for _, c := range []struct {
		name, resolv, want string
		low, high          time.Duration
	}{
		{"nobody there", "nameserver 127.0.0.8\nnameserver 127.0.0.7\n", "SERVFAIL", 0, time.Second},
		{"no file's worth", "", "SERVFAIL", 0, time.Second},
		{"silent", "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n", "SERVFAIL", time.Second, 3 * time.Second},
		{"silent twice", "nameserver 127.0.0.9\noptions timeout:1\n", "SERVFAIL", 2 * time.Second, 4 * time.Second},
		{"first not there", "nameserver 127.0.0.8\nnameserver 127.0.0.2\n", "\"second\"", 0, time.Second},
		{"first refuses", "nameserver 127.0.0.3\nnameserver 127.0.0.2\n", "\"second\"", 0, time.Second},
		{"all refuse", "nameserver 127.0.0.3\n", "REFUSED", 0, time.Second},
		{"by TCP", "nameserver 127.0.0.2\noptions use-vc\n", "\"second\"", 0, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, c.resolv)
			l.network(1, nil)
			start := time.Now()
			got := short(l.ask("127.1.0.2", "example.org", dns.TypeTXT))
			if d := time.Since(start); got != c.want || d < c.low || d > c.high {
				t.Errorf("%s after %v, want %s after %v to %v", got, d, c.want, c.low, c.high)
			}
		})
	}
}

// A server that did not answer is not waited for again.
func TestSilentServerComesLast(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.9:53")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	newResolver(t, "127.0.0.2", echo("second"))
	l := newLab(t, "nameserver 127.0.0.9\nnameserver 127.0.0.2\noptions timeout:1\n")
	l.network(1, nil)
	var took [2]time.Duration
	for i := range took {
		start := time.Now()
		if got := short(l.ask("127.1.0.2", "example.org", dns.TypeTXT)); got != "\"second\"" {
			t.Errorf("got %s", got)
		}
		took[i] = time.Since(start)
	}
	if took[0] < time.Second || took[1] > 700*time.Millisecond {
		t.Errorf("took %v, want a second once", took)
	}
}

func TestRotate(t *testing.T) {
	newResolver(t, "127.0.0.2", echo("two"))
	newResolver(t, "127.0.0.3", echo("three"))
	l := newLab(t, "nameserver 127.0.0.2\nnameserver 127.0.0.3\noptions rotate\n")
	l.network(1, nil)
	seen := map[string]int{}
	for range 10 {
		seen[short(l.ask("127.1.0.2", "example.org", dns.TypeTXT))]++
	}
	if seen["\"two\""] != 5 || seen["\"three\""] != 5 {
		t.Errorf("seen %v", seen)
	}
}

func TestResolvConfChanges(t *testing.T) {
	newResolver(t, "127.0.0.2", echo("two"))
	newResolver(t, "127.0.0.3", echo("three"))
	l := newLab(t, "nameserver 127.0.0.2\n")
	l.network(1, nil)
	want := func(want string) {
		t.Helper()
		if got := short(l.ask("127.1.0.2", "example.org", dns.TypeTXT)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	want("\"two\"")
	next := l.resolv + ".new"
	if err := os.WriteFile(next, []byte("nameserver 127.0.0.3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, l.resolv); err != nil {
		t.Fatal(err)
	}
	want("\"three\"")
	if err := os.Remove(l.resolv); err != nil {
		t.Fatal(err)
	}
	want("SERVFAIL")
	if err := os.WriteFile(l.resolv, []byte("nameserver 127.0.0.2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want("\"two\"")
}

// The servers of --dns are asked in place of the host's, and one that is a sandbox
// from where it is.
func TestOwnServers(t *testing.T) {
	newResolver(t, "127.0.0.1", echo("host"))
	newResolver(t, "127.0.0.2", echo("given"))
	l := newLab(t, "nameserver 127.0.0.1\n")
	l.network(1, nil)
	var pc net.PacketConn
	var tcp net.Listener
	var err, err2 error
	l.in.do(func() {
		pc, err = net.ListenPacket("udp", "127.1.0.9:53")
		tcp, err2 = net.Listen("tcp", "127.1.0.9:53")
	})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	sandbox := &resolver{}
	sandbox.serve(t, pc, tcp, func(network string, _, reply *dns.Msg) {
		reply.Truncated = network == "udp"
		txt(reply, "sandbox by "+network)
	})
	for from, c := range map[string]struct{ dns, want string }{
		"127.1.0.2": {"", "\"host\""},
		"127.1.0.3": {"127.0.0.2", "\"given\""},
		"127.1.0.4": {"127.1.0.9", "\"sandbox by tcp\""},
		"127.1.0.5": {"127.1.0.10", "SERVFAIL"}, // nobody there
		"127.1.0.6": {"127.1.0.1", "\"host\""},  // ourselves
	} {
		l.Set("net1", Sandbox{ID: from, Addrs: addrs(from), DNS: addrs(c.dns)})
		if got := short(l.ask(from, "example.org", dns.TypeTXT)); got != c.want {
			t.Errorf("%s: %s, want %s", from, got, c.want)
		}
	}
}

// The host has moved to a network with the addresses of one of ours: its servers
// are asked from the host all the same.
func TestHostServersAreTheHosts(t *testing.T) {
	newResolver(t, "127.1.0.1", echo("host"))
	l := newLab(t, "nameserver 127.1.0.1\n")
	l.network(1, nil)
	if got := short(l.ask("127.1.0.2", "example.org", dns.TypeTXT)); got != "\"host\"" {
		t.Errorf("got %s", got)
	}
}
