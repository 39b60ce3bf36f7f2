package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newDiff() command {
	var o api.Diff
	return command{
		name: "diff", group: groupInside, args: "SANDBOX", min: 1, max: 1, names: wantSandbox,
		short:    "list what a sandbox has changed of its image: A is added, C changed, D deleted",
		examples: "sbx diff web\nsbx diff --format json web",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&o.Format, "format", "", "`json`, or lines")
		},
		run: func(s streams, args []string) error {
			o.Name = args[0]
			_, err := ask(s, api.VerbDiff, o)
			return err
		},
	}
}
