package sandbox

import (
	"reflect"
	"testing"

	"sbx/api"
	"sbx/cgroup"
)

// TestSettledLimits: what is kept after an update says what holds, and not what was
// taken away.
func TestSettledLimits(t *testing.T) {
	old := api.Limits{
		Memory: 1 << 30, MemorySwap: 2 << 30, MemoryReservation: 1 << 20, CPUQuota: 5000, PidsLimit: 5,
		DeviceReadBps: []api.Throttle{{Path: "/dev/sda", Rate: 1}, {Path: "/dev/sdb", Rate: 2}},
	}
	for name, c := range map[string]struct{ change, want api.Limits }{
		"memory": {
			api.Limits{Memory: -1, MemoryReservation: -1},
			api.Limits{CPUQuota: 5000, PidsLimit: 5, DeviceReadBps: old.DeviceReadBps},
		},
		"quota": {
			api.Limits{CPUQuota: -1, PidsLimit: -1},
			api.Limits{Memory: 1 << 30, MemorySwap: 2 << 30, MemoryReservation: 1 << 20, PidsLimit: -1, DeviceReadBps: old.DeviceReadBps},
		},
		"rates": {
			api.Limits{
				DeviceReadBps:  []api.Throttle{{Path: "/dev/sda"}, {Path: "/dev/sdb", Rate: 3}, {Path: "/dev/sdc", Rate: 4}},
				DeviceReadIOps: []api.Throttle{{Path: "/dev/sda", Rate: 5}},
			},
			api.Limits{
				Memory: 1 << 30, MemorySwap: 2 << 30, MemoryReservation: 1 << 20, CPUQuota: 5000, PidsLimit: 5,
				DeviceReadBps:  []api.Throttle{{Path: "/dev/sdb", Rate: 3}, {Path: "/dev/sdc", Rate: 4}},
				DeviceReadIOps: []api.Throttle{{Path: "/dev/sda", Rate: 5}},
			},
		},
	} {
		limits, err := cgroup.Merge(old, c.change)
		if err != nil {
			t.Fatal(err)
		}
		if got := settled(limits); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}
	if old.DeviceReadBps[0].Rate != 1 || len(old.DeviceReadBps) != 2 {
		t.Errorf("the old limits have changed: %+v", old)
	}
}
