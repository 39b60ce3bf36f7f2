package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/tests/instance"
)

// open is a table of its own for a test; what it has published is removed at the
// end, and its process must end by itself then.
func open(t *testing.T) (*Table, Options) {
	t.Helper()
	run := t.TempDir()
	t.Setenv("SBX_RUN", run)
	o := Options{Run: run, Switch: switchPath(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	table, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for id := range table.List() {
			if err := table.Remove(context.Background(), id); err != nil {
				t.Error(err)
			}
		}
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		gone(t, run)
	})
	return table, o
}

func switchPath() string { return fmt.Sprintf("/proc/self/fd/%d", switchNS.Fd()) }

// gone waits until no process of the directory is left.
func gone(t *testing.T, run string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		pids := forwarders(t, run)
		if len(pids) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Errorf("processes %v are left", pids)
			return
		}
	}
}

// forwarders are the processes of a runtime directory.
func forwarders(t *testing.T, run string) (pids []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		env, _ := os.ReadFile(dir + "/environ")
		if string(cmdline) == "sbxd\x00ports\x00" && strings.Contains(string(env), "SBX_RUN="+run+"\x00") {
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func to(ip string, port int) netip.AddrPort { return netip.AddrPortFrom(addr(ip), uint16(port)) }

func publish(t *testing.T, table *Table, f Forward) (id, port int) {
	t.Helper()
	id, p, err := table.Add(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return id, int(p)
}

// program serves TCP in the sandbox; it returns the port. Each connection is
// handled on its own.
func program(t testing.TB, handle func(net.Conn)) int {
	t.Helper()
	return serveIn(t, sandboxNS, handle)
}

// serveIn is program in any namespace.
func serveIn(t testing.TB, ns *os.File, handle func(net.Conn)) int {
	t.Helper()
	var l net.Listener
	if err := in(ns, func() (err error) {
		l, err = net.Listen("tcp", ":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// sayPeer tells the client its address.
func sayPeer(c net.Conn) { fmt.Fprint(c, c.RemoteAddr()) }

// echo sends everything back, and the end of it.
func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// dial connects from a namespace, nil is the host's.
func dial(t *testing.T, ns *os.File, network, address string) (conn net.Conn) {
	t.Helper()
	connect := func() (err error) {
		conn, err = net.DialTimeout(network, address, 5*time.Second)
		return err
	}
	var err error
	if ns == nil {
		err = connect()
	} else {
		err = in(ns, connect)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(instance.Patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func at(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

func TestSandboxSeesTheClient(t *testing.T) {
	table, _ := open(t)
	inner := program(t, sayPeer)
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner), To6: to(sandboxAddr6, inner)})
	_, only4 := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	_, plain := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner), Plain: true})
	if err := table.Plain(); err != nil {
		t.Fatal(err)
	}
	for _, e := range []struct {
		name, dial string
		port       int
		ns         *os.File
		want       string // "": the client's address and port
	}{
		{"IPv4", hostAddr, port, clientNS, ""},
		{"IPv6", hostAddr6, port, clientNS, ""},
		{"the host itself", hostAddr, port, nil, ""},
		{"loopback", "127.0.0.1", port, nil, gatewayAddr},
		{"loopback by IPv6", "::1", port, nil, gatewayAddr6},
		{"IPv6 to a sandbox without", hostAddr6, only4, clientNS, gatewayAddr},
		{"a sandbox without a default route", hostAddr, plain, clientNS, gatewayAddr},
	} {
		t.Run(e.name, func(t *testing.T) {
			c := dial(t, e.ns, "tcp", at(e.dial, e.port))
			got, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			want := c.LocalAddr().String()
			if e.want != "" {
				host, _, _ := net.SplitHostPort(string(got))
				got, want = []byte(host), e.want
			}
			if string(got) != want {
				t.Errorf("the sandbox saw %s, want %s", got, want)
			}
		})
	}
}

// A client may use one port of its own for two published ports that lead to the
// same place. Both connections must work, and come from its address.
func TestOneClientPortTwice(t *testing.T) {
	table, _ := open(t)
	inner := program(t, func(c net.Conn) { sayPeer(c); _, _ = io.Copy(io.Discard, c) })
	var got []string
	local := &net.TCPAddr{IP: net.ParseIP(clientAddr), Port: 40123}
	for range 2 {
		_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
		var c net.Conn
		if err := in(clientNS, func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			f := os.NewFile(uintptr(fd), "client")
			defer f.Close()
			err = errors.Join(
				unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr(clientAddr), uint16(local.Port)), 0)),
				unix.Connect(fd, sockaddr(to(hostAddr, port), 0)))
			if err != nil {
				return err
			}
			c, err = net.FileConn(f)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(buf[:n]))
	}
	if got[0] != local.String() || !strings.HasPrefix(got[1], clientAddr+":") || got[0] == got[1] {
		t.Errorf("the sandbox saw %q", got)
	}
}

// What is sent in one direction may end long before the other.
func TestHalfClose(t *testing.T) {
	table, _ := open(t)
	inner := program(t, func(c net.Conn) {
		n, err := io.Copy(io.Discard, c)
		fmt.Fprint(c, n, err)
	})
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	c := dial(t, clientNS, "tcp", at(hostAddr, port)).(*net.TCPConn)
	const size = 3<<20 + 7
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != fmt.Sprint(size, " ", nil) {
		t.Errorf("%q %v", got, err)
	}
}

// A client sees what it would see without a forwarder between.
func TestBrokenConnections(t *testing.T) {
	table, _ := open(t)
	broken := make(chan error, 1)
	inner := program(t, func(c net.Conn) {
		_, err := io.Copy(io.Discard, c)
		broken <- err
	})
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	_, nobody := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, 1)})

	err := in(clientNS, func() error {
		c, err := net.Dial("tcp", at(hostAddr, nobody))
		if err != nil {
			return err // the reset may come that early
		}
		defer c.Close()
		_, err = io.ReadAll(c)
		return err
	})
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("nobody listens: %v", err)
	}
	c := dial(t, clientNS, "tcp", at(hostAddr, port))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-broken; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the client was cut off: the program saw %v", err)
	}
}

