package tests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// freePorts finds so many ports of the host, one behind the other, that nobody
// listens on. They are below those that the kernel chooses from.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	const first, last = 20000, 32000
	for range 100 {
		from := first + rand.IntN(last-first-n)
		if free(from, n) {
			return from
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

func free(from, n int) bool {
	for port := from; port < from+n; port++ {
		for _, network := range []string{"tcp4", "tcp6"} {
			l, err := net.Listen(network, ":"+strconv.Itoa(port))
			if err != nil {
				return false
			}
			l.Close()
		}
		p, err := net.ListenPacket("udp", ":"+strconv.Itoa(port))
		if err != nil {
			return false
		}
		p.Close()
	}
	return true
}

// port is where a port of a sandbox is published; the first place, if there are
// several.
func (e *Env) port(name, port string) string {
	e.t.Helper()
	first, _, _ := strings.Cut(e.OK("port", name, port), "\n")
	return strings.Replace(first, "0.0.0.0:", "127.0.0.1:", 1)
}

// answers checks that a server of ours is at the address, and gives the client's
// address as the server sees it.
func answers(t testing.TB, network, addr string) string {
	t.Helper()
	line, err := ask(network, addr, "")
	if err != nil || line == "" {
		t.Errorf("%s %s: %q, %v", network, addr, line, err)
	}
	return line
}

func refuses(t testing.TB, network, addr string) {
	t.Helper()
	if line, err := ask(network, addr, ""); err == nil {
		t.Errorf("%s %s answers %q", network, addr, line)
	}
}

func TestPortsForms(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	p := freePorts(t, 8)
	e.serve("web", "-p", fmt.Sprintf("%d:80", p), "-p", fmt.Sprintf("%d:80/udp", p),
		"-p", "80", "-p", "127.0.0.1::80", "-p", "[::1]::80/udp", "-p", fmt.Sprintf("target=80,published=%d,protocol=tcp", p+1),
		"-p", fmt.Sprintf("127.0.0.1:%d-%d:80-82", p+2, p+4))
	gateway := e.joined("web", "bridge", "Gateway")
	for _, at := range []string{"127.0.0.1:%d", "[::1]:%d", "127.0.0.2:%d"} {
		addr := fmt.Sprintf(at, p)
		for _, network := range []string{"tcp", "udp"} {
			// An address of the host's loopback interface means nothing inside.
			if from := answers(t, network, addr); from != gateway && from != e.joined("web", "bridge", "IPv6Gateway") {
				t.Errorf("%s by %s comes from %s, want the gateway, %s", network, addr, from, gateway)
			}
		}
	}
	answers(t, "tcp", fmt.Sprintf("127.0.0.1:%d", p+1))
	answers(t, "tcp", fmt.Sprintf("127.0.0.1:%d", p+2))
	refuses(t, "tcp", fmt.Sprintf("127.0.0.1:%d", p+3)) // published, but nobody listens inside
	refuses(t, "tcp", fmt.Sprintf("127.0.0.2:%d", p+2)) // not that address
	refuses(t, "tcp", fmt.Sprintf("[::1]:%d", p+2))

	lines := strings.Split(e.OK("port", "web"), "\n")
	for _, want := range []string{fmt.Sprintf("80/tcp -> 0.0.0.0:%d", p), fmt.Sprintf("80/tcp -> [::]:%d", p), fmt.Sprintf("80/udp -> 0.0.0.0:%d", p),
		fmt.Sprintf("81/tcp -> 127.0.0.1:%d", p+3), fmt.Sprintf("82/tcp -> 127.0.0.1:%d", p+4)} {
		if !strings.Contains(strings.Join(lines, "\n")+"\n", want+"\n") {
			t.Errorf("sbx port has no line %q: %q", want, lines)
		}
	}
	chosen := 0
	for _, line := range lines {
		inside, addr, _ := strings.Cut(line, " -> ")
		if host, port, err := net.SplitHostPort(addr); err != nil || port == "0" {
			t.Errorf("sbx port: %q", line)
		} else if n, err := strconv.Atoi(port); err == nil && strings.HasPrefix(inside, "80/") && (n < p || n > p+8) {
			chosen++ // by the kernel
			answers(t, strings.TrimPrefix(inside, "80/"), strings.NewReplacer("0.0.0.0", "127.0.0.1", "[::]", "[::1]").Replace(addr))
			if host == "127.0.0.1" {
				refuses(t, "tcp", "127.0.0.2:"+port)
			}
		}
	}
	if chosen != 4 { // two of -p 80, and two of one address
		t.Errorf("%d addresses with a port that was free, want 4: %q", chosen, lines)
	}
	if ps := e.OK("ps", "--format", "{{.Ports}}"); !strings.Contains(ps, fmt.Sprintf("0.0.0.0:%d->80/tcp", p)) {
		t.Errorf("ps shows %q", ps)
	}
	e.Is(fmt.Sprintf("127.0.0.1 %d", p+3), "inspect", "-f", `{{with index .NetworkSettings.Ports "81/tcp" 0}}{{.HostIp}} {{.HostPort}}{{end}}`, "web")
	e.Fails(1, `no public port "99/tcp"`, "port", "web", "99")

	e.OK("rm", "-f", "web")
	if !free(p, 5) {
		t.Error("a port is taken after the sandbox was removed")
	}
}

func TestPortsOfTheImage(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.serve("web", "-P", "--expose", "80", "--expose", "80/udp", "--expose", "7000-7001")
	for _, port := range []string{"80/tcp", "80/udp"} {
		answers(t, port[3:], e.port("web", port))
	}
	e.port("web", "7000")
	e.port("web", "7001/tcp")
	e.serve("quiet", "--expose", "80")
	e.Is("80/tcp", "ps", "--format", "{{.Ports}}", "--filter", "name=quiet")
	e.Is("", "port", "quiet")
}

func TestPortsTakenAndForbidden(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	p := freePorts(t, 4)
	at := func(n int) string { return strconv.Itoa(p + n) }
	l, err := net.Listen("tcp", "127.0.0.1:"+at(0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused := func(words string, flags ...string) {
		t.Helper()
		e.Fails(125, words, append(append([]string{"run", "--rm"}, flags...), "busybox", "true")...)
	}
	refused("pid "+strconv.Itoa(os.Getpid()), "-p", at(0)+":80")
	refused("127.0.0.1:"+at(0)+"/tcp: the port is taken", "-p", "127.0.0.1:"+at(0)+":80")
	e.serve("web", "-p", at(0)+"-"+at(2)+":80") // the first that is free
	if got := e.port("web", "80"); got != "127.0.0.1:"+at(1) {
		t.Errorf("of three ports, the first of which is taken, the sandbox has %s, want %s", got, at(1))
	}
	refused("taken by sandbox web", "-p", at(1)+":80")
	refused("taken", "-p", at(0)+"-"+at(1)+":80")
	e.serve("udp", "-p", at(1)+":80/udp") // another port altogether
	answers(t, "udp", "127.0.0.1:"+at(1))

	refused("the host has no address 192.0.2.77", "-p", "192.0.2.77:"+at(3)+":80")
	if start, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil && strings.TrimSpace(string(start)) == "1024" {
		refused("sysctl -w net.ipv4.ip_unprivileged_port_start=81", "-p", "127.0.0.1:81:80")
	}
	refused("published twice", "-p", at(3)+":80", "-p", at(3)+":81")
	refused("invalid ranges", "-p", at(0)+"-"+at(2)+":80-81")
	refused("invalid port", "-p", "70000:80")
	refused("it ends before it begins", "-p", "90-80")
	refused("sctp", "-p", at(3)+":80/sctp")
	refused("invalid IP address", "-p", "1.2.3:"+at(3)+":80")
	refused("exclude each other", "-p", at(3)+":80", "--network", "host")
	refused("exclude each other", "-P", "--network", "none")
	e.OK("rename", "web", "tube")
	refused("taken by sandbox tube", "-p", at(1)+":80")
	e.OK("rename", "tube", "web")
	// What failed holds no port, also where another of its ports was had already.
	refused("taken by sandbox web", "-p", at(3)+":80", "-p", at(1)+":80")
	if !free(p+3, 1) {
		t.Error("a port is taken by a sandbox that did not start")
	}
}

// A byte that goes in comes out, whichever side is done first, and many times at
// once.
func TestPortsCarryEverything(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.serve("web", "-p", "127.0.0.1::80")
	addr := e.port("web", "80")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			data := make([]byte, 4<<20)
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			go func() {
				_, err := c.Write(data)
				if err == nil {
					err = c.(*net.TCPConn).CloseWrite()
				}
				if err != nil {
					t.Error(err)
				}
			}()
			if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Error(err)
			}
			back, err := io.ReadAll(c)
			_, echoed, _ := bytes.Cut(back, []byte("\n"))
			if err != nil || sha256.Sum256(echoed) != sha256.Sum256(data) {
				t.Errorf("%d bytes of %d came back, or others: %v", len(echoed), len(data), err)
			}
		})
	}
	wg.Wait()
}

