package main

import "sbx/api"

func newPause() command {
	return pauser("pause", api.VerbPause, "give the processes of sandboxes no processor for a while", "sbx pause web\nsbx unpause web")
}

func newUnpause() command {
	return pauser("unpause", api.VerbUnpause, "let paused sandboxes go on", "sbx unpause web")
}

func pauser(name, verb, short, examples string) command {
	return command{
		name: name, group: groupLife, args: "SANDBOX [SANDBOX...]", min: 1, max: -1, names: wantSandboxes,
		short: short, examples: examples,
		run: func(s streams, args []string) error {
			_, err := ask(s, verb, api.Names{Names: args})
			return err
		},
	}
}