func TestAddressesToListenOn(t *testing.T) {
	table, _ := open(t)
	inner := program(t, echo)
	reached := func(host string, ns *os.File, port int) bool {
		var c net.Conn
		connect := func() (err error) {
			c, err = net.DialTimeout("tcp", at(host, port), time.Second)
			return err
		}
		err := in(ns, connect)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	for listen, want := range map[string]string{
		"":           "127.0.0.1 ::1 " + hostAddr + " " + hostAddr6,
		"0.0.0.0":    "127.0.0.1 " + hostAddr,
		"::":         "::1 " + hostAddr6,
		"127.0.0.1":  "127.0.0.1",
		"::1":        "::1",
		hostAddr:     hostAddr,
		"127.0.0.99": "",
	} {
		f := Forward{Proto: TCP, To: to(sandboxAddr, inner)}
		if listen != "" {
			f.Host = addr(listen)
		}
		_, port := publish(t, table, f)
		var got []string
		for _, host := range []string{"127.0.0.1", "::1", hostAddr, hostAddr6} {
			ns := clientNS
			if addr(host).IsLoopback() {
				ns = hostNS
			}
			if reached(host, ns, port) {
				got = append(got, host)
			}
		}
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("published on %q: reached at %q, want %q", listen, got, want)
		}
	}
}

func TestRefusedPorts(t *testing.T) {
	table, _ := open(t)
	const otherPort = 18080
	other := exec.Command("/proc/self/exe", "hold", at("127.0.0.1", otherPort))
	stop, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop.Close()
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	f := Forward{Proto: TCP, To: to(sandboxAddr, 80), Owner: "web"}
	_, port := publish(t, table, f)
	// Everybody is root here, as far as the sysctl is concerned.
	low := refused(Forward{Proto: TCP, Port: 80}, unix.EACCES, "").Error()
	for _, e := range []struct {
		err  error
		want []string
	}{
		{add(table, f, "", port), []string{fmt.Sprintf("publish port %d/tcp", port), "the port is taken by sandbox web"}},
		{add(table, f, "127.0.0.1", port), []string{fmt.Sprintf("127.0.0.1:%d/tcp", port), "taken by sandbox web"}},
		{add(table, f, "", otherPort), []string{"taken by", fmt.Sprintf("(pid %d)", other.Process.Pid)}},
		{add(table, f, "192.0.2.77", port), []string{"the host has no address 192.0.2.77"}},
		{add(table, f, "::ffff:127.0.0.1", port), []string{"write 127.0.0.1"}},
		{errors.New(low), []string{"publish port 80/tcp: ports below 1024 are for root", "sysctl -w net.ipv4.ip_unprivileged_port_start=80"}},
	} {
		if e.err == nil {
			t.Errorf("no error, want %q", e.want)
			continue
		}
		for _, want := range e.want {
			if !strings.Contains(e.err.Error(), want) {
				t.Errorf("%v\nwant %q", e.err, want)
			}
		}
	}
	if n := len(table.List()); n != 1 {
		t.Errorf("%d ports are published", n)
	}
	var e *api.Error
	if err := add(table, f, "", port); !errors.As(err, &e) || e.Errno != unix.EADDRINUSE {
		t.Errorf("%#v", err)
	}
}

