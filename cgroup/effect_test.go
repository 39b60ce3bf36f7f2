package cgroup_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sbx/api"
	"sbx/cgroup"
)

// Limits by their effect on real processes.

func TestRealMemory(t *testing.T) {
	need(t, "memory")
	g := group(t, api.Limits{Memory: 32 << 20, MemorySwap: 32 << 20})
	w := watch(t, g)
	if code := end(t, start(t, g, "eat 8")); code != 0 {
		t.Errorf("8 MiB: exit status %d", code)
	}
	if n, err := g.OOMKills(); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if code := end(t, start(t, g, "eat 64")); code != 137 {
		t.Errorf("64 MiB: exit status %d", code)
	}
	if n, err := g.OOMKills(); n != 1 || err != nil {
		t.Errorf("%d killed, %v", n, err)
	}
	for { // events of both processes' births and deaths come, too
		if e := next(t, w); e.OOMKills == 1 {
			break
		}
	}
	s, err := g.Stats()
	if err != nil || s.Memory == nil || s.Memory.Limit != 32<<20 {
		t.Errorf("%+v, %v", s.Memory, err)
	} else if s.Memory.Peak != 0 && (s.Memory.Peak < 31<<20 || s.Memory.Peak > 33<<20) {
		t.Errorf("peak %d", s.Memory.Peak)
	}
	// An update takes effect at once.
	plan, err := home.Plan(api.Limits{Memory: 128 << 20})
	if err := errors.Join(err, g.Set(plan)); err != nil {
		t.Fatal(err)
	}
	if code := end(t, start(t, g, "eat 64")); code != 0 {
		t.Errorf("64 of 128 MiB: exit status %d", code)
	}
}

func TestRealHalfAProcessor(t *testing.T) {
	need(t, "cpu")
	g := group(t, api.Limits{NanoCPUs: 500_000_000})
	c := start(t, g, "spin 60000")
	read := func() cgroup.Stats {
		s, err := g.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for read().CPU.Usage == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	// A busy machine may hold this process up just when it looks at the clock.
	const windows = 4
	var share float64
	for i := 0; i < windows && (share < 0.45 || share > 0.55); i++ {
		before := read()
		time.Sleep(3 * time.Second)
		after := read()
		share = float64(after.CPU.Usage-before.CPU.Usage) / float64(after.Time.Sub(before.Time))
		t.Logf("a spinner has %.3f of a processor", share)
	}
	if share < 0.45 || share > 0.55 {
		t.Error("it is to have half")
	}
	after := read()
	if after.CPU.Throttled == 0 || after.CPU.User == 0 {
		t.Errorf("%+v", after.CPU)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	end(t, c)
}

func TestRealForksEndAtTheLimit(t *testing.T) {
	need(t, "pids")
	g := group(t, api.Limits{PidsLimit: 40})
	c := start(t, g, "fork 100")
	current := func() uint64 {
		s, err := g.Stats()
		if err != nil || s.Pids == nil {
			t.Fatal(s, err)
		}
		return s.Pids.Current
	}
	for end := time.Now().Add(30 * time.Second); output(c) == "" && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		if n := current(); n > 40 {
			t.Fatalf("%d of 40 processes and threads", n)
		}
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	end(t, c)
	if !strings.HasSuffix(output(c), " true\n") {
		t.Errorf("%q", output(c))
	}
}

func TestRealBombDies(t *testing.T) {
	need(t, "pids")
	for name, kill := range map[string]func(cgroup.Group) error{"cgroup.kill": cgroup.Group.Kill, "each": cgroup.Group.KillEach} {
		g := group(t, api.Limits{PidsLimit: 60})
		c := start(t, g, "bomb")
		for {
			if pids, err := g.Pids(); err != nil {
				t.Fatal(err)
			} else if len(pids) > 5 {
				break
			}
		}
		began := time.Now()
		if err := kill(g); err != nil {
			t.Fatal(name, err)
		}
		if code := end(t, c); code != 137 {
			t.Errorf("%s: exit status %d", name, code)
		}
		if err := g.Remove(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s and remove took %v", name, time.Since(began))
	}
}

func TestRealCpuset(t *testing.T) {
	need(t, "cpuset")
	last := strconv.Itoa(runtime.NumCPU() - 1)
	c := start(t, group(t, api.Limits{CpusetCPUs: last, CpusetMems: "0"}), "cpus")
	if end(t, c); output(c) != last+" " {
		t.Errorf("it may use %q, not %s", output(c), last)
	}
	_, err := home.Plan(api.Limits{CpusetCPUs: "8000"})
	if err == nil || !strings.Contains(err.Error(), "available are 0") {
		t.Error(err)
	}
}

func TestRealShares(t *testing.T) {
	need(t, "cpu")
	g := group(t, api.Limits{CPUShares: 512})
	if text, err := os.ReadFile(g.Path + "/cpu.weight"); err != nil || string(text) != "59\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestRealInputOutput(t *testing.T) {
	need(t, "io")
	disks, err := filepath.Glob("/sys/block/[hsv]d[a-z]")
	if err != nil || len(disks) == 0 {
		t.Skip("no disk", err)
	}
	disk := "/dev/" + filepath.Base(disks[0])
	g := group(t, api.Limits{
		DeviceReadBps:  []api.Throttle{{Path: disk, Rate: 1 << 20}},
		DeviceWriteBps: []api.Throttle{{Path: disk, Rate: 1 << 21}}, DeviceWriteIOps: []api.Throttle{{Path: disk, Rate: 5}},
	})
	text, err := os.ReadFile(g.Path + "/io.max")
	if err != nil || !strings.HasSuffix(string(text), "rbps=1048576 wbps=2097152 riops=max wiops=5\n") {
		t.Errorf("%q, %v", text, err)
	}
	_, err = home.Plan(api.Limits{DeviceReadBps: []api.Throttle{{Path: "/dev/null", Rate: 1}}})
	if err == nil || !strings.Contains(err.Error(), "not a block device") {
		t.Error(err)
	}
}

// BenchmarkLimits is what limits cost a start.
func BenchmarkLimits(b *testing.B) {
	if !home.Exists() {
		b.Skip(home.Why)
	}
	all := map[string]api.Limits{"none": {}, "usual": {Memory: 1 << 30, NanoCPUs: 5e8, PidsLimit: 100}}
	for name, l := range all {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				plan, err := home.Plan(l)
				if err != nil {
					b.Skip(err)
				}
				g, err := home.Make("", fmt.Sprintf("%064x", i))
				if err := errors.Join(err, g.Set(plan), g.Remove()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
