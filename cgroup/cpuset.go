package cgroup

import (
	"strconv"
	"strings"

	"sbx/api"
)

func planCpuset(p *plan, l api.Limits) error {
	for _, set := range []struct{ op, file, asked, there string }{
		{"choose processors", "cpuset.cpus", l.CpusetCPUs, p.m.CPUList},
		{"choose memory nodes", "cpuset.mems", l.CpusetMems, p.m.MemList},
	} {
		if set.asked == "" {
			continue
		}
		asked, ok := parseList(set.asked)
		if !ok {
			return api.Errorf(set.op, set.asked, "it is not a list of numbers").WithHint("numbers and ranges with commas between them: 0-3,7")
		}
		// Before the numbers: without the controller nobody knows which there are.
		if err := p.add(set.op, Write{File: set.file, Value: set.asked}); err != nil {
			return err
		}
		there, ok := parseList(set.there)
		if !ok {
			continue // the kernel decides
		}
		for n := range asked {
			if !there[n] {
				return api.Errorf(set.op, set.asked, "there is no %d; available are %s", n, set.there)
			}
		}
	}
	return nil
}

// mostNumber is far above what any machine has.
const mostNumber = 8191

// parseList reads a list as the kernel writes it: "0-3,7".
func parseList(text string) (map[int]bool, bool) {
	set := map[int]bool{}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		from, ok1 := parseNumber(first)
		to, ok2 := parseNumber(last)
		if !ok1 || !ok2 || from > to {
			return nil, false
		}
		for n := from; n <= to; n++ {
			set[n] = true
		}
	}
	return set, true
}

func parseNumber(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil && n <= mostNumber
}
