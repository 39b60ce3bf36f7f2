package names

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"sbx/tests/nested"
)

// The tests start themselves once more in a new user and network namespace, which
// plays the host. Each makes another one, the switch.
const insideEnv = "SBX_TEST_NAMES_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		if err := loopbackUp(); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	os.Exit(nested.Single(insideEnv+"=1", unix.CLONE_NEWUSER|unix.CLONE_NEWNET))
}

// loopbackUp sets the loopback interface of the thread's namespace up.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req := struct { // struct ifreq, netdevice(7)
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: unix.IFF_UP | unix.IFF_RUNNING}
	copy(req.name[:], "lo")
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}

// newSwitch makes a network namespace. The loopback device stands for the bridges,
// since the kernel has all of 127.0.0.0/8 there: 127.N.0.1 is the gateway of
// network N and 127.N.0.X a sandbox.
func newSwitch(t testing.TB) *os.File {
	t.Helper()
	type result struct {
		f   *os.File
		err error
	}
	c := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			c <- result{nil, err}
			return
		}
		err := loopbackUp()
		f, openErr := os.Open("/proc/thread-self/ns/net")
		c <- result{f, errors.Join(err, openErr)}
	}()
	r := <-c
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.f.Close() })
	return r.f
}

// lab is a responder and whoever asks it.
type lab struct {
	*Server
	t      testing.TB
	resolv string
	in     *thread
}

func newLab(t testing.TB, resolv string) *lab {
	t.Helper()
	sw := newSwitch(t)
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte(resolv), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(sw, Options{Resolv: file, Host: addrs("10.0.2.2 fd00::2")})
	if err != nil {
		t.Fatal(err)
	}
	in, err := enter(sw)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		in.close()
	})
	return &lab{s, t, file, in}
}

// network makes network N, called netN; 9 is the default one.
func (l *lab) network(n byte, change func(*Network)) {
	l.t.Helper()
	net := Network{
		Name: fmt.Sprintf("net%d", n), Device: "lo", Named: n != 9,
		Gateways: []netip.Addr{netip.AddrFrom4([4]byte{127, n, 0, 1})},
		Subnets:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127, n, 0, 0}), 16)},
	}
	if change != nil {
		change(&net)
	}
	if err := l.Listen(net); err != nil {
		l.t.Fatal(err)
	}
}

func addrs(list string) []netip.Addr {
	var l []netip.Addr
	for _, f := range strings.Fields(list) {
		l = append(l, netip.MustParseAddr(f))
	}
	return l
}

// dialIn connects from a sandbox's address to a gateway.
func (l *lab) dialIn(network, from, to string) net.Conn {
	l.t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second}
	a := netip.AddrPortFrom(netip.MustParseAddr(from), 0)
	d.LocalAddr = net.UDPAddrFromAddrPort(a)
	if network == "tcp" {
		d.LocalAddr = net.TCPAddrFromAddrPort(a)
	}
	var c net.Conn
	var err error
	l.in.do(func() { c, err = d.Dial(network, netip.AddrPortFrom(netip.MustParseAddr(to), port).String()) })
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

// exchangeIn sends a message; nil is no answer within wait.
func (l *lab) exchangeIn(network, from, to string, m *dns.Msg, wait time.Duration) *dns.Msg {
	l.t.Helper()
	c := &dns.Conn{Conn: l.dialIn(network, from, to), UDPSize: dns.MaxMsgSize}
	c.SetDeadline(time.Now().Add(wait))
	if err := c.WriteMsg(m); err != nil {
		l.t.Fatal(err)
	}
	r, err := c.ReadMsg()
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			l.t.Fatalf("%s: %v", m.Question[0].Name, err)
		}
		return nil
	}
	if r.Id != m.Id || !r.Response {
		l.t.Errorf("%s: answer with id %d, response %v, want id %d", m.Question[0].Name, r.Id, r.Response, m.Id)
	}
	return r
}

// ask asks the gateway of the network that the sandbox is on, by UDP.
func (l *lab) ask(from, name string, qtype uint16) *dns.Msg {
	l.t.Helper()
	a := netip.MustParseAddr(from).As4()
	a[2], a[3] = 0, 1
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	r := l.exchangeIn("udp", from, netip.AddrFrom4(a).String(), m, 5*time.Second)
	if r == nil {
		l.t.Fatalf("%s %s: no answer", from, name)
	}
	return r
}

// short is an answer as a word: the error, or the data, sorted.
func short(m *dns.Msg) string {
	if m == nil {
		return "nothing"
	}
	if m.Rcode != dns.RcodeSuccess {
		return dns.RcodeToString[m.Rcode]
	}
	var list []string
	for _, rr := range m.Answer {
		list = append(list, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// resolver is a name server on the host's loopback.
type resolver struct {
	mu    sync.Mutex
	asked []string // "udp name" of each query
}

func (r *resolver) log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// newResolver starts one on addr, by UDP and TCP. Its answers are what answer
// makes of the question.
func newResolver(t testing.TB, addr string, answer func(network string, q, reply *dns.Msg)) *resolver {
	t.Helper()
	r := &resolver{}
	pc, err := net.ListenPacket("udp", addr+":53")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr+":53")
	if err != nil {
		t.Fatal(err)
	}
	r.serve(t, pc, l, answer)
	return r
}

func (r *resolver) serve(t testing.TB, pc net.PacketConn, l net.Listener, answer func(network string, q, reply *dns.Msg)) {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		network := w.LocalAddr().Network()
		r.mu.Lock()
		r.asked = append(r.asked, network+" "+q.Question[0].Name)
		r.mu.Unlock()
		reply := new(dns.Msg).SetReply(q)
		answer(network, q, reply)
		if reply.Id != q.Id || reply.Response {
			w.WriteMsg(reply)
		}
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
}

// txt answers with a text.
func txt(reply *dns.Msg, text string) {
	h := dns.RR_Header{Name: reply.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}
	reply.Answer = append(reply.Answer, &dns.TXT{Hdr: h, Txt: []string{text}})
}

// echo says who answers; no answer is made for the name silent.
func echo(who string) func(string, *dns.Msg, *dns.Msg) {
	return func(_ string, q, reply *dns.Msg) {
		if strings.HasPrefix(q.Question[0].Name, "silent") {
			reply.Response = false
			return
		}
		txt(reply, who)
	}
}