func add(table *Table, f Forward, host string, port int) error {
	if host != "" {
		f.Host = addr(host)
	}
	f.Port = uint16(port)
	_, _, err := table.Add(context.Background(), f)
	return err
}

// A supervisor that has died leaves ports and connections; the next one finds them.
func TestConnectionsOutliveTheSupervisor(t *testing.T) {
	table, o := open(t)
	inner := program(t, echo)
	f := Forward{Proto: TCP, Host: addr(hostAddr), To: to(sandboxAddr, inner), Owner: "web"}
	id, port := publish(t, table, f)
	c := dial(t, clientNS, "tcp", at(hostAddr, port))
	speak(t, c)
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	speak(t, c)
	speak(t, dial(t, clientNS, "tcp", at(hostAddr, port)))

	next, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	f.Port = uint16(port)
	if got := next.List(); len(got) != 1 || got[id] != f {
		t.Fatalf("%+v, want %+v", got, f)
	}
	speak(t, c)
	second, _ := publish(t, next, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	if second == id {
		t.Errorf("number %d is used twice", id)
	}
	for _, id := range []int{id, second, second} {
		if err := next.Remove(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the port was removed, and a connection reads %v", err)
	}
	if _, err := net.Dial("tcp", at(hostAddr, port)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a removed port: %v", err)
	}
}

func speak(t *testing.T, c net.Conn) {
	t.Helper()
	const word = "are you there?"
	if _, err := io.WriteString(c, word); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != word {
		t.Fatalf("%q %v", got, err)
	}
}

// The ports come back with their numbers when the process is killed.
func TestKilledForwarder(t *testing.T) {
	table, o := open(t)
	inner := program(t, echo)
	id, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, inner)})
	for range 2 {
		pids := forwarders(t, o.Run)
		if len(pids) != 1 {
			t.Fatalf("processes %v", pids)
		}
		if err := unix.Kill(pids[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if now := forwarders(t, o.Run); len(now) == 1 && now[0] != pids[0] {
				if c, err := net.Dial("tcp", at("127.0.0.1", port)); err == nil {
					speak(t, c)
					c.Close()
					break
				}
			}
			if time.Now().After(end) {
				t.Fatal("the port did not come back")
			}
		}
	}
	if err := table.Remove(context.Background(), id); err != nil {
		t.Error(err)
	}
}

// A process that serves a switch of the past holds ports that lead nowhere.
func TestForwarderOfThePast(t *testing.T) {
	table, o := open(t)
	_, port := publish(t, table, Forward{Proto: TCP, To: to(sandboxAddr, 80)})
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	o.Switch = fmt.Sprintf("/proc/self/fd/%d", sandboxNS.Fd())
	next, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	gone(t, o.Run)
	if n := len(next.List()); n != 0 {
		t.Errorf("%d ports", n)
	}
	if _, err := net.Dial("tcp", at("127.0.0.1", port)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("its port: %v", err)
	}
}

func TestNothingRunsWithoutPorts(t *testing.T) {
	table, o := open(t)
	if pids := forwarders(t, o.Run); len(pids) != 0 {
		t.Errorf("processes %v", pids)
	}
	if err := table.Remove(context.Background(), 7); err != nil {
		t.Errorf("a number that does not exist: %v", err)
	}
}
