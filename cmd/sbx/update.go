package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newUpdate() command {
	var f limitFlags
	var restart string
	var fs *pflag.FlagSet
	return command{
		name: "update", group: groupLife, args: "SANDBOX [SANDBOX...]", min: 1, max: -1, names: wantSandboxes,
		short:    "change what sandboxes may use, also while they run, and their restart policy",
		examples: "sbx update -m 1g --cpus 2 web\nsbx update --pids-limit -1 --restart always web",
		flags: func(set *pflag.FlagSet) {
			fs = set
			f.add(set)
			set.StringVar(&restart, "restart", "", restartUsage)
		},
		run: func(s streams, args []string) error {
			if fs.NFlag() == 0 {
				return usageError{"says nothing that is to change: give a flag"}
			}
			l, err := f.limits(fs)
			if err != nil {
				return err
			}
			if err := withoutLimit(fs, &l); err != nil {
				return err
			}
			r := api.Update{Names: args, Limits: l}
			if fs.Changed("restart") {
				policy, err := restartPolicy(restart)
				if err != nil {
					return err
				}
				r.Restart = &policy
			}
			_, err = ask(s, api.VerbUpdate, r)
			return err
		},
	}
}

// withoutLimit makes "no limit" of a zero that was typed: in a request it says
// nothing. Some of what can be set has no such value.
func withoutLimit(fs *pflag.FlagSet, l *api.Limits) error {
	for _, v := range []struct {
		flag string
		n    *int64
		most bool // it is a limit, and can be taken away
	}{
		{"memory", &l.Memory, true}, {"memory-swap", &l.MemorySwap, true}, {"cpu-quota", &l.CPUQuota, true},
		{"pids-limit", &l.PidsLimit, true}, {"memory-reservation", &l.MemoryReservation, true}, {"cpus", &l.NanoCPUs, false},
		{"cpu-shares", &l.CPUShares, false}, {"cpu-period", &l.CPUPeriod, false}, {"blkio-weight", &l.BlkioWeight, false},
	} {
		switch {
		case *v.n != 0 || !fs.Changed(v.flag):
		case !v.most:
			return invalid("--"+v.flag, "0", "it can be changed, and not taken away")
		default:
			*v.n = -1
		}
	}
	return nil
}
