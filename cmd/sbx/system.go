package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
	"sbx/internal/dirs"
)

func newDiskUsage() command {
	var o api.DiskUsage
	return command{
		name: "system df", group: groupDisk, names: wantNothing,
		short: "show what takes up disk space", examples: "sbx system df -v",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.Verbose, "verbose", "v", false, "each image and sandbox")
			f.StringVar(&o.Format, "format", "", "`table|json|table TEMPLATE|TEMPLATE`")
		},
		run: func(s streams, _ []string) error {
			_, err := ask(s, api.VerbDiskUsage, o)
			return err
		},
	}
}

func newReset() command {
	var force bool
	return command{
		name: "system reset", group: groupDisk, names: wantNothing,
		short: "remove all sandboxes and images, and everything else that sbx keeps", examples: "sbx system reset",
		flags: func(f *pflag.FlagSet) { f.BoolVarP(&force, "force", "f", false, "do not ask") },
		run: func(s streams, _ []string) error {
			d, err := dirs.Find()
			if err != nil {
				return err
			}
			ok, err := agreed(s, force, "This will remove from "+printable(d.Data)+
				":\n  - all sandboxes, running or not\n  - all networks\n  - all volumes\n  - all images\n  - all build cache\n")
			if !ok {
				return err
			}
			_, err = ask(s, api.VerbReset, nil)
			return err
		},
	}
}
