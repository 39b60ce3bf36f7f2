package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newCommit() command {
	var o api.Commit
	var fs *pflag.FlagSet
	pause := true
	return command{
		name: "commit", group: groupImages, args: "SANDBOX [NAME[:TAG]]", min: 1, max: 2, names: wantSandbox,
		short: "make an image of what a sandbox has changed, without volumes and other mounts",
		examples: `sbx commit web page:v2
sbx commit -m 'with tools' -c 'CMD ["bash"]' -c 'ENV LANG=C.UTF-8' work tools`,
		flags: func(f *pflag.FlagSet) {
			fs = f
			f.StringVarP(&o.Author, "author", "a", "", "who has made it: \"Ann <ann@example.org>\"")
			f.VarP((*list)(&o.Changes), "change", "c", "apply a Dockerfile `INSTRUCTION`: CMD, ENTRYPOINT, ENV, ...")
			f.StringVarP(&o.Message, "message", "m", "", "say what it is, in the image's history")
			f.BoolVarP(&pause, "pause", "p", true, "pause the sandbox meanwhile; without the flag only if it has a cgroup, which that takes")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "show no progress")
		},
		run: func(s streams, args []string) error {
			if len(args) == 2 {
				o.Image = args[1]
				if err := checkNewName(o.Image); err != nil {
					return err
				}
			}
			if fs.Changed("pause") {
				o.Pause = &pause
			}
			o.Name = args[0]
			o.Quiet = o.Quiet || !isTerminal(s.err)
			_, err := ask(s, api.VerbCommit, o)
			return err
		},
	}
}
