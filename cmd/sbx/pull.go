package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newPull() command {
	var o api.Pull
	var reach reachFlags
	var trust trustFlag
	var fs *pflag.FlagSet
	return command{
		name: "pull", group: groupImages, args: "NAME[:TAG|@DIGEST]...", min: 1, max: -1, names: wantImages,
		short: "get images from a registry, an archive or a shared directory",
		examples: `sbx pull debian:13
sbx pull --platform linux/arm64 registry.example.com/team/tool
sbx pull oci:/srv/images:docker.io/library/debian:13`,
		flags: func(f *pflag.FlagSet) {
			fs = f
			f.BoolVarP(&o.AllTags, "all-tags", "a", false, "all tags of a repository")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "print the id only")
			f.StringVar(&o.Platform, "platform", "", "`OS/ARCH[/VARIANT]` (default: this machine's)")
			f.StringVar(&o.Policy, "policy", api.PullAlways, "when to ask the registry: `always|missing|newer|never`")
			trust.add(f)
			reach.addPulling(f)
		},
		run: func(s streams, args []string) error {
			err := trust.check()
			for i := range args {
				if err == nil {
					args[i], err = absoluteImage(args[i])
				}
			}
			o.Names = args
			if err == nil {
				err = checkPull("--policy", o.Policy)
			}
			if err == nil {
				o.Reach, err = reach.reach(s, fs)
			}
			if err != nil {
				return err
			}
			_, err = ask(s, api.VerbPull, o)
			return err
		},
	}
}
