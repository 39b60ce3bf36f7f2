package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func (b *bench) runs() error {
	n := b.n(100)
	subjects := append([]subject{b.bwrap(), b.sbx("run", "--rm", "--network", "none", image, "true")}, b.peers.run...)
	m, err := b.interleave(n, subjects...)
	if err != nil {
		return err
	}
	b.report.add(row{Name: "run --rm --network none IMG true, to bwrap", Unit: "x", Must: 2, Aim: 1,
		Value: m["sbx"] / m["bwrap"], Medians: m, Samples: n})
	return nil
}

func (b *bench) execs() error {
	n := b.n(100)
	if _, err := once(b.sbx("run", "-d", "--name", "target", "--network", "none", image, "sleep", "100000")); err != nil {
		return err
	}
	subjects := append([]subject{b.bwrap(), b.sbx("exec", "target", "true")}, b.peers.exec...)
	m, err := b.interleave(n, subjects...)
	if err != nil {
		return err
	}
	b.report.add(row{Name: "exec C true, to bwrap", Unit: "x", Must: 1, Aim: 0.7, Value: m["sbx"] / m["bwrap"], Medians: m, Samples: n})
	_, err = once(b.sbx("rm", "-f", "target"))
	return err
}

// cold is the first command of a user: no supervisor, no namespaces.
func (b *bench) cold() error {
	n := b.n(20)
	var all []time.Duration
	for range n {
		if err := b.Clear(); err != nil {
			return err
		}
		if err := b.Stop(15 * time.Second); err != nil {
			return err
		}
		took, err := once(b.sbx("run", "--rm", "--network", "none", image, "true"))
		if err != nil {
			return err
		}
		all = append(all, took)
	}
	b.report.add(row{Name: "first command, no supervisor", Unit: "ms", Must: 120, Aim: 60, Value: ms(median(all)), Samples: n})
	return nil
}

// parallel starts as fast as eight callers can, sbx and bwrap by turns.
func (b *bench) parallel() error {
	window := 3 * time.Second
	if b.quick {
		window = time.Second / 2
	}
	rates := map[string]float64{}
	const rounds = 3
	for range rounds {
		for _, s := range []subject{b.bwrap(), b.sbx("run", "--rm", "--network", "none", image, "true")} {
			rate, err := rate(s, 8, window)
			if err != nil {
				return err
			}
			rates[s.name] += rate / rounds
		}
	}
	b.report.add(row{Name: "starts per second, 8 in parallel, to bwrap", Unit: "x", Must: 0.4, Aim: 0.8, Least: true,
		Value: rates["sbx"] / rates["bwrap"], Medians: rates, Samples: rounds})
	return nil
}

// rate is the starts per second of so many callers at once.
func rate(s subject, callers int, window time.Duration) (float64, error) {
	var starts atomic.Int64
	errs := make(chan error, callers)
	begin := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for time.Since(begin) < window {
				if _, err := once(s); err != nil {
					errs <- err
					return
				}
				starts.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	return float64(starts.Load()) / took.Seconds(), nil
}

// many starts sandboxes that stay: 100 for ps and memory, the rest to see whether
// the last one starts as fast as the first.
func (b *bench) many() error {
	total, some, edge := 500, 100, 25
	if b.quick {
		total, some, edge = 60, 30, 10
	}
	before, err := b.PSS()
	if err != nil {
		return err
	}
	start := b.sbx("run", "-d", "--network", "none", image, "sleep", "100000")
	var sbx, bwrap []time.Duration
	for k := range total {
		took, err := once(start)
		if err != nil {
			return fmt.Errorf("sandbox %d: %w", k+1, err)
		}
		sbx = append(sbx, took)
		if k < edge || k >= total-edge {
			peer, err := once(b.bwrap())
			if err != nil {
				return err
			}
			bwrap = append(bwrap, peer)
		}
		if k+1 == some {
			if err := b.hundred(some, before); err != nil {
				return err
			}
		}
		if time.Now().After(b.deadline) {
			return fmt.Errorf("out of time at %d sandboxes", k+1)
		}
	}
	first, last := ms(median(sbx[:edge])), ms(median(sbx[total-edge:]))
	b.report.add(row{Name: fmt.Sprintf("%d alive: last start to first", total), Unit: "x", Must: 1.3, Aim: 1, Value: last / first, Samples: edge,
		// bwrap at the same moments shows how much of it is the machine.
		Medians: map[string]float64{"first": first, "last": last,
			"bwrap-first": ms(median(bwrap[:edge])), "bwrap-last": ms(median(bwrap[edge:]))}})
	return b.Clear()
}

func (b *bench) hundred(alive int, before int64) error {
	n := b.n(100)
	m, err := b.interleave(n, b.bwrap(), b.sbx("ps"))
	if err != nil {
		return err
	}
	b.report.add(row{Name: fmt.Sprintf("ps with %d sandboxes, to bwrap", alive), Unit: "x", Must: 1, Value: m["sbx"] / m["bwrap"], Medians: m, Samples: n})

	pss, err := b.PSS()
	if err != nil {
		return err
	}
	const mib = 1 << 20
	b.report.add(row{Name: "PSS per idle detached sandbox, all processes", Unit: "MiB", Must: 2.5, Aim: 1,
		Value: float64(pss) / float64(alive) / mib, Samples: alive,
		Medians: map[string]float64{"total": float64(pss) / mib, "of which before": float64(before) / mib}})
	return nil
}

// inittrace sums what the packages of each program do before main.
func (b *bench) inittrace() error {
	for _, p := range []struct {
		name string
		must float64
		arg  string
	}{{"sbx", 0.5, "--version"}, {"sbxd", 6, "--version"}} {
		n := b.n(20)
		var all []time.Duration
		for range n {
			sum, err := b.initTime(p.name, p.arg)
			if err != nil {
				return err
			}
			all = append(all, sum)
		}
		b.report.add(row{Name: "start-up work before main: " + p.name, Unit: "ms", Must: p.must, Value: ms(median(all)), Samples: n})
	}
	return nil
}

func (b *bench) initTime(name, arg string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, b.Bin+"/"+name, arg)
	c.Env = append(b.Env(), "GODEBUG=inittrace=1")
	// The trace is complete before main: what main makes of the argument is no
	// matter.
	out, _ := c.CombinedOutput()
	var sum float64
	lines := 0
	for line := range strings.Lines(string(out)) {
		// init internal/cpu @0.1 ms, 0.05 ms clock, 0 bytes, 0 allocs
		if f := strings.Fields(line); len(f) > 6 && f[0] == "init" && f[6] == "clock," {
			v, err := strconv.ParseFloat(f[4], 64)
			if err != nil {
				return 0, fmt.Errorf("inittrace of %s: %q", name, line)
			}
			sum += v
			lines++
		}
	}
	if lines == 0 {
		return 0, fmt.Errorf("inittrace of %s: nothing in %q", name, out)
	}
	return time.Duration(sum * float64(time.Millisecond)), nil
}
