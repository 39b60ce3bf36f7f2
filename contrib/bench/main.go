// Command bench measures sbx beside bwrap, and beside podman and crun where they
// are installed, all interleaved in one run, since machines are noisy: what
// counts is the ratio of medians that were taken at the same time.
//
// It runs as an unprivileged user; make bench sees to that. Rows about networks are
// beside the better of podman's networks, so run it where podman works: rootless, with
// /dev/net/tun open to everybody, pasta and slirp4netns. Without podman, they are
// beside the host's loopback interface. The server outside of the host is what
// contrib/bench/outside makes, or any iperf3 server that --outside names. A row whose figure
// misses what it must reach is marked MISS; with --strict the exit status is
// then 1.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sbx/tests/instance"
)

type options struct {
	bin, rootfs, json, rows string
	outside                 string
	strict, quick           bool
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "`directory` of sbx and sbxd")
	flag.StringVar(&o.rootfs, "rootfs", os.Getenv("SBX_TEST_BUSYBOX"), "`archive` of a small root file system with true and sleep")
	flag.StringVar(&o.json, "json", "", "write the figures to this `file`")
	flag.StringVar(&o.rows, "rows", "", "only rows whose name holds one of these `words`, separated by commas")
	flag.StringVar(&o.outside, "outside", os.Getenv("SBX_BENCH_OUTSIDE"), "`address:port` of an iperf3 server that is not on this host; contrib/bench/outside makes one")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 when a row misses what it must reach")
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the samples: to see that it works, not to measure")
	flag.Parse()

	missed, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if missed && o.strict {
		os.Exit(1)
	}
}

// run measures everything, and prints and writes what came of it.
func run(o options) (missed bool, err error) {
	if os.Getuid() == 0 {
		return false, fmt.Errorf("sbx is measured as an unprivileged user: use make bench")
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return false, err
	}
	i, err := instance.New(bin)
	if err == nil {
		err = i.RunInMemory()
	}
	if err != nil {
		return false, err
	}
	b := &bench{Instance: i, quick: o.quick, outside: o.outside, deadline: time.Now().Add(9 * time.Minute)}
	defer func() {
		for _, s := range b.peers.end {
			if _, e := once(s); e != nil && err == nil {
				err = e
			}
		}
		for _, end := range b.closers {
			if e := end(); e != nil && err == nil {
				err = e
			}
		}
		for _, i := range []*instance.Instance{i, b.peers.Instance} {
			if i == nil {
				continue
			}
			i.Kill()
			if e := i.Remove(); e != nil && err == nil {
				err = e
			}
		}
	}()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan error, 1)
	go func() { done <- b.measure(o) }()
	select {
	case err = <-done:
	case s := <-stop:
		err = fmt.Errorf("stopped by %v", s)
	case <-time.After(time.Until(b.deadline) + time.Minute):
		err = fmt.Errorf("no end in sight")
	}
	if len(b.report.Rows) > 0 {
		b.report.print(os.Stdout)
	}
	if o.json != "" && err == nil {
		err = b.report.write(o.json)
	}
	return b.report.missed(), err
}

// measure does the rows in an order that lets later ones use what earlier ones
// started.
func (b *bench) measure(o options) error {
	if err := b.prepare(o.rootfs); err != nil {
		return err
	}
	for _, row := range []struct {
		name    string
		measure func() error
	}{
		{"init", b.inittrace}, {"cold", b.cold}, {"run", b.runs}, {"binds", b.binds}, {"keepid", b.keepIDs}, {"untar", b.untars}, {"exec", b.execs}, {"parallel", b.parallel}, {"many", b.many},
		{"pull", b.pulls}, {"push", b.pushes}, {"cp", b.copies}, {"commit", b.commits}, {"build", b.builds},
		{"bridge", b.bridged}, {"crowd", b.crowd}, {"throughput", b.throughput}, {"lookup", b.lookups}, {"request", b.requests},
	} {
		if !wanted(o.rows, row.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s ...\n", row.name)
		if err := row.measure(); err != nil {
			// The other rows still mean something.
			b.report.fail(row.name, err)
		}
	}
	return nil
}

func wanted(rows, name string) bool {
	if rows == "" {
		return true
	}
	for word := range strings.SplitSeq(rows, ",") {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

func (r *report) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
