package main

import (
	"bytes"
	"context"
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

// side is one who gives sandboxes a network: sbx, or podman in one of its ways.
type side struct {
	name    string
	do      func(args ...string) subject
	network []string // words of a run, for a sandbox of the benchmark
}

const (
	podmanBridge = "podman-bridge" // ports by rootlessport
	podmanPasta  = "podman-pasta"
	podmanSlirp  = "podman-slirp4netns"
)

// sides are those that work here; sbx is the first.
func (b *bench) sides() []side {
	if b.found != nil {
		return b.found
	}
	b.found = []side{{"sbx", b.sbx, nil}}
	if !b.peers.podman {
		return b.found
	}
	for _, s := range []side{
		{podmanBridge, b.podmanDo, []string{"--network", "podman"}},
		{podmanPasta, b.podmanDo, []string{"--network", "pasta"}},
		{podmanSlirp, b.podmanDo, []string{"--network", "slirp4netns"}},
	} {
		if _, err := once(s.run("--rm", image, "true")); err != nil {
			fmt.Fprintf(os.Stderr, "bench: without %s: %v\n", s.name, err)
			continue
		}
		b.found = append(b.found, s)
	}
	return b.found
}

// run is a run command on the side's network.
func (s side) run(words ...string) subject {
	r := s.do(append(append([]string{"run"}, s.network...), words...)...)
	r.name = s.name
	return r
}

// remove ends sandboxes.
func (s side) remove(names ...string) error {
	words := []string{"rm", "-f"}
	if s.name != "sbx" {
		words = append(words, "-t", "0")
	}
	_, err := once(s.do(append(words, names...)...))
	return err
}

// best is the highest (or lowest) figure of those that are there, and whose it is.
func best(m map[string]float64, highest bool, names ...string) (value float64, name string) {
	for _, n := range names {
		if v, ok := m[n]; ok && (name == "" || (v > value) == highest) {
			value, name = v, n
		}
	}
	return value, name
}

// probe is the words of a run that starts this program as a probe.
func (s side) probe(name, probe string, flags ...string) (subject, error) {
	self, err := os.Executable()
	if err != nil {
		return subject{}, err
	}
	words := append([]string{"-d", "--name", name, "-e", probeEnv + "=" + probe, "-v", self + ":/probe:ro"}, flags...)
	return s.run(append(words, image, "/probe")...), nil
}

// bridged is the start of a sandbox that has an address.
func (b *bench) bridged() error {
	n := b.n(100)
	subjects := []subject{b.bwrap()}
	for _, s := range b.sides() {
		r := s.run("--rm", image, "true")
		if s.name != "sbx" {
			r.every = 20
		}
		subjects = append(subjects, r)
	}
	m, err := b.interleave(n, subjects...)
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
	named := side{"sbx", b.sbx, []string{"--network", "named"}}
	s, err := named.probe("server", "serve")
	if err != nil {
		return err
	}
	asker, err := named.probe("asker", "serve") // its own name is in its hosts file
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
