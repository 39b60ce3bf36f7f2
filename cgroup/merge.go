package cgroup

import (
	"slices"

	"sbx/api"
)

// Merge is what limits become by an update, which names those that change.
// It says what Docker says of combinations; Home.Plan says the rest.
func Merge(old, change api.Limits) (api.Limits, error) {
	const op = "update limits"
	switch {
	case change.NanoCPUs != 0 && (old.CPUQuota > 0 || old.CPUPeriod != 0) && change.CPUQuota == 0:
		return old, api.Errorf(op, "", "--cpus cannot be given, as the quota or period of processor time is set").
			WithHint("change --cpu-quota and --cpu-period")
	case (change.CPUQuota != 0 || change.CPUPeriod != 0) && old.NanoCPUs != 0 && change.NanoCPUs == 0:
		return old, api.Errorf(op, "", "--cpu-quota and --cpu-period cannot be given, as the number of processors is set").
			WithHint("change --cpus")
	case change.Memory > 0 && change.MemorySwap == 0 && old.MemorySwap > 0 && change.Memory > old.MemorySwap:
		return old, api.Errorf(op, "", "%d is more than the limit of memory and swap, %d", change.Memory, old.MemorySwap).
			WithHint("give --memory-swap, too")
	}
	l := old
	setIf(&l.Memory, change.Memory)
	setIf(&l.MemorySwap, change.MemorySwap)
	setIf(&l.MemoryReservation, change.MemoryReservation)
	setIf(&l.NanoCPUs, change.NanoCPUs)
	setIf(&l.CPUShares, change.CPUShares)
	setIf(&l.CPUQuota, change.CPUQuota)
	setIf(&l.CPUPeriod, change.CPUPeriod)
	setIf(&l.CpusetCPUs, change.CpusetCPUs)
	setIf(&l.CpusetMems, change.CpusetMems)
	setIf(&l.PidsLimit, change.PidsLimit)
	setIf(&l.BlkioWeight, change.BlkioWeight)
	l.DeviceReadBps = mergeRates(old.DeviceReadBps, change.DeviceReadBps)
	l.DeviceWriteBps = mergeRates(old.DeviceWriteBps, change.DeviceWriteBps)
	l.DeviceReadIOps = mergeRates(old.DeviceReadIOps, change.DeviceReadIOps)
	l.DeviceWriteIOps = mergeRates(old.DeviceWriteIOps, change.DeviceWriteIOps)
	if change.Memory == unlimited && change.MemorySwap == 0 && old.MemorySwap > 0 {
		l.MemorySwap = unlimited // a limit of both has lost its meaning
	}
	return l, nil
}

func setIf[T comparable](to *T, change T) {
	var none T
	if change != none {
		*to = change
	}
}

// mergeRates replaces the rates of devices that change; a rate of 0 is none.
func mergeRates(old, change []api.Throttle) []api.Throttle {
	l := slices.Clone(old)
	for _, t := range change {
		at := slices.IndexFunc(l, func(o api.Throttle) bool { return o.Path == t.Path })
		if at < 0 {
			l = append(l, t)
		} else {
			l[at] = t
		}
	}
	return l
}
