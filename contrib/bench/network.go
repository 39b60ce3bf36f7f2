package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The rows about networks compare with the host's loopback interface, which nobody
// can beat: podman's networks need /dev/net/tun and a setting up of their own.

// probeEnv makes this program what runs in a sandbox: a server, or one who looks up
// a name.
const probeEnv = "SBX_BENCH_PROBE"

const probePort = "8080"

func init() {
	var err error
	switch os.Getenv(probeEnv) {
	case "":
		return
	case "serve":
		err = serveAt(":" + probePort)
	case "lookup":
		err = lookUp(os.Args[1], os.Args[2])
	default:
		err = errors.New("no such probe")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// probe is the words of a run that starts this program as a probe.
func (b *bench) probe(name, network, probe string, flags ...string) (subject, error) {
	self, err := os.Executable()
	if err != nil {
		return subject{}, err
	}
	words := append([]string{"run", "-d", "--name", name, "--network", network, "-e", probeEnv + "=" + probe, "-v", self + ":/probe:ro"}, flags...)
	return b.sbx(append(words, image, "/probe")...), nil
}

// bridged is the start of a sandbox that has an address.
func (b *bench) bridged() error {
	n := b.n(100)
	m, err := b.interleave(n, b.bwrap(), b.sbx("run", "--rm", image, "true"))
	if err != nil {
		return err
	}
	b.report.add(row{Name: "run --rm IMG true on the default bridge, to bwrap", Unit: "x", Must: 4, Aim: 1.5,
		Value: m["sbx"] / m["bwrap"], Medians: m, Samples: n})
	return nil
}

// crowd fills one bridge.
func (b *bench) crowd() error {
	total, edge := 200, 25
	if b.quick {
		total, edge = 40, 10
	}
	if _, err := once(b.sbx("network", "create", "crowd")); err != nil {
		return err
	}
	var all []time.Duration
	for k := range total {
		took, err := once(b.sbx("run", "-d", "--network", "crowd", image, "sleep", "100000"))
		if err != nil {
			return fmt.Errorf("sandbox %d: %w", k+1, err)
		}
		all = append(all, took)
		if time.Now().After(b.deadline) {
			return fmt.Errorf("out of time at %d sandboxes", k+1)
		}
	}
	first, last := ms(median(slices.Clone(all[:edge]))), ms(median(slices.Clone(all[total-edge:])))
	b.report.add(row{Name: fmt.Sprintf("%d on one bridge: last start to first", total), Unit: "x", Must: 1.5,
		Value: last / first, Medians: map[string]float64{"first": first, "last": last}, Samples: edge})
	if err := b.Clear(); err != nil {
		return err
	}
	_, err := once(b.sbx("network", "rm", "crowd"))
	return err
}

// throughput sends by iperf3 to a server in a sandbox: from the host by a published
// port, from another sandbox, and on the host's loopback interface without any.
func (b *bench) throughput() (err error) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		return errors.New("iperf3 is not installed: contrib/setup test installs it")
	}
	for _, s := range []subject{
		b.sbx("run", "-d", "--name", "iperf", "-p", "127.0.0.1::5201", "host", "iperf3", "-s"),
		b.sbx("run", "-d", "--name", "other", "host", "sleep", "100000"),
	} {
		if _, err := once(s); err != nil {
			return err
		}
	}
	at, err := b.says(b.sbx("port", "iperf", "5201"))
	if err != nil {
		return err
	}
	ip, err := b.says(b.sbx("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "iperf"))
	if err != nil {
		return err
	}
	plain, end, err := b.plainIperf()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	seconds := "2"
	if b.quick {
		seconds = "1"
	}
	client := func(addr string) []string {
		host, port, _ := strings.Cut(addr, ":")
		return []string{"iperf3", "-c", host, "-p", port, "-t", seconds, "-J"}
	}
	ways := map[string]subject{
		"loopback":  {args: client(plain), env: b.Env(), dir: b.Home},
		"published": {args: client(at), env: b.Env(), dir: b.Home},
		"sandbox":   b.sbx(append([]string{"exec", "other"}, client(ip+":5201")...)...),
	}
	rates := map[string][]float64{}
	n := max(1, b.n(15)/3)
	for range n {
		for _, name := range []string{"loopback", "published", "sandbox"} {
			rate, err := b.iperf(ways[name])
			if err != nil {
				return err
			}
			rates[name] = append(rates[name], rate)
		}
	}
	m := map[string]float64{}
	for name, all := range rates {
		slices.Sort(all)
		m[name] = all[len(all)/2]
	}
	b.report.add(row{Name: "published port, host to sandbox, Gbit/s, to plain loopback", Unit: "x", Least: true,
		Value: m["published"] / m["loopback"], Medians: m, Samples: n})
	b.report.add(row{Name: "sandbox to sandbox on a bridge, Gbit/s, to plain loopback", Unit: "x", Least: true,
		Value: m["sandbox"] / m["loopback"], Medians: m, Samples: n})
	return b.Clear()
}

// plainIperf starts a server without a sandbox.
func (b *bench) plainIperf() (addr string, end func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	_, port, _ := strings.Cut(addr, ":")
	c := exec.Command("iperf3", "-s", "-B", "127.0.0.1", "-p", port)
	c.Env, c.Dir = b.Env(), b.Home
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	end = func() error {
		err := c.Process.Kill()
		_ = c.Wait() // it says that it was killed
		return err
	}
	return addr, end, nil
}

// iperf gives the rate of a client in Gbit/s. The server may be about to listen, or
// about to be done with the client before.
func (b *bench) iperf(s subject) (float64, error) {
	var out string
	var err error
	for range 20 {
		if out, err = b.says(s); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return 0, err
	}
	var report struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return 0, fmt.Errorf("%q: %w", s.args, err)
	}
	return report.End.Received.Rate / 1e9, nil
}

// says runs the subject and gives its output.
func (b *bench) says(s subject) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	c.Env, c.Dir = s.env, s.dir
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%q: %w: %s%s", s.args, err, errs.Bytes(), out)
	}
	return strings.TrimSpace(string(out)), nil
}

