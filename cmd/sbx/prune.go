package main

import (
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newPruneImages() command {
	var o api.PruneImages
	var force bool
	return command{
		name: "image prune", group: groupDisk, names: wantNothing,
		short: "remove images that have no name", examples: "sbx image prune -a --filter until=240h",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.All, "all", "a", false, "all images that no sandbox uses")
			f.BoolVarP(&force, "force", "f", false, "do not ask")
			f.Var((*list)(&o.Filters), "filter", "`KEY=VALUE` to choose by: until, label")
		},
		run: func(s streams, _ []string) error {
			if err := checkFilters(o.Filters); err != nil {
				return err
			}
			if ok, err := agreed(s, force, "This will remove "+unusedImages(o.All)+"."); !ok {
				return err
			}
			_, err := ask(s, api.VerbPruneImages, o)
			return err
		},
	}
}

func newPruneBuilds() command {
	var o api.BuilderPrune
	var force bool
	var keep string
	return command{
		name: "builder prune", group: groupDisk, names: wantNothing,
		short: "remove what builds have kept for later ones", examples: "sbx builder prune -a\nsbx builder prune -f --keep-storage 10g --filter until=240h",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.All, "all", "a", false, "also what images of the store use")
			f.BoolVarP(&force, "force", "f", false, "do not ask")
			f.StringVar(&keep, "keep-storage", "", "`SIZE` to keep, like 10g: what was used last")
			f.Var((*list)(&o.Filters), "filter", "`until=TIME` to choose by: what has not been used since")
		},
		run: func(s streams, _ []string) error {
			err := checkFilters(o.Filters)
			if err == nil {
				o.KeepStorage, err = memorySize("--keep-storage", keep, false)
			}
			if err != nil {
				return err
			}
			if ok, err := agreed(s, force, "This will remove "+unusedCache(o.All)+"."); !ok {
				return err
			}
			_, err = ask(s, api.VerbBuilderPrune, o)
			return err
		},
	}
}

// unusedImages are Docker's words for what is pruned.
func unusedImages(all bool) string {
	if all {
		return "all images without at least one sandbox associated to them"
	}
	return "all dangling images"
}

// agreed says whether to go on: --force was given, or the user answers yes.
func agreed(s streams, force bool, warning string) (bool, error) {
	if force {
		return true, nil
	}
	return confirm(s, warning)
}

func unusedCache(all bool) string {
	if all {
		return "all build cache"
	}
	return "all dangling build cache"
}

func newPruneSandboxes() command {
	var force bool
	var filters []string
	return command{
		name: "container prune", group: groupDisk, names: wantNothing,
		short: "remove sandboxes that do not run", examples: "sbx container prune --filter label=ci",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&force, "force", "f", false, "do not ask")
			f.Var((*list)(&filters), "filter", "`label=KEY[=VALUE]` to choose by")
		},
		run: func(s streams, _ []string) error {
			if err := checkLabelFilters(filters); err != nil {
				return err
			}
			if ok, err := agreed(s, force, "This will remove all stopped sandboxes."); !ok {
				return err
			}
			return pruneSandboxes(s, filters)
		},
	}
}

// checkLabelFilters refuses what ps cannot choose by.
func checkLabelFilters(filters []string) error {
	for _, filter := range filters {
		switch key, _, _ := strings.Cut(filter, "="); key {
		case "label":
		case "until", "label!":
			return refused("--filter "+key, "sandboxes are pruned by label only")
		default:
			return invalid("--filter", filter, "expected label=KEY[=VALUE]")
		}
	}
	return checkFilters(filters)
}

// pruneSandboxes removes what has ended or was never started. One that is started
// meanwhile is not removed: that needs force.
func pruneSandboxes(s streams, filters []string) error {
	list := api.List{All: true, Quiet: true, NoTrunc: true,
		Filters: append([]string{"status=" + api.Created, "status=" + api.Exited}, filters...)}
	text, err := collect(api.VerbList, list)
	if err != nil {
		return err
	}
	ids := strings.Fields(text)
	if len(ids) == 0 {
		return nil
	}
	if _, err := s.out.WriteString("Deleted Containers:\n"); err != nil {
		return err
	}
	_, err = ask(s, api.VerbRemove, api.Remove{Names: ids})
	return err
}

func newPruneAll() command {
	var all, force, volumes bool
	var filters []string
	return command{
		name: "system prune", group: groupDisk, names: wantNothing,
		short: "remove sandboxes that do not run, networks that none is on, images that have no name, and what builds have kept", examples: "sbx system prune -af",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&all, "all", "a", false, "all images that no sandbox uses, and all that builds have kept")
			f.BoolVarP(&force, "force", "f", false, "do not ask")
			f.BoolVar(&volumes, "volumes", false, "anonymous volumes that no sandbox has, too")
			f.Var((*list)(&filters), "filter", "`label=KEY[=VALUE]` to choose by")
		},
		run: func(s streams, _ []string) error {
			if err := checkLabelFilters(filters); err != nil {
				return err
			}
			also := ""
			if volumes {
				also = "  - all " + unusedVolumes(false) + "\n"
			}
			cache := len(filters) == 0 // what builds keep has no labels
			images := "  - " + unusedImages(all) + "\n"
			if cache {
				images += "  - " + unusedCache(all) + "\n"
			}
			if ok, err := agreed(s, force, "This will remove:\n  - all stopped sandboxes\n  - all networks not used by at least one sandbox\n"+also+images); !ok {
				return err
			}
			if err := pruneSandboxes(s, filters); err != nil {
				return err
			}
			if _, err := ask(s, api.VerbNetworkPrune, api.NetworkPrune{Filters: filters}); err != nil {
				return err
			}
			if volumes {
				if _, err := ask(s, api.VerbVolumePrune, api.VolumePrune{Filters: filters, Part: true}); err != nil {
					return err
				}
			}
			_, err := ask(s, api.VerbPruneImages, api.PruneImages{All: all, Filters: filters})
			if err == nil && cache {
				_, err = ask(s, api.VerbBuilderPrune, api.BuilderPrune{All: all})
			}
			return err
		},
	}
}
