package cgroup

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Write is a value for a file of a group.
type Write struct {
	File, Value string
	Else        *Write // instead, if the kernel has no such file
	Free        bool   // nothing is lost if the kernel has no such file
}

// Machine is what limits are checked against.
type Machine struct {
	CPUs      int                                    // processors that a sandbox can use
	CPUList   string                                 // their numbers: "0-3"; empty: not known
	MemList   string                                 // the memory nodes, the same
	Lacks     func(op, controller string) error      // the error, if groups do not have a controller
	BlockDisk func(path string) (id string, e error) // "8:0" for the path of a disk
}

// Plan says what to write to a group for limits. The error is about the first
// limit that is wrong, or cannot be had here, in Docker's terms.
func (h Home) Plan(l api.Limits) ([]Write, error) {
	m := Machine{CPUs: runtime.NumCPU(), Lacks: h.Lacks, BlockDisk: blockDisk}
	if h.Exists() && l.CpusetCPUs+l.CpusetMems != "" {
		m.CPUList, m.MemList = h.list("cpuset.cpus.effective"), h.list("cpuset.mems.effective")
	}
	return Plan(l, m)
}

// list reads a file of the home; without the controller there is none.
func (h Home) list(file string) string {
	text, err := read(h.Path, file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Plan is Home.Plan for any machine.
func Plan(l api.Limits, m Machine) ([]Write, error) {
	p := &plan{m: m}
	for _, part := range []func(*plan, api.Limits) error{
		checkRest, planMemory, planSwap, planReservation, planCPU, planShares, planCpuset, planPids, planWeight, planThrottles,
	} {
		if err := part(p, l); err != nil {
			return nil, err
		}
	}
	return p.writes, nil
}

type plan struct {
	m      Machine
	writes []Write
}

// add appends a write, if there is the controller for it.
func (p *plan) add(op string, w Write) error {
	controller, _, _ := strings.Cut(w.File, ".")
	if err := p.m.Lacks(op, controller); err != nil {
		return err
	}
	p.writes = append(p.writes, w)
	return nil
}

// unlimited is how Docker's flags say that an earlier limit is taken away.
const unlimited = -1

// amount is a number, or "max" for unlimited.
func amount(n int64) string {
	if n == unlimited {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

func checkRest(_ *plan, l api.Limits) error {
	switch {
	case l.OOMScoreAdj != nil && (*l.OOMScoreAdj < -1000 || *l.OOMScoreAdj > 1000):
		return api.Errorf("set the OOM score", "", "%d is not between -1000 and 1000", *l.OOMScoreAdj)
	case l.ShmSize < 0:
		return api.Errorf("set the size of /dev/shm", "", "%d is less than 0", l.ShmSize)
	case !slices.Contains([]string{"", "private", "host"}, l.Cgroupns):
		return api.Errorf("choose the cgroup namespace", l.Cgroupns, "it is neither private nor host")
	case l.CgroupParent != "":
		return CheckParent(l.CgroupParent)
	}
	return nil
}

// leastMemory is Docker's: below it not even a shell starts.
const leastMemory = 6 << 20

func planMemory(p *plan, l api.Limits) error {
	const op = "limit memory"
	switch {
	case l.Memory == 0:
		return nil
	case l.Memory != unlimited && l.Memory < leastMemory:
		return api.Errorf(op, "", "%d bytes are too few; the minimum is 6 MB", l.Memory)
	}
	return p.add(op, Write{File: "memory.max", Value: amount(l.Memory)})
}

// planSwap translates Docker's limit of memory and swap together into one of swap
// alone.
func planSwap(p *plan, l api.Limits) error {
	const op = "limit memory and swap"
	w := Write{File: "memory.swap.max"}
	switch {
	case l.MemorySwap < unlimited:
		return api.Errorf(op, "", "%d is less than 0", l.MemorySwap)
	case l.MemorySwap == 0 && l.Memory == 0:
		return nil
	case l.MemorySwap == unlimited, l.MemorySwap == 0 && l.Memory == unlimited:
		w.Value, w.Free = "max", true
	case l.MemorySwap == 0: // twice the memory: as much swap as memory
		w.Value, w.Free = amount(l.Memory), true
	case l.Memory <= 0:
		return api.Errorf(op, "", "there is no limit of memory").WithHint("--memory-swap is memory and swap together: give --memory, too")
	case l.MemorySwap < l.Memory:
		return api.Errorf(op, "", "%d is less than the limit of memory, %d", l.MemorySwap, l.Memory).
			WithHint("--memory-swap is memory and swap together; the same number as --memory allows no swap")
	default:
		// Where the kernel has no swap, none is what there is.
		w.Value, w.Free = amount(l.MemorySwap-l.Memory), l.MemorySwap == l.Memory
	}
	return p.add(op, w)
}

func planReservation(p *plan, l api.Limits) error {
	const op = "reserve memory"
	switch n := l.MemoryReservation; {
	case n == 0:
		return nil
	case n == unlimited: // nothing is reserved
		return p.add(op, Write{File: "memory.low", Value: "0"})
	case n < leastMemory:
		return api.Errorf(op, "", "%d bytes are too few; the minimum is 6 MB", n)
	case l.Memory > 0 && l.Memory < n:
		return api.Errorf(op, "", "%d is more than the limit of memory, %d", n, l.Memory)
	}
	return p.add(op, Write{File: "memory.low", Value: amount(l.MemoryReservation)})
}

// Of cpu.max, in microseconds.
const (
	usualPeriod = 100_000
	leastPeriod = 1_000
	mostPeriod  = 1_000_000
	leastQuota  = 1_000
)

func planCPU(p *plan, l api.Limits) error {
	const op = "limit processors"
	const billion = 1_000_000_000
	quota, period := l.CPUQuota, l.CPUPeriod
	switch {
	case l.NanoCPUs != 0 && (quota != 0 || period != 0):
		return api.Errorf(op, "", "--cpus says the same as --cpu-quota and --cpu-period").WithHint("give one of them")
	case l.NanoCPUs != 0 && (l.NanoCPUs < billion/100 || l.NanoCPUs > int64(p.m.CPUs)*billion):
		return api.Errorf(op, "", "%g is out of range: from 0.01 to %d.00, as there are only %d processors",
			float64(l.NanoCPUs)/billion, p.m.CPUs, p.m.CPUs)
	case l.NanoCPUs != 0:
		quota = l.NanoCPUs / (billion / usualPeriod)
	case period != 0 && (period < leastPeriod || period > mostPeriod):
		return api.Errorf(op, "", "a period of %d µs is out of range: from 1 ms (1000) to 1 s (1000000)", period)
	case quota > 0 && quota < leastQuota, quota < unlimited:
		return api.Errorf(op, "", "a quota of %d µs is too small; the minimum is 1 ms (1000)", quota)
	}
	if quota == 0 && period == 0 {
		return nil
	}
	if quota == 0 {
		quota = unlimited
	}
	if period == 0 {
		period = usualPeriod
	}
	return p.add(op, Write{File: "cpu.max", Value: amount(quota) + " " + strconv.FormatInt(period, 10)})
}

func planShares(p *plan, l api.Limits) error {
	const op = "weigh processors"
	switch {
	case l.CPUShares == 0:
		return nil
	case l.CPUShares < 0:
		return api.Errorf(op, "", "%d is not a number of shares", l.CPUShares).WithHint("from 2 to 262144; usual is 1024")
	}
	return p.add(op, Write{File: "cpu.weight", Value: strconv.Itoa(weightOfShares(l.CPUShares))})
}

// weightOfShares translates cgroup v1's shares (2 to 262144, usual 1024) into v2's
// weight (1 to 10000, usual 100). It is the formula of runc 1.3.2 and crun 1.23,
// quadratic in the logarithm, that keeps both ends and the usual value; the older
// linear one made 39 of 1024.
func weightOfShares(shares int64) int {
	const least, most = 2, 262144
	if shares <= least {
		return 1
	}
	if shares >= most {
		return 10000
	}
	l := math.Log2(float64(shares))
	return int(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

func planPids(p *plan, l api.Limits) error {
	const op = "limit processes"
	switch {
	case l.PidsLimit == 0:
		return nil
	case l.PidsLimit < unlimited:
		return api.Errorf(op, "", "%d is less than 0", l.PidsLimit)
	}
	return p.add(op, Write{File: "pids.max", Value: amount(l.PidsLimit)})
}

func planWeight(p *plan, l api.Limits) error {
	const op = "weigh input and output"
	n := l.BlkioWeight
	switch {
	case n == 0:
		return nil
	case n < 10 || n > 1000:
		return api.Errorf(op, "", "%d is not between 10 and 1000", n)
	}
	// The scheduler BFQ has Docker's range; the kernel's own weight is 1 to 10000.
	return p.add(op, Write{File: "io.bfq.weight", Value: amount(n), Else: &Write{
		File: "io.weight", Value: amount(1 + (n-10)*9999/990)}})
}

func planThrottles(p *plan, l api.Limits) error {
	const op = "limit input and output"
	for _, kind := range []struct {
		key  string
		list []api.Throttle
	}{{"rbps", l.DeviceReadBps}, {"wbps", l.DeviceWriteBps}, {"riops", l.DeviceReadIOps}, {"wiops", l.DeviceWriteIOps}} {
		for _, t := range kind.list {
			id, err := p.m.BlockDisk(t.Path)
			if err != nil {
				return api.Wrap(op, t.Path, err)
			}
			rate := "max"
			if t.Rate > 0 {
				rate = strconv.FormatUint(t.Rate, 10)
			}
			if err := p.add(op, Write{File: "io.max", Value: id + " " + kind.key + "=" + rate}); err != nil {
				return err
			}
		}
	}
	return nil
}

// blockDisk gives the number by which the kernel throttles a disk.
func blockDisk(path string) (string, error) {
	const op = "limit input and output"
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", api.Wrap(op, path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", api.Errorf(op, path, "it is not a block device").WithHint("name a disk: see lsblk -d")
	}
	id := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	if _, err := os.Stat("/sys/dev/block/" + id + "/partition"); err == nil {
		return "", api.Errorf(op, path, "it is a partition").WithHint("only whole disks can be limited: see lsblk")
	}
	return id, nil
}
