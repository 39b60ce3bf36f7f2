package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"sbx/api"
)

// rlimits parses --ulimit: nofile=1024, nofile=1024:2048; -1 is unlimited. The
// last one of a name wins.
func rlimits(list []string) ([]api.Rlimit, error) {
	var limits []api.Rlimit
	for _, text := range list {
		limit, err := rlimit(text)
		if err != nil {
			return nil, invalid("--ulimit", text, err.Error())
		}
		at := len(limits)
		for i := range limits {
			if limits[i].Name == limit.Name {
				at = i
			}
		}
		if at == len(limits) {
			limits = append(limits, limit)
		}
		limits[at] = limit
	}
	return limits, nil
}

func rlimit(text string) (api.Rlimit, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return api.Rlimit{}, fmt.Errorf("expected NAME=SOFT[:HARD]")
	}
	if !isRlimit(name) {
		return api.Rlimit{}, fmt.Errorf("no limit is called %q", name)
	}
	soft, hard, both := strings.Cut(value, ":")
	limit := api.Rlimit{Name: name}
	var err error
	if limit.Soft, err = limitValue(soft); err != nil {
		return limit, err
	}
	if limit.Hard = limit.Soft; both {
		if limit.Hard, err = limitValue(hard); err != nil {
			return limit, err
		}
	}
	if limit.Soft > limit.Hard {
		return limit, fmt.Errorf("the soft limit %s is above the hard limit %s", soft, hard)
	}
	return limit, nil
}

func limitValue(text string) (uint64, error) {
	if text == "-1" || text == "unlimited" {
		return math.MaxUint64, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}

func isRlimit(name string) bool {
	switch name {
	case "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile",
		"nproc", "rss", "rtprio", "rttime", "sigpending", "stack":
		return true
	}
	return false
}
