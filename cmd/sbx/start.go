package main

import (
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newStart() command {
	var attach, stdin, proxy bool
	var keys string
	return command{
		name: "start", group: groupLife, args: "SANDBOX [SANDBOX...]", min: 1, max: -1, names: wantSandboxes,
		short: "start sandboxes that were made with create, or have ended",
		examples: `sbx start web
sbx start -ai box   with its output, and your keys`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&attach, "attach", "a", false, "show the output, and end with the program's exit status")
			f.BoolVarP(&stdin, "interactive", "i", false, "attach, and pass standard input on")
			f.BoolVar(&proxy, "sig-proxy", true, "forward signals to the program")
			f.StringVar(&keys, "detach-keys", defaultDetachKeys, "`KEYS` that leave the sandbox running")
		},
		run: func(s streams, args []string) error {
			if !attach && !stdin {
				_, err := ask(s, api.VerbStart, api.Start{Names: args})
				return err
			}
			if len(args) > 1 {
				return usageError{"only one sandbox can be started and attached to"}
			}
			return join(s, args[0], stdin, proxy, keys, func(io api.Stdio) (string, any) {
				return api.VerbStart, api.Start{Names: args, Attach: true, Stdio: io}
			})
		},
	}
}

func newAttach() command {
	var noStdin, proxy bool
	var keys string
	return command{
		name: "attach", group: groupInside, args: "SANDBOX", min: 1, max: 1, names: wantSandbox, fault: api.ExitFault,
		short:    "join the output and input of a running sandbox",
		examples: `sbx attach box   leave with ctrl-p ctrl-q`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&noStdin, "no-stdin", false, "pass no input on")
			f.BoolVar(&proxy, "sig-proxy", true, "forward signals to the program")
			f.StringVar(&keys, "detach-keys", defaultDetachKeys, "`KEYS` that leave the sandbox running")
		},
		run: func(s streams, args []string) error {
			return join(s, args[0], !noStdin, proxy, keys, func(io api.Stdio) (string, any) {
				return api.VerbAttach, api.Attach{Name: args[0], Stdio: io}
			})
		},
	}
}

// join is start -a and attach. What the program has, a terminal or an open
// standard input, was settled when the sandbox was made.
func join(s streams, name string, stdin, proxy bool, keys string, body func(api.Stdio) (string, any)) error {
	parsed, err := parseKeys(keys)
	if err != nil {
		return err
	}
	tty, open, err := programHas(name)
	if err != nil {
		return withCode(err)
	}
	a := attachment{in: stdin && open, out: true, err: true, tty: tty, keys: parsed}
	// With a terminal the keys carry the signals, and closing the window means
	// leaving, not ending what others may be attached to.
	a.proxy = proxy && !tty
	if err := checkTerminal(s, a); err != nil {
		return err
	}
	p, err := newPlan(s, a)
	if err != nil {
		return withCode(err)
	}
	verb, request := body(p.stdio)
	c := session{s: s, attachment: a}
	return c.converse(verb, p, request)
}

// programHas asks whether the program has a terminal and an open standard input.
func programHas(name string) (tty, stdin bool, err error) {
	text, err := collect(api.VerbInspect, api.Inspect{Names: []string{name}, Format: "{{.Config.Tty}} {{.Config.OpenStdin}}"})
	if err != nil {
		return false, false, err
	}
	switch strings.TrimSpace(text) {
	case "true true":
		return true, true, nil
	case "true false":
		return true, false, nil
	case "false true":
		return false, true, nil
	case "false false":
		return false, false, nil
	}
	return false, false, api.Errorf("inspect", name, "unexpected answer %q", text)
}