// lookups asks for the name of a sandbox from another one.
func (b *bench) lookups() error {
	if _, err := once(b.sbx("network", "create", "named")); err != nil {
		return err
	}
	s, err := b.probe("server", "named", "serve")
	if err != nil {
		return err
	}
	asker, err := b.probe("asker", "named", "serve") // its own name is in its hosts file
	if err != nil {
		return err
	}
	for _, s := range []subject{s, asker} {
		if _, err := once(s); err != nil {
			return err
		}
	}
	n := b.n(1000)
	out, err := b.says(b.sbx("exec", "-e", probeEnv+"=lookup", "asker", "/probe", "server", strconv.Itoa(n)))
	if err != nil {
		return err
	}
	us, err := strconv.ParseFloat(out, 64)
	if err != nil {
		return err
	}
	b.report.add(row{Name: "name lookup of a sandbox name", Unit: "ms", Must: 0.3, Value: us / 1000, Samples: n})
	if err := b.Clear(); err != nil {
		return err
	}
	_, err = once(b.sbx("network", "rm", "named"))
	return err
}

// lookUp prints the median time of a lookup in microseconds.
func lookUp(name, times string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	var all []time.Duration
	for range n {
		start := time.Now()
		if _, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip4", name); err != nil {
			return err
		}
		all = append(all, time.Since(start))
	}
	fmt.Println(float64(median(all)) / float64(time.Microsecond))
	return nil
}

// requests measures connections of one request each, with the server in a sandbox
// and with the same server without one.
func (b *bench) requests() error {
	s, err := b.probe("server", "bridge", "serve", "-p", "127.0.0.1::"+probePort)
	if err != nil {
		return err
	}
	if _, err := once(s); err != nil {
		return err
	}
	at, err := b.says(b.sbx("port", "server", probePort))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go serveOn(l)
	n := b.n(1000)
	times := map[string][]time.Duration{}
	for k := range n + 10 {
		for name, addr := range map[string]string{"published": at, "loopback": l.Addr().String()} {
			start := time.Now()
			if err := request(addr); err != nil {
				if k < 10 {
					time.Sleep(50 * time.Millisecond) // it may not listen yet
					continue
				}
				return err
			}
			if k >= 10 {
				times[name] = append(times[name], time.Since(start))
			}
		}
	}
	m := map[string]float64{"published": ms(median(times["published"])), "loopback": ms(median(times["loopback"]))}
	b.report.add(row{Name: "request through a published port, to plain loopback", Unit: "x", Value: m["published"] / m["loopback"], Medians: m, Samples: n})
	return b.Clear()
}

func request(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "HTTP/1.0 200") {
		err = fmt.Errorf("%s answers %q", addr, line)
	}
	return err
}

func serveAt(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return serveOn(l)
}

// serveOn answers every request with the same.
func serveOn(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			r := bufio.NewReader(c)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if strings.TrimSpace(line) == "" {
					break
				}
			}
			// Who asked may have gone.
			_, _ = fmt.Fprint(c, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
		}()
	}
}
