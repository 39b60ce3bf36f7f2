package cgroup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func testMachine(controllers ...string) Machine {
	h := Home{Path: "/home", Controllers: controllers, Missing: map[string]Lack{}}
	return Machine{CPUs: 4, CPUList: "0-1,4,6", MemList: "0", Lacks: h.Lacks, BlockDisk: func(path string) (string, error) {
		if path != "/dev/sda" {
			return "", unix.ENOENT
		}
		return "8:0", nil
	}}
}

func lines(plan []Write) string {
	var s []string
	for _, w := range plan {
		line := w.File + "=" + w.Value
		if w.Else != nil {
			line += " or " + lines([]Write{*w.Else})
		}
		if w.Free {
			line += "?"
		}
		s = append(s, line)
	}
	return strings.Join(s, "; ")
}

func TestPlan(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		l    api.Limits
		want string
	}{
		{api.Limits{}, ""},
		{api.Limits{Memory: 64 * mb}, "memory.max=67108864; memory.swap.max=67108864?"},
		{api.Limits{Memory: 64 * mb, MemorySwap: 64 * mb}, "memory.max=67108864; memory.swap.max=0?"},
		{api.Limits{Memory: 64 * mb, MemorySwap: 80 * mb}, "memory.max=67108864; memory.swap.max=16777216"},
		{api.Limits{Memory: 64 * mb, MemorySwap: -1}, "memory.max=67108864; memory.swap.max=max?"},
		{api.Limits{Memory: -1}, "memory.max=max; memory.swap.max=max?"},
		{api.Limits{MemorySwap: -1}, "memory.swap.max=max?"},
		{api.Limits{MemoryReservation: 32 * mb}, "memory.low=33554432"},
		{api.Limits{MemoryReservation: -1}, "memory.low=0"},
		{api.Limits{NanoCPUs: 1_500_000_000}, "cpu.max=150000 100000"},
		{api.Limits{NanoCPUs: 10_000_000}, "cpu.max=1000 100000"},
		{api.Limits{CPUQuota: 50_000}, "cpu.max=50000 100000"},
		{api.Limits{CPUQuota: -1}, "cpu.max=max 100000"},
		{api.Limits{CPUPeriod: 20_000}, "cpu.max=max 20000"},
		{api.Limits{CPUQuota: 5000, CPUPeriod: 10_000}, "cpu.max=5000 10000"},
		{api.Limits{CPUShares: 1024}, "cpu.weight=100"},
		{api.Limits{CpusetCPUs: "0-1,6", CpusetMems: "0"}, "cpuset.cpus=0-1,6; cpuset.mems=0"},
		{api.Limits{PidsLimit: 100}, "pids.max=100"},
		{api.Limits{PidsLimit: -1}, "pids.max=max"},
		{api.Limits{BlkioWeight: 10}, "io.bfq.weight=10 or io.weight=1"},
		{api.Limits{BlkioWeight: 1000}, "io.bfq.weight=1000 or io.weight=10000"},
		{api.Limits{DeviceReadBps: []api.Throttle{{Path: "/dev/sda", Rate: mb}}, DeviceWriteIOps: []api.Throttle{{Path: "/dev/sda"}}},
			"io.max=8:0 rbps=1048576; io.max=8:0 wiops=max"},
		{api.Limits{OOMScoreAdj: new(int), ShmSize: mb, CgroupParent: "a/b", Cgroupns: "host"}, ""},
	} {
		plan, err := Plan(c.l, testMachine(Wanted...))
		if got := lines(plan); err != nil || got != c.want {
			t.Errorf("%+v: got %q, %v; want %q", c.l, got, err, c.want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	const mb = 1 << 20
	lowest := -1001
	for _, c := range []struct {
		l    api.Limits
		want string
	}{
		{api.Limits{Memory: 6*mb - 1}, "minimum is 6 MB"},
		{api.Limits{Memory: -2}, "minimum is 6 MB"},
		{api.Limits{Memory: 64 * mb, MemorySwap: 63 * mb}, "less than the limit of memory"},
		{api.Limits{MemorySwap: 64 * mb}, "no limit of memory"},
		{api.Limits{Memory: -1, MemorySwap: 64 * mb}, "no limit of memory"},
		{api.Limits{MemorySwap: -2}, "less than 0"},
		{api.Limits{MemoryReservation: mb}, "minimum is 6 MB"},
		{api.Limits{Memory: 8 * mb, MemoryReservation: 9 * mb}, "more than the limit of memory"},
		{api.Limits{NanoCPUs: 4_000_000_001}, "from 0.01 to 4.00, as there are only 4"},
		{api.Limits{NanoCPUs: 9_999_999}, "from 0.01"},
		{api.Limits{NanoCPUs: -1}, "from 0.01"},
		{api.Limits{NanoCPUs: 1e9, CPUQuota: 5000}, "says the same"},
		{api.Limits{NanoCPUs: 1e9, CPUPeriod: 5000}, "says the same"},
		{api.Limits{CPUPeriod: 999}, "out of range"},
		{api.Limits{CPUPeriod: 1_000_001}, "out of range"},
		{api.Limits{CPUPeriod: -1}, "out of range"},
		{api.Limits{CPUQuota: 999}, "minimum is 1 ms"},
		{api.Limits{CPUQuota: -2}, "minimum is 1 ms"},
		{api.Limits{CPUShares: -1}, "not a number of shares"},
		{api.Limits{CpusetCPUs: "2"}, "there is no 2; available are 0-1,4,6"},
		{api.Limits{CpusetCPUs: "0-1,"}, "not a list"},
		{api.Limits{CpusetCPUs: "1-0"}, "not a list"},
		{api.Limits{CpusetCPUs: "0-4294967296"}, "not a list"},
		{api.Limits{CpusetCPUs: "0\n1"}, "not a list"},
		{api.Limits{CpusetMems: "1"}, "there is no 1"},
		{api.Limits{PidsLimit: -2}, "less than 0"},
		{api.Limits{BlkioWeight: 9}, "between 10 and 1000"},
		{api.Limits{BlkioWeight: 1001}, "between 10 and 1000"},
		{api.Limits{DeviceReadBps: []api.Throttle{{Path: "/none"}}}, "no such file"},
		{api.Limits{OOMScoreAdj: &lowest}, "between -1000 and 1000"},
		{api.Limits{ShmSize: -1}, "less than 0"},
		{api.Limits{Cgroupns: "none"}, "neither private nor host"},
		{api.Limits{CgroupParent: "../x"}, "not a path of names"},
	} {
		plan, err := Plan(c.l, testMachine(Wanted...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %q, %v; want %q", c.l, lines(plan), err, c.want)
		}
		if e := (*api.Error)(nil); err != nil && !errors.As(err, &e) {
			t.Errorf("%+v: %T", c.l, err)
		}
	}
}

// Each limit needs its own controller, and no other one.
func TestPlanNeedsOneController(t *testing.T) {
	limits := map[string][]api.Limits{
		"memory": {{Memory: 1 << 30}, {MemorySwap: -1}, {MemoryReservation: 1 << 30}},
		"cpu":    {{NanoCPUs: 1e9}, {CPUShares: 2}, {CPUQuota: 1000}},
		"cpuset": {{CpusetCPUs: "0"}, {CpusetMems: "0"}},
		"pids":   {{PidsLimit: 1}},
		"io":     {{BlkioWeight: 10}, {DeviceWriteBps: []api.Throttle{{Path: "/dev/sda", Rate: 1}}}},
	}
	for controller, list := range limits {
		for _, l := range list {
			if _, err := Plan(l, testMachine(controller)); err != nil {
				t.Errorf("%+v with %s alone: %v", l, controller, err)
			}
			rest := slices.DeleteFunc(slices.Clone(Wanted), func(c string) bool { return c == controller })
			_, err := Plan(l, testMachine(rest...))
			if err == nil || !strings.Contains(err.Error(), "no "+controller+" controller") {
				t.Errorf("%+v without %s: %v", l, controller, err)
			}
		}
	}
}

func TestPlanWithoutAHome(t *testing.T) {
	h := Home{Driver: None, Lack: Lack{Why: "no reason", Remedy: api.Remedy{Text: "do this"}}}
	if plan, err := h.Plan(api.Limits{ShmSize: 1 << 20}); err != nil || len(plan) > 0 {
		t.Errorf("nothing is limited: %v, %v", plan, err)
	}
	_, err := h.Plan(api.Limits{PidsLimit: 5})
	const want = "limit processes: there is no cgroup for sandboxes: no reason: do this"
	if fmt.Sprint(err) != want {
		t.Errorf("got %v; want %s", err, want)
	}
}

// Who may mount file systems may lift its limits, unless the host forbids it.
func TestGuards(t *testing.T) {
	for want, h := range map[string]Home{
		"": {Driver: Systemd, Path: "/g", Guarded: true},
		"limit a: what it is limited by, a program with CAP_SYS_ADMIN could lift: the host has mounted cgroup2 without nsdelegate: " +
			"run it without that capability (and without --privileged) or without limits, " +
			"or have the administrator run: mount -o remount,nsdelegate /sys/fs/cgroup": {Driver: Writable, Path: "/g"},
	} {
		got := ""
		if err := h.Guards("limit a"); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%v: got %q, want %q", h, got, want)
		}
	}
	if err := (Home{Driver: None}).Guards("limit a"); err != nil {
		t.Errorf("without a cgroup there is nothing to guard: %v", err)
	}
}

// The ends, the usual value, and some between.
func TestWeightOfShares(t *testing.T) {
	for shares, want := range map[int64]int{1: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 40: 10000, 512: 59, 2048: 174} {
		if got := weightOfShares(shares); got != want {
			t.Errorf("%d: got %d, want %d", shares, got, want)
		}
	}
	last := 0
	for s := int64(2); s < 262144; s += 17 {
		w := weightOfShares(s)
		if w < last || w > 10000 {
			t.Fatalf("%d: %d after %d", s, w, last)
		}
		last = w
	}
}

func TestMerge(t *testing.T) {
	old := api.Limits{Memory: 64 << 20, MemorySwap: 128 << 20, PidsLimit: 10, CpusetCPUs: "0"}
	got, err := Merge(old, api.Limits{Memory: 100 << 20, PidsLimit: -1, CPUShares: 2})
	if want := "memory.max=104857600; memory.swap.max=29360128; cpu.weight=1; cpuset.cpus=0; pids.max=max"; err != nil {
		t.Error(err)
	} else if plan, err := Plan(got, testMachine(Wanted...)); err != nil || lines(plan) != want {
		t.Errorf("got %s, %v; want %s", lines(plan), err, want)
	}
	got, err = Merge(old, api.Limits{Memory: -1})
	if err != nil || got.Memory != -1 || got.MemorySwap != -1 {
		t.Errorf("no limit any more: %+v, %v", got, err)
	}
	for want, change := range map[string][2]api.Limits{
		"more than the limit of memory and swap": {old, {Memory: 129 << 20}},
		"--cpus cannot be given":                 {{CPUQuota: 5000}, {NanoCPUs: 1e9}},
		"--cpu-quota and --cpu-period cannot":    {{NanoCPUs: 1e9}, {CPUPeriod: 5000}},
	} {
		if _, err := Merge(change[0], change[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", change, err, want)
		}
	}
}

func TestCheckParent(t *testing.T) {
	for _, good := range []string{"batch", "batch/night", "a-b_C1", "x/sbx"} {
		if err := CheckParent(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "/", "/a", "a/", "a//b", "..", "a/../b", "a/.", "sbx", "cgroup.procs", "system.slice", "a b", "a\n",
		"0123456789ab", strings.Repeat("x", 65)} {
		if CheckParent(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("0-3,7")
	f.Fuzz(func(t *testing.T, text string) {
		set, ok := parseList(text)
		for n := range set {
			if n < 0 || n > mostNumber {
				t.Errorf("%q: %d", text, n)
			}
		}
		if ok && len(set) == 0 {
			t.Errorf("%q: empty", text)
		}
	})
}
