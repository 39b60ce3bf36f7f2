package vm

import (
	"fmt"
	"testing"
)

// A limit means to the kernel what podman makes of it. Shares of the processor are
// left out: crun before 1.23 has the older conversion to a weight.
func TestLimitsAreAsPodmans(t *testing.T) {
	m := up(t)
	defer m.OK("dev", "podman rmi -f busybox >/dev/null; sbx system reset -f")
	m.OK("dev", "podman import -q /opt/sbx-tests/busybox.tar busybox >/dev/null && sbx import /opt/sbx-tests/busybox.tar busybox")
	for _, c := range []struct{ flags, files string }{
		{"-m 64m", "memory.max memory.swap.max"},
		{"-m 64m --memory-swap 96m", "memory.max memory.swap.max"},
		{"-m 64m --memory-swap -1", "memory.max memory.swap.max"},
		{"-m 64m --memory-reservation 32m", "memory.max memory.low"},
		{"--cpus 0.5", "cpu.max"},
		{"--cpus 1.5", "cpu.max"},
		{"--cpu-quota 20000 --cpu-period 50000", "cpu.max"},
		{"--pids-limit 33", "pids.max"},
		{"--cpuset-cpus 1 --cpuset-mems 0", "cpuset.cpus cpuset.mems"},
		{"--blkio-weight 300", "io.weight"},
	} {
		line := fmt.Sprintf(" run --rm --network none %s busybox sh -c 'cd /sys/fs/cgroup && grep . %s'", c.flags, c.files)
		want := m.OK("dev", "podman"+line+" 2>/dev/null")
		if want == "" {
			t.Fatalf("podman with %s shows no limit", c.flags)
		}
		m.Is(want, "dev", "sbx"+line)
	}
}
