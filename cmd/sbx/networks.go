package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newNetworks() command {
	var o api.NetworkList
	return command{
		name: "network ls", group: groupNetworks, names: wantNothing,
		short: "list networks", examples: "sbx network ls --filter label=team\nsbx network ls --format '{{.Name}} {{.Internal}}'",
		flags: func(f *pflag.FlagSet) {
			f.VarP((*list)(&o.Filters), "filter", "f", "`KEY=VALUE` to choose by: name, id, driver, label, dangling, type, scope")
			f.StringVar(&o.Format, "format", "", "`table|json|table TEMPLATE|TEMPLATE`")
			f.BoolVar(&o.NoTrunc, "no-trunc", false, "do not shorten")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "ids only")
		},
		run: func(s streams, _ []string) error {
			if err := checkFilters(o.Filters); err != nil {
				return err
			}
			_, err := ask(s, api.VerbNetworkList, o)
			return err
		},
	}
}

func newInspectNetworks() command {
	var o api.Inspect
	return command{
		name: "network inspect", group: groupNetworks, args: "NETWORK [NETWORK...]", min: 1, max: -1, names: wantNetworks,
		short:    "show everything about networks as JSON",
		examples: "sbx network inspect bridge\nsbx network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{println}}{{end}}' lab",
		flags:    func(f *pflag.FlagSet) { f.StringVarP(&o.Format, "format", "f", "", "`json|TEMPLATE`") },
		run: func(s streams, args []string) error {
			o.Names = args
			_, err := ask(s, api.VerbNetworkInspect, o)
			return err
		},
	}
}

func newRemoveNetworks() command {
	var o api.NetworkRemove
	return command{
		name: "network rm", group: groupNetworks, args: "NETWORK [NETWORK...]", min: 1, max: -1, names: wantNetworks,
		short: "remove networks", examples: "sbx network rm lab",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.Force, "force", "f", false, "no error if there is none of that name")
		},
		run: func(s streams, args []string) error {
			o.Names = args
			_, err := ask(s, api.VerbNetworkRemove, o)
			return err
		},
	}
}

func newPruneNetworks() command {
	var o api.NetworkPrune
	var force bool
	return command{
		name: "network prune", group: groupNetworks, names: wantNothing,
		short: "remove networks that no sandbox is on", examples: "sbx network prune -f --filter until=240h",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&force, "force", "f", false, "do not ask")
			f.Var((*list)(&o.Filters), "filter", "`KEY=VALUE` to choose by: label, label!, until")
		},
		run: func(s streams, _ []string) error {
			if err := checkFilters(o.Filters); err != nil {
				return err
			}
			if ok, err := agreed(s, force, "This will remove all custom networks not used by at least one sandbox."); !ok {
				return err
			}
			_, err := ask(s, api.VerbNetworkPrune, o)
			return err
		},
	}
}

func newConnect() command {
	var f placeFlags
	return command{
		name: "network connect", group: groupNetworks, args: "NETWORK SANDBOX", min: 2, max: 2, names: wantJoining,
		short: "put a sandbox, running or not, on one more network", examples: "sbx network connect --alias db lab postgres",
		flags: func(fs *pflag.FlagSet) { f.add(fs, "alias") },
		run: func(s streams, args []string) error {
			c := networkChoice{Attachment: api.Attachment{Network: args[0]}}
			if err := c.settle(); err != nil {
				return invalid("network", args[0], err.Error())
			}
			if !c.bridge() {
				return invalid("network", args[0], "a sandbox has it from its start to its end, or never")
			}
			if err := f.put(&c.Attachment, "--alias"); err != nil {
				return err
			}
			if err := settleDefault(&api.Net{Endpoints: []api.Attachment{c.Attachment}}); err != nil {
				return err
			}
			_, err := ask(s, api.VerbNetworkConnect, api.NetworkConnect{Sandbox: args[1], Attachment: c.Attachment})
			return err
		},
	}
}

func newDisconnect() command {
	var o api.NetworkDisconnect
	return command{
		name: "network disconnect", group: groupNetworks, args: "NETWORK SANDBOX", min: 2, max: 2, names: wantJoining,
		short: "take a sandbox off a network", examples: "sbx network disconnect lab postgres",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.Force, "force", "f", false, "also where the network or the sandbox is not there any more")
		},
		run: func(s streams, args []string) error {
			o.Network, o.Sandbox = args[0], args[1]
			_, err := ask(s, api.VerbNetworkDisconnect, o)
			return err
		},
	}
}

func newPort() command {
	return command{
		name: "port", group: groupFacts, args: "SANDBOX [PORT[/PROTO]]", min: 1, max: 2, names: wantSandbox,
		short: "show where the ports of a sandbox are published", examples: "sbx port web\nsbx port web 80",
		run: func(s streams, args []string) error {
			q := api.PortQuery{Name: args[0]}
			if len(args) == 2 {
				first, last, proto, err := parsePorts(args[1])
				if err != nil {
					return invalid("port", args[1], err.Error())
				}
				if first != last {
					return invalid("port", args[1], "expected one port")
				}
				q.Port = portText(first, proto)
			}
			_, err := ask(s, api.VerbPort, q)
			return err
		},
	}
}
