package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newCreateVolume() command {
	var o api.VolumeCreate
	var driver string
	var labelled, options []string
	return command{
		name: "volume create", group: groupVolumes, args: "[VOLUME]", max: 1, names: wantNothing,
		short: "make a volume: a directory that outlives sandboxes",
		examples: `sbx volume create db
sbx volume create --opt type=none --opt o=bind --opt device=/srv/data data`,
		flags: func(f *pflag.FlagSet) {
			f.StringVarP(&driver, "driver", "d", "local", "`local` is the only driver")
			f.Var((*list)(&labelled), "label", "`KEY[=VALUE]` to find the volume by")
			f.VarP((*list)(&options), "opt", "o", "`KEY=VALUE`: type=tmpfs and o=OPTIONS, or type=none, o=bind and device=DIRECTORY")
		},
		run: func(s streams, args []string) error {
			if err := checkDriver("--driver", driver); err != nil {
				return err
			}
			if len(args) > 0 {
				o.Name = args[0]
				if err := checkVolumeName(o.Name); err != nil {
					return &flagError{err.Error()}
				}
			}
			var err error
			if o.Labels, err = labels(nil, labelled); err != nil {
				return err
			}
			for _, opt := range options {
				put(&o.Options, opt)
			}
			_, err = ask(s, api.VerbVolumeCreate, o)
			return err
		},
	}
}

func newVolumes() command {
	var o api.VolumeList
	return command{
		name: "volume ls", group: groupVolumes, names: wantNothing,
		short: "list volumes", examples: "sbx volume ls --filter dangling=true\nsbx volume ls --format '{{.Name}} {{.Mountpoint}}'",
		flags: func(f *pflag.FlagSet) {
			f.VarP((*list)(&o.Filters), "filter", "f", "`KEY=VALUE` to choose by: name, label, dangling, driver")
			f.StringVar(&o.Format, "format", "", "`table|json|table TEMPLATE|TEMPLATE`")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "names only")
		},
		run: func(s streams, _ []string) error {
			if err := checkFilters(o.Filters); err != nil {
				return err
			}
			_, err := ask(s, api.VerbVolumeList, o)
			return err
		},
	}
}

func newInspectVolumes() command {
	var o api.Inspect
	return command{
		name: "volume inspect", group: groupVolumes, args: "VOLUME [VOLUME...]", min: 1, max: -1, names: wantVolumes,
		short: "show everything about volumes as JSON", examples: "sbx volume inspect -f '{{.Mountpoint}}' db",
		flags: func(f *pflag.FlagSet) { f.StringVarP(&o.Format, "format", "f", "", "`json|TEMPLATE`") },
		run: func(s streams, args []string) error {
			o.Names = args
			_, err := ask(s, api.VerbVolumeInspect, o)
			return err
		},
	}
}

func newRemoveVolumes() command {
	var o api.VolumeRemove
	return command{
		name: "volume rm", group: groupVolumes, args: "VOLUME [VOLUME...]", min: 1, max: -1, names: wantVolumes,
		short: "remove volumes that no sandbox has, with what is in them", examples: "sbx volume rm db",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.Force, "force", "f", false, "no error if there is none of that name")
		},
		run: func(s streams, args []string) error {
			o.Names = args
			_, err := ask(s, api.VerbVolumeRemove, o)
			return err
		},
	}
}

func newPruneVolumes() command {
	var o api.VolumePrune
	var force bool
	return command{
		name: "volume prune", group: groupVolumes, names: wantNothing,
		short: "remove anonymous volumes that no sandbox has", examples: "sbx volume prune -af --filter label=ci",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.All, "all", "a", false, "those with a name, too")
			f.BoolVarP(&force, "force", "f", false, "do not ask")
			f.Var((*list)(&o.Filters), "filter", "`KEY=VALUE` to choose by: label, label!, all")
		},
		run: func(s streams, _ []string) error {
			if err := checkFilters(o.Filters); err != nil {
				return err
			}
			if ok, err := agreed(s, force, "This will remove "+unusedVolumes(o.All)+"."); !ok {
				return err
			}
			_, err := ask(s, api.VerbVolumePrune, o)
			return err
		},
	}
}

// unusedVolumes are Docker's words for what is pruned.
func unusedVolumes(all bool) string {
	if all {
		return "all local volumes not used by at least one sandbox"
	}
	return "anonymous local volumes not used by at least one sandbox"
}
