package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sbx/tests/registry"
)

// pulls measures what it takes to get the big image, sbx and podman by turns, with
// the runs of the new image in between.
func (b *bench) pulls() error {
	r, err := b.remotely()
	if err != nil {
		return err
	}
	ours, theirs := b.sbx("pull", "-q", "--tls-verify=false", r.image), b.podmanDo("pull", "-q", "--tls-verify=false", r.image)
	drop := map[string]subject{"sbx": b.sbx("rmi", "-f", r.image), "podman": b.podmanDo("rmi", "-f", r.image)}
	n := b.n(5)
	walls, cpus := map[string][]time.Duration{}, map[string][]time.Duration{}
	var first, tenth []time.Duration
	for round := range n {
		for k := range 2 {
			s := []subject{ours, theirs}[(k+round)%2]
			if _, err := once(drop[s.name]); err != nil && round > 0 {
				return err
			}
			syscall.Sync() // what the one before has left to write is not this one's
			took, cpu, err := b.spent(s)
			if err != nil {
				return err
			}
			walls[s.name], cpus[s.name] = append(walls[s.name], took), append(cpus[s.name], cpu)
			if s.name != "sbx" {
				continue
			}
			one, ten, err := b.ten(r.image)
			if err != nil {
				return err
			}
			first, tenth = append(first, one), append(tenth, ten)
		}
		if time.Now().After(b.deadline) {
			return errors.New("out of time")
		}
	}
	m := map[string]float64{}
	for name := range walls {
		m[name], m[name+" cpu"] = ms(median(walls[name])), ms(median(cpus[name]))
	}
	b.report.add(row{Name: "pull from loopback, " + r.size + ", to podman", Unit: "x", Must: 0.8, Aim: 0.4, Value: m["sbx"] / m["podman"], Medians: m, Samples: n})
	if err := b.firsts(r.small, map[string]float64{"of the big one": ms(median(first)), "its tenth": ms(median(tenth))}); err != nil {
		return err
	}
	again := b.n(10)
	if m, err = b.interleave(again, ours, theirs); err != nil {
		return err
	}
	b.report.add(row{Name: "pull again, nothing to do, to podman", Unit: "x", Must: 0.3, Value: m["sbx"] / m["podman"], Medians: m, Samples: again})
	return b.memory(ours, drop["sbx"])
}

// firsts measures with the small image, which can be pulled often enough for
// figures of milliseconds.
func (b *bench) firsts(image string, medians map[string]float64) error {
	n := b.n(40)
	var first, tenth []time.Duration
	for range n {
		if _, err := once(b.sbx("pull", "-q", "--tls-verify=false", image)); err != nil {
			return err
		}
		one, ten, err := b.ten(image)
		if err != nil {
			return err
		}
		first, tenth = append(first, one), append(tenth, ten)
		if _, err := once(b.sbx("rmi", "-f", image)); err != nil {
			return err
		}
	}
	medians["first"], medians["tenth"] = ms(median(first)), ms(median(tenth))
	b.report.add(row{Name: "first run of a just pulled image, to its tenth", Unit: "x", Must: 1.1, Value: medians["first"] / medians["tenth"], Samples: n,
		Medians: medians})
	return nil
}

// ten runs the image ten times.
func (b *bench) ten(image string) (first, tenth time.Duration, err error) {
	for n := range 10 {
		took, err := once(b.sbx("run", "--rm", "--network", "none", "--pull", "never", image, "true"))
		if err != nil {
			return 0, 0, err
		}
		if n == 0 {
			first = took
		}
		tenth = took
	}
	return first, tenth, nil
}

// spent runs the subject once and says how long it took, and how much time of the
// processors: of its own processes, and of those of sbx that stay.
func (b *bench) spent(s subject) (wall, cpu time.Duration, err error) {
	before := b.ticks()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	c.Env, c.Dir = s.env, s.dir
	start := time.Now()
	if err := c.Run(); err != nil {
		_, again := once(s)
		return 0, 0, fmt.Errorf("%s: %w; %v", strings.Join(s.args, " "), err, again)
	}
	return time.Since(start), c.ProcessState.UserTime() + c.ProcessState.SystemTime() + b.ticks() - before, nil
}

