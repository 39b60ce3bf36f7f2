package main

import (
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// limitFlags say what a sandbox may use.
type limitFlags struct {
	to        api.Limits // what needs no further reading is put there at once
	sizes     [3]string  // memory, memory-swap, memory-reservation
	cpus      string
	throttles [4][]string // device-read-bps, device-write-bps, device-read-iops, device-write-iops
	score     int
	shm       string
}

// throttled are the flags of limitFlags.throttles.
var throttled = [...]string{"device-read-bps", "device-write-bps", "device-read-iops", "device-write-iops"}

// add adds the flags that update has, too.
func (f *limitFlags) add(fs *pflag.FlagSet) {
	fs.StringVarP(&f.sizes[0], "memory", "m", "", "`SIZE` of memory that it may use, like 512m or 2g")
	fs.StringVar(&f.sizes[1], "memory-swap", "", "`SIZE` of memory and swap together; -1: any amount of swap (default: twice --memory)")
	fs.StringVar(&f.sizes[2], "memory-reservation", "", "`SIZE` of memory that is taken from it last")
	fs.StringVar(&f.cpus, "cpus", "", "`NUMBER` of processors, like 1.5")
	fs.Int64VarP(&f.to.CPUShares, "cpu-shares", "c", 0, "`WEIGHT` beside others, 2 to 262144 (default: 1024)")
	fs.Int64Var(&f.to.CPUQuota, "cpu-quota", 0, "`MICROSECONDS` of processor time in each period; -1: any")
	fs.Int64Var(&f.to.CPUPeriod, "cpu-period", 0, "`MICROSECONDS` that such a period has (default: 100000)")
	fs.StringVar(&f.to.CpusetCPUs, "cpuset-cpus", "", "processors that it runs on, a `LIST` like 0-3,7")
	fs.StringVar(&f.to.CpusetMems, "cpuset-mems", "", "memory nodes that it uses, a `LIST` like 0,1")
	fs.Int64Var(&f.to.PidsLimit, "pids-limit", 0, "`NUMBER` of processes and threads; -1: any")
	fs.Int64Var(&f.to.BlkioWeight, "blkio-weight", 0, "`WEIGHT` of its input and output, 10 to 1000")
	for i, what := range []string{"bytes a second read from", "bytes a second written to", "reads a second from", "writes a second to"} {
		fs.Var((*list)(&f.throttles[i]), throttled[i], "most "+what+" a device, `PATH:RATE`")
	}
}

// addFixed adds those that hold from the start of a sandbox to its end.
func (f *limitFlags) addFixed(fs *pflag.FlagSet) {
	fs.IntVar(&f.score, "oom-score-adj", 0, "`-1000..1000`: killed later or sooner when the machine has no memory left")
	fs.StringVar(&f.shm, "shm-size", "", "`SIZE` of /dev/shm (default: 64m)")
	fs.StringVar(&f.to.CgroupParent, "cgroup-parent", "", "`GROUP` of the sandboxes below which this one's cgroup is made")
	fs.StringVar(&f.to.Cgroupns, "cgroupns", "", "cgroups it sees: `private|host` (default: private)")
}

// limits reads the flags. What they mean together, and what the machine can do,
// the supervisor knows.
func (f *limitFlags) limits(fs *pflag.FlagSet) (api.Limits, error) {
	l := f.to
	for i, to := range []*int64{&l.Memory, &l.MemorySwap, &l.MemoryReservation} {
		flag := [...]string{"--memory", "--memory-swap", "--memory-reservation"}[i]
		var err error
		if *to, err = memorySize(flag, f.sizes[i], i == 1); err != nil {
			return l, err
		}
	}
	var err error
	if l.ShmSize, err = memorySize("--shm-size", f.shm, false); err != nil {
		return l, err
	}
	if l.NanoCPUs, err = nanoCPUs(f.cpus); err != nil {
		return l, err
	}
	for i, to := range []*[]api.Throttle{&l.DeviceReadBps, &l.DeviceWriteBps, &l.DeviceReadIOps, &l.DeviceWriteIOps} {
		if *to, err = throttles("--"+throttled[i], f.throttles[i], i < 2); err != nil {
			return l, err
		}
	}
	if fs.Changed("oom-score-adj") {
		l.OOMScoreAdj = &f.score
	}
	return l, nil
}

// memorySize reads a size; without a text it is 0.
func memorySize(flag, text string, unlimited bool) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if unlimited && text == "-1" {
		return -1, nil
	}
	n, err := parseBytes(text)
	if err != nil {
		return 0, invalid(flag, text, "expected a size like 64m")
	}
	return n, nil
}

// nanoCPUs reads a number of processors, exactly: 0.1 is no number of a computer.
func nanoCPUs(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	whole, part, _ := strings.Cut(text, ".")
	if len(part) > 9 {
		return 0, invalid("--cpus", text, "more than nine decimals")
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", 9-len(part)), 10, 63)
	if err != nil || whole+part == "" {
		return 0, invalid("--cpus", text, "expected a number of processors like 1.5")
	}
	return int64(n), nil
}

// throttles reads PATH:RATE; bytes may have a unit.
func throttles(flag string, texts []string, bytes bool) ([]api.Throttle, error) {
	var out []api.Throttle
	for _, text := range texts {
		at := strings.LastIndexByte(text, ':')
		if at < 0 || !strings.HasPrefix(text, "/dev/") {
			return nil, invalid(flag, text, "expected /dev/NAME:RATE")
		}
		t := api.Throttle{Path: text[:at]}
		rate := text[at+1:]
		var err error
		if bytes {
			var n int64
			n, err = parseBytes(rate)
			t.Rate = uint64(n)
		} else {
			t.Rate, err = strconv.ParseUint(rate, 10, 63)
		}
		if err != nil {
			return nil, invalid(flag, text, quote(rate)+" is no rate")
		}
		out = append(out, t)
	}
	return out, nil
}
