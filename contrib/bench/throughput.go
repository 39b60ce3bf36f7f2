package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// flow is who sends how much to whom: the words that start iperf3 as a client, and
// the rates in Gbit/s.
type flow struct {
	row, side string
	client    subject
	rates     []float64
}

// Rows that are measured by iperf3.
const (
	published = "published port, host to sandbox"
	neighbour = "sandbox to sandbox on a bridge"
	outward   = "sandbox to a server outside"
	inward    = "server outside to a sandbox"
)

// throughput sends by iperf3 to a server in a sandbox, from the host by a published
// port and from another sandbox, and both ways between a sandbox and a server
// outside; the same with podman.
func (b *bench) throughput() (err error) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		return errors.New("iperf3 is not installed: contrib/setup test installs it")
	}
	if b.outside == "" {
		fmt.Fprintln(os.Stderr, "bench: without the way out: --outside has to name an iperf3 server")
	}
	plain, end, err := b.plainIperf()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	flows := []*flow{{row: published, side: "loopback", client: b.client(plain)}}
	for _, s := range b.sides() {
		more, err := b.flows(s)
		if err != nil {
			return err
		}
		flows = append(flows, more...)
	}
	n := max(1, b.n(50)/10)
	for round := range n {
		for k := range flows {
			f := flows[(k+round)%len(flows)]
			rate, err := b.iperf(f.client)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", f.row, f.side, err)
			}
			f.rates = append(f.rates, rate)
		}
		if time.Now().After(b.deadline) {
			return errors.New("out of time")
		}
	}
	b.compare(flows, n)
	for _, s := range b.sides() {
		if err := s.remove(s.name+"-iperf", s.name+"-other"); err != nil {
			return err
		}
	}
	return nil
}

// flows starts a server and a client of a side, and says what there is to measure.
func (b *bench) flows(s side) ([]*flow, error) {
	programs := hostPrograms()
	server := append([]string{"-d", "--name", s.name + "-iperf", "-p", "127.0.0.1::5201"}, programs...)
	other := append([]string{"-d", "--name", s.name + "-other"}, programs...)
	for _, r := range []subject{
		s.run(append(server, image, "iperf3", "-s")...),
		s.run(append(other, image, "sleep", "100000")...),
	} {
		if _, err := once(r); err != nil {
			return nil, err
		}
	}
	at, err := b.says(s.do("port", s.name+"-iperf", "5201"))
	if err != nil {
		return nil, err
	}
	inside := func(addr string, words ...string) subject {
		return s.do(append([]string{"exec", s.name + "-other"}, append(b.client(addr).args, words...)...)...)
	}
	all := []*flow{{row: published, side: s.name, client: b.client(at)}}
	if s.name == "sbx" || s.name == podmanBridge {
		ip, err := b.says(s.do("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", s.name+"-iperf"))
		if err != nil {
			return nil, err
		}
		all = append(all, &flow{row: neighbour, side: s.name, client: inside(ip + ":5201")})
	}
	if b.outside != "" {
		all = append(all, &flow{row: outward, side: s.name, client: inside(b.outside)},
			&flow{row: inward, side: s.name, client: inside(b.outside, "-R")})
	}
	return all, nil
}

// hostPrograms are the words of a run that let a sandbox use this system's programs.
func hostPrograms() []string {
	var words []string
	for _, dir := range []string{"/usr", "/lib", "/lib64"} {
		if _, err := os.Stat(dir); err == nil {
			words = append(words, "-v", dir+":"+dir+":ro")
		}
	}
	return words
}

// client is iperf3 that sends for a second or two.
func (b *bench) client(addr string) subject {
	seconds := "2"
	if b.quick {
		seconds = "1"
	}
	host, port, _ := strings.Cut(addr, ":")
	return subject{args: []string{"iperf3", "-c", host, "-p", port, "-t", seconds, "-J"}, env: b.Env(), dir: b.Home}
}

// compare makes the rows, beside the better of podman's ways; without podman, the
// host's loopback interface, which nobody can beat.
func (b *bench) compare(flows []*flow, n int) {
	rows := map[string]map[string]float64{}
	for _, f := range flows {
		if rows[f.row] == nil {
			rows[f.row] = map[string]float64{}
		}
		slices.Sort(f.rates)
		rows[f.row][f.side] = f.rates[len(f.rates)/2]
	}
	for _, r := range []row{
		{Name: published, Must: 1, Aim: 1.5},
		{Name: neighbour, Must: 1},
		{Name: outward, Must: 1, Aim: 2},
		{Name: inward, Must: 1, Aim: 2},
	} {
		m := rows[r.Name]
		if m == nil {
			continue // no server outside
		}
		peer, name := best(m, true, podmanBridge, podmanPasta, podmanSlirp)
		if name == "" {
			m = maps.Clone(m)
			m["loopback"], name = rows[published]["loopback"], "plain loopback"
			peer, r.Must, r.Aim = m["loopback"], 0, 0
		}
		r.Name += ", Gbit/s, to " + name
		r.Value, r.Unit, r.Least, r.Medians, r.Samples = m["sbx"]/peer, "x", true, m, n
		b.report.add(r)
	}
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
