package api

import "sbx/internal/wire"

// Limits is what a sandbox may use, in Docker's words and with Docker's meaning.
// The zero value of a field is "not set"; -1, where a number can be unlimited,
// takes an earlier limit away.
type Limits struct {
	Memory            int64 `json:"memory,omitempty"`             // bytes; -1: unlimited
	MemorySwap        int64 `json:"memory_swap,omitempty"`        // bytes of memory and swap together; -1: unlimited; not set: twice Memory
	MemoryReservation int64 `json:"memory_reservation,omitempty"` // bytes that are reclaimed last

	NanoCPUs   int64  `json:"nano_cpus,omitempty"`   // billionths of a processor
	CPUShares  int64  `json:"cpu_shares,omitempty"`  // weight beside other sandboxes, 2 to 262144; usual is 1024
	CPUQuota   int64  `json:"cpu_quota,omitempty"`   // microseconds of processor time in a period; -1: unlimited
	CPUPeriod  int64  `json:"cpu_period,omitempty"`  // microseconds; not set: 100000
	CpusetCPUs string `json:"cpuset_cpus,omitempty"` // "0-3,7"
	CpusetMems string `json:"cpuset_mems,omitempty"` // memory nodes, the same

	PidsLimit int64 `json:"pids_limit,omitempty"` // processes and threads; -1: unlimited

	BlkioWeight     int64      `json:"blkio_weight,omitempty"` // weight of input and output, 10 to 1000
	DeviceReadBps   []Throttle `json:"device_read_bps,omitempty"`
	DeviceWriteBps  []Throttle `json:"device_write_bps,omitempty"`
	DeviceReadIOps  []Throttle `json:"device_read_iops,omitempty"`
	DeviceWriteIOps []Throttle `json:"device_write_iops,omitempty"`

	// What follows is not set in a cgroup.
	OOMScoreAdj  *int   `json:"oom_score_adj,omitempty"` // of the program, -1000 to 1000, proc(5)
	ShmSize      int64  `json:"shm_size,omitempty"`      // bytes of /dev/shm; not set: 64 MiB
	CgroupParent string `json:"cgroup_parent,omitempty"` // group that the sandbox's is made in, below that of sbx: "batch/night"
	Cgroupns     string `json:"cgroupns,omitempty"`      // cgroup namespace: "private" (also "") or "host"
}

// Throttle is how much of a block device a sandbox may use in a second.
type Throttle struct {
	Path string `json:"path"` // of the device on the host
	Rate uint64 `json:"rate"` // bytes or operations
}

// Fields implements wire.Message.
func (l *Limits) Fields(c *wire.Coder) {
	wire.Int(c, &l.Memory)
	wire.Int(c, &l.MemorySwap)
	wire.Int(c, &l.MemoryReservation)
	wire.Int(c, &l.NanoCPUs)
	wire.Int(c, &l.CPUShares)
	wire.Int(c, &l.CPUQuota)
	wire.Int(c, &l.CPUPeriod)
	c.String(&l.CpusetCPUs)
	c.String(&l.CpusetMems)
	wire.Int(c, &l.PidsLimit)
	wire.Int(c, &l.BlkioWeight)
	wire.List(c, &l.DeviceReadBps)
	wire.List(c, &l.DeviceWriteBps)
	wire.List(c, &l.DeviceReadIOps)
	wire.List(c, &l.DeviceWriteIOps)
	wire.Optional(c, &l.OOMScoreAdj, func(adj *int) { wire.Int(c, adj) })
	wire.Int(c, &l.ShmSize)
	c.String(&l.CgroupParent)
	c.String(&l.Cgroupns)
}

// Fields implements wire.Message.
func (t *Throttle) Fields(c *wire.Coder) {
	c.String(&t.Path)
	wire.Int(c, &t.Rate)
}
