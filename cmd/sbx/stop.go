package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newStop() command {
	return stopper("stop", api.VerbStop, "stop sandboxes: the stop signal, then KILL after a while",
		"sbx stop web\nsbx stop -t 1 web db")
}

func newRestart() command {
	return stopper("restart", api.VerbRestart, "stop sandboxes and start them again", "sbx restart web")
}

func stopper(name, verb, short, examples string) command {
	var seconds int
	var sig string
	var fs *pflag.FlagSet
	return command{
		name: name, group: groupLife, args: "SANDBOX [SANDBOX...]", min: 1, max: -1, names: wantSandboxes,
		short: short, examples: examples,
		flags: func(f *pflag.FlagSet) {
			fs = f
			f.IntVarP(&seconds, "timeout", "t", 10, "`SECONDS` until KILL; -1: never (default: the sandbox's own, or 10)")
			f.Lookup("timeout").DefValue = "0" // the real default is said in words
			f.StringVarP(&sig, "signal", "s", "", "`SIGNAL` to send (default: the sandbox's own)")
		},
		run: func(s streams, args []string) error {
			req := api.Stop{Names: args}
			var err error
			if req.Signal, err = signalFlag("--signal", sig); err != nil {
				return err
			}
			if fs.Changed("timeout") {
				if req.Timeout, err = timeout("--timeout", seconds); err != nil {
					return err
				}
			}
			_, err = ask(s, verb, req)
			return err
		},
	}
}

func newKill() command {
	var sig string
	return command{
		name: "kill", group: groupLife, args: "SANDBOX [SANDBOX...]", min: 1, max: -1, names: wantSandboxes,
		short: "send a signal to sandboxes", examples: "sbx kill -s HUP web",
		flags: func(f *pflag.FlagSet) { f.StringVarP(&sig, "signal", "s", "KILL", "`SIGNAL` to send") },
		run: func(s streams, args []string) error {
			checked, err := signalFlag("--signal", sig)
			if err != nil {
				return err
			}
			_, err = ask(s, api.VerbKill, api.Kill{Names: args, Signal: checked})
			return err
		},
	}
}

func newRemove() command {
	var o api.Remove
	return command{
		name: "rm", group: groupLife, args: "SANDBOX [SANDBOX...]", min: 1, max: -1, names: wantSandboxes,
		short: "remove sandboxes and what they wrote", examples: "sbx rm -f web",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.Force, "force", "f", false, "kill one that runs")
			f.BoolVarP(&o.Volumes, "volumes", "v", false, "its anonymous volumes, too")
		},
		run: func(s streams, args []string) error {
			o.Names = args
			_, err := ask(s, api.VerbRemove, o)
			return err
		},
	}
}

func newRename() command {
	return command{
		name: "rename", group: groupLife, args: "SANDBOX NAME", min: 2, max: 2, names: wantSandbox,
		short: "give a sandbox another name", examples: "sbx rename agitated_lamport web",
		run: func(s streams, args []string) error {
			if !isName(args[1]) {
				return invalid("name", args[1], "expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit")
			}
			_, err := ask(s, api.VerbRename, api.Rename{Name: args[0], New: args[1]})
			return err
		},
	}
}