// ticks is the time of the processors that the supervisor has used.
func (b *bench) ticks() (sum time.Duration) {
	for _, p := range b.Processes() {
		if len(p.Args) != 2 || p.Args[1] != "supervisor" {
			continue
		}
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/stat")
		if err != nil {
			continue // it has ended
		}
		// Fields 14 and 15, counted behind the name in parentheses: proc_pid_stat(5).
		f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		for _, field := range f[11:13] {
			if n, err := strconv.Atoi(field); err == nil {
				sum += time.Duration(n) * 10 * time.Millisecond
			}
		}
	}
	return sum
}

// memory measures the peak of the supervisor and of the command together, of a
// supervisor that has done nothing before.
func (b *bench) memory(pull, drop subject) error {
	var worst, daemon, command float64
	n := b.n(3)
	for range n {
		if _, err := once(drop); err != nil {
			return err
		}
		if err := b.Stop(15 * time.Second); err != nil {
			return err
		}
		c := exec.Command(pull.args[0], pull.args[1:]...)
		c.Env, c.Dir = pull.env, pull.dir
		own, err := watched(c)
		if err != nil {
			return err
		}
		peak, err := b.peak()
		if err != nil {
			return err
		}
		if peak+own > worst {
			worst, daemon, command = peak+own, peak, own
		}
	}
	b.report.add(row{Name: "peak memory while pulling, supervisor and command", Unit: "MB", Must: 150, Aim: 80, Value: worst,
		Medians: map[string]float64{"supervisor": daemon, "command": command}, Samples: n})
	return nil
}

// watched runs a command and gives the most memory that it had, in MB. The kernel's
// own account of a child begins with what we had when it was forked (ru_maxrss in
// getrusage(2) outlives an execve), so it is looked at while it runs.
func watched(c *exec.Cmd) (mb float64, err error) {
	if err := c.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return mb, err
		case <-tick.C:
			if now, err := highWater(c.Process.Pid); err == nil {
				mb = max(mb, now)
			}
		}
	}
}

// highWater is the most memory that a process had since its execve, in MB.
func highWater(pid int) (float64, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")))
			return float64(n) * 1024 / 1e6, err
		}
	}
	return 0, errors.New("it has ended")
}

// peak is the most memory that the supervisor ever had, in MB.
func (b *bench) peak() (float64, error) {
	for _, p := range b.Processes() {
		if len(p.Args) != 2 || p.Args[1] != "supervisor" {
			continue
		}
		return highWater(p.PID)
	}
	return 0, errors.New("there is no supervisor")
}

// pushes measures the way back, each time to a registry that has nothing.
func (b *bench) pushes() error {
	r, err := b.remotely()
	if err != nil {
		return err
	}
	for _, s := range []subject{b.sbx("pull", "-q", "--tls-verify=false", r.image), b.podmanDo("pull", "-q", "--tls-verify=false", r.image)} {
		if _, err := once(s); err != nil {
			return err
		}
	}
	n := b.n(3)
	walls, cpus := map[string][]time.Duration{}, map[string][]time.Duration{}
	for round := range n {
		for k := range 2 {
			err := b.emptied(func(to *registry.Registry) error {
				s := []subject{b.sbx("push", "-q", "--tls-verify=false", r.image, to.Addr+"/big:1"),
					b.podmanDo("push", "-q", "--tls-verify=false", r.image, to.Addr+"/big:1")}[(k+round)%2]
				took, cpu, err := b.spent(s)
				walls[s.name], cpus[s.name] = append(walls[s.name], took), append(cpus[s.name], cpu)
				return err
			})
			if err != nil {
				return err
			}
		}
		if time.Now().After(b.deadline) {
			return errors.New("out of time")
		}
	}
	m := map[string]float64{}
	for name := range walls {
		m[name], m[name+" cpu"] = ms(median(walls[name])), ms(median(cpus[name]))
	}
	b.report.add(row{Name: "push the same, blobs absent, to podman", Unit: "x", Must: 0.8, Aim: 0.5, Value: m["sbx"] / m["podman"], Medians: m, Samples: n})
	return nil
}
