package main

import (
	"strconv"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newSearch() command {
	var o api.Search
	var reach reachFlags
	var fs *pflag.FlagSet
	return command{
		name: "search", group: groupImages, args: "[REGISTRY/]TERM", min: 1, max: 1, names: wantNothing,
		short: "look for repositories in a registry (default: docker.io)",
		examples: `sbx search --limit 5 debian
sbx search --filter is-official=true --format '{{.Name}}' python`,
		flags: func(f *pflag.FlagSet) {
			fs = f
			f.VarP((*list)(&o.Filters), "filter", "f", "`KEY=VALUE` to choose by: is-official, is-automated, stars")
			f.StringVar(&o.Format, "format", "", "`table|json|table TEMPLATE|TEMPLATE`")
			f.IntVar(&o.Limit, "limit", 0, "at most `N` results (default: 25)")
			f.BoolVar(&o.NoTrunc, "no-trunc", false, "do not shorten")
			reach.add(f)
			reach.addCreds(f)
		},
		run: func(s streams, args []string) error {
			o.Term = args[0]
			if fs.Changed("limit") && (o.Limit < 1 || o.Limit > 100) {
				return invalid("--limit", strconv.Itoa(o.Limit), "expected 1 to 100")
			}
			err := checkFilters(o.Filters)
			if err == nil {
				o.Reach, err = reach.reach(s, fs)
			}
			if err != nil {
				return err
			}
			_, err = ask(s, api.VerbSearch, o)
			return err
		},
	}
}