// A published port follows its sandbox: to another network, over a restart, and to
// nobody else when that address is given to another.
func TestPortsFollowTheSandbox(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	for _, network := range []string{"lab", "other"} {
		e.OK("network", "create", network)
	}
	p := freePorts(t, 1)
	addr := fmt.Sprintf("127.0.0.1:%d", p)
	e.serve("web", "--network", "lab", "-p", fmt.Sprintf("%d:80", p))
	answers(t, "tcp", addr)
	e.OK("restart", "-t", "0", "web")
	e.Eventually("it serves again", func() bool { _, err := ask("tcp", addr, ""); return err == nil })

	e.OK("network", "connect", "other", "web")
	e.OK("network", "disconnect", "lab", "web")
	answers(t, "tcp", addr)
	e.Is(fmt.Sprintf("80/tcp -> 0.0.0.0:%d\n80/tcp -> [::]:%d", p, p), "port", "web")
	e.OK("network", "disconnect", "other", "web")
	refuses(t, "tcp", addr)
	e.OK("network", "connect", "lab", "web")
	answers(t, "tcp", addr)
	e.OK("stop", "-t", "0", "web")
	if !free(p, 1) {
		t.Error("the port is taken after the stop")
	}
	e.OK("start", "web")
	e.Eventually("it serves again", func() bool { _, err := ask("tcp", addr, ""); return err == nil })
}
