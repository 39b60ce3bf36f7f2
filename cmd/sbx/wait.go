package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newWait() command {
	var condition string
	return command{
		name: "wait", group: groupLife, args: "SANDBOX [SANDBOX...]", min: 1, max: -1, names: wantSandboxes,
		short:    "wait until sandboxes end, and print their exit statuses",
		examples: "sbx wait web\nsbx wait --condition removed web",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&condition, "condition", api.WaitNotRunning, "`not-running|next-exit|removed`")
		},
		run: func(s streams, args []string) error {
			switch condition {
			case api.WaitNotRunning:
				condition = "" // the usual one
			case api.WaitNextExit, api.WaitRemoved:
			default:
				return invalid("--condition", condition, "expected not-running, next-exit or removed")
			}
			_, err := ask(s, api.VerbWait, api.Wait{Names: args, Condition: condition})
			return err
		},
	}
}
