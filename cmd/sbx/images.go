package main

import (
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newImages() command {
	var o api.ListImages
	return command{
		name: "images", group: groupImages, args: "[REPOSITORY[:TAG]]", max: 1, names: wantImage,
		short: "list images",
		examples: `sbx images
sbx images -q --filter dangling=true
sbx images --format '{{.Repository}}:{{.Tag}} {{.Size}}'`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.All, "all", "a", false, "also intermediate images, of which sbx has none")
			f.BoolVar(&o.Digests, "digests", false, "show digests")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "ids only")
			f.BoolVar(&o.NoTrunc, "no-trunc", false, "do not shorten")
			f.VarP((*list)(&o.Filters), "filter", "f", "`KEY=VALUE` to choose by: dangling, label, before, since, reference, until")
			f.StringVar(&o.Format, "format", "", "`table|json|table TEMPLATE|TEMPLATE`")
		},
		run: func(s streams, args []string) error {
			if len(args) == 1 {
				o.Name = args[0]
			}
			if err := checkFilters(o.Filters); err != nil {
				return err
			}
			_, err := ask(s, api.VerbImages, o)
			return err
		},
	}
}

func newRemoveImages() command {
	var o api.RemoveImages
	return command{
		name: "rmi", group: groupImages, args: "IMAGE [IMAGE...]", max: -1, names: wantImages,
		short: "take names off images, and remove those that have none left", examples: "sbx rmi debian:12\nsbx rmi -f 0123456789ab",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.Force, "force", "f", false, "also an image with several names, or one that a stopped sandbox uses")
			f.BoolVarP(&o.All, "all", "a", false, "all images that no sandbox uses")
		},
		run: func(s streams, args []string) error {
			switch {
			case o.All && len(args) > 0:
				return usageError{"--all takes no image"}
			case !o.All && len(args) == 0:
				return usageError{"takes at least " + arguments(1)}
			}
			o.Names = args
			_, err := ask(s, api.VerbRemoveImage, o)
			return err
		},
	}
}

func newTag() command {
	return command{
		name: "tag", group: groupImages, args: "IMAGE NAME[:TAG]", min: 2, max: 2, names: wantImage,
		short: "give an image another name", examples: "sbx tag tool registry.example.com/team/tool:1.2",
		run: func(s streams, args []string) error {
			if err := checkNewName(args[1]); err != nil {
				return err
			}
			_, err := ask(s, api.VerbTag, api.Tag{Source: args[0], Target: args[1]})
			return err
		},
	}
}

// checkNewName refuses to give an image the name of the host's file system.
func checkNewName(name string) error {
	if name == api.HostImage || strings.HasPrefix(name, api.HostImage+":") {
		return invalid("name", name, "it stands for the host's own file system")
	}
	return nil
}

func newInspectImages() command {
	var o api.Inspect
	return command{
		name: "image inspect", group: groupImages, args: "IMAGE [IMAGE...]", min: 1, max: -1, names: wantImages,
		short:    "show everything about images as JSON",
		examples: "sbx image inspect -f '{{.Config.Cmd}}' debian",
		flags: func(f *pflag.FlagSet) {
			f.StringVarP(&o.Format, "format", "f", "", "`json|TEMPLATE`")
		},
		run: func(s streams, args []string) error {
			o.Names = args
			_, err := ask(s, api.VerbInspectImage, o)
			return err
		},
	}
}

func newHistory() command {
	var o api.History
	return command{
		name: "history", group: groupImages, args: "IMAGE", min: 1, max: 1, names: wantImage,
		short: "show how an image was made", examples: "sbx history --no-trunc debian",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.Human, "human", "H", true, "sizes and dates for people, not for programs")
			f.BoolVar(&o.NoTrunc, "no-trunc", false, "do not shorten")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "ids only")
			f.StringVar(&o.Format, "format", "", "`table|json|table TEMPLATE|TEMPLATE`")
		},
		run: func(s streams, args []string) error {
			o.Name = args[0]
			_, err := ask(s, api.VerbHistory, o)
			return err
		},
	}
}

// checkFilters checks the form of --filter; the supervisor knows the keys.
func checkFilters(filters []string) error {
	for _, filter := range filters {
		if key, _, ok := strings.Cut(filter, "="); !ok || key == "" {
			return invalid("--filter", filter, "expected KEY=VALUE")
		}
	}
	return nil
}
