package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newList() command {
	var o api.List
	var latest bool
	return command{
		name: "ps", group: groupFacts, names: wantNothing,
		short: "list sandboxes",
		examples: `sbx ps -a
sbx ps -q --filter name=web
sbx ps --format '{{.Names}} {{.Status}}'`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.All, "all", "a", false, "also those that do not run")
			f.IntVarP(&o.Last, "last", "n", -1, "the `N` made last, running or not")
			f.BoolVarP(&latest, "latest", "l", false, "the one made last")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "ids only")
			f.BoolVarP(&o.Size, "size", "s", false, "how much each has written")
			f.BoolVar(&o.NoTrunc, "no-trunc", false, "do not shorten")
			f.VarP((*list)(&o.Filters), "filter", "f", "`KEY=VALUE` to choose by: name, id, status, label, ancestor, exited, ...")
			f.StringVar(&o.Format, "format", "", "`table|json|table TEMPLATE|TEMPLATE`")
		},
		run: func(s streams, _ []string) error {
			if err := checkFilters(o.Filters); err != nil {
				return err
			}
			if latest {
				o.Last = 1
			}
			if o.Last < 0 {
				o.Last = 0
			}
			_, err := ask(s, api.VerbList, o)
			return err
		},
	}
}

func newInspect() command {
	var o api.Inspect
	var kind string
	return command{
		name: "inspect", group: groupFacts, args: "NAME [NAME...]", min: 1, max: -1, names: wantEither,
		short:    "show everything about sandboxes, or images, as JSON",
		examples: "sbx inspect web\nsbx inspect -f '{{.State.Pid}}' web\nsbx inspect --type image debian",
		flags: func(f *pflag.FlagSet) {
			f.StringVarP(&o.Format, "format", "f", "", "`json|TEMPLATE`")
			f.BoolVarP(&o.Size, "size", "s", false, "also how much each has written")
			f.StringVar(&kind, "type", "", "`container|image|network|volume` only (default: a sandbox, or else an image)")
		},
		run: func(s streams, args []string) error {
			verb := api.VerbInspect
			switch kind {
			case "", "container":
				o.Type = kind
			case "image":
				verb = api.VerbInspectImage
			case "network":
				verb = api.VerbNetworkInspect
			case "volume":
				verb = api.VerbVolumeInspect
			case "plugin", "node", "secret", "service", "task", "config":
				return refused("--type "+kind, "sbx inspects sandboxes, images, networks and volumes")
			default:
				return invalid("--type", kind, "expected container, image, network or volume")
			}
			o.Names = args
			_, err := ask(s, verb, o)
			return err
		},
	}
}

func newTop() command {
	return command{
		name: "top", group: groupInside, args: "SANDBOX [ps OPTIONS]", min: 1, max: -1, program: true, names: wantSandbox,
		short: "list the processes of a sandbox", examples: "sbx top web\nsbx top web -o pid,comm",
		run: func(s streams, args []string) error {
			_, err := ask(s, api.VerbTop, api.Top{Name: args[0], Args: args[1:]})
			return err
		},
	}
}

func newInfo() command {
	var format string
	return command{
		name: "info", group: groupFacts, names: wantNothing,
		short: "show how sbx works on this machine", examples: "sbx info -f json",
		flags: func(f *pflag.FlagSet) { f.StringVarP(&format, "format", "f", "", "`json|TEMPLATE`") },
		run: func(s streams, _ []string) error {
			_, err := ask(s, api.VerbInfo, api.Format{Format: format, Client: api.Version})
			return err
		},
	}
}

func newVersion() command {
	var format string
	return command{
		name: "version", group: groupFacts, names: wantNothing,
		short: "show the versions of sbx and of its supervisor", examples: "sbx version -f '{{.Server.Version}}'",
		flags: func(f *pflag.FlagSet) { f.StringVarP(&format, "format", "f", "", "`json|TEMPLATE`") },
		run: func(s streams, _ []string) error {
			conn, err := request(api.VerbVersion, api.Format{Format: format, Client: api.Version})
			if err != nil {
				// As Docker: half of the answer is better than none.
				if format == "" {
					fmt.Fprintf(s.out, "Client:\n Version: %s\n", api.Version)
				}
				return err
			}
			defer conn.Close()
			done, err := answer(s, conn, api.VerbVersion, func() {})
			if err != nil {
				return err
			}
			return printDone(s, done)
		},
	}
}
