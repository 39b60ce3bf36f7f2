package main

import (
	"slices"

	"github.com/spf13/pflag"

	"sbx/api"
)

// runFlags are those that run has and create has not.
type runFlags struct {
	detach   bool
	sigProxy bool
	keys     string
}

func newRun() command {
	var spec specFlags
	var o runFlags
	var fs *pflag.FlagSet
	return command{
		name: "run", group: groupLife, args: "IMAGE [COMMAND [ARG...]]", min: 1, max: -1,
		program: true, names: wantImage, fault: api.ExitFault,
		short: "run a program in a new sandbox",
		examples: `sbx run --rm host id                            the host's own system, read-only
sbx run --rm -it -v ./src:/src:ro debian bash   an image, with a directory of yours
sbx run -d --name web -p 8080:80 nginx           a server, at port 8080 of this machine
tar c . | sbx run --rm -i --network none debian tar t`,
		flags: func(f *pflag.FlagSet) {
			fs = f
			spec.add(f)
			f.BoolVarP(&o.detach, "detach", "d", false, "run in the background and print the id")
			f.BoolVar(&o.sigProxy, "sig-proxy", true, "forward signals to the program")
			f.StringVar(&o.keys, "detach-keys", defaultDetachKeys, "`KEYS` that leave the sandbox running")
		},
		run: func(s streams, args []string) error { return run(s, &spec, o, fs, args) },
	}
}

func run(s streams, f *specFlags, o runFlags, fs *pflag.FlagSet, args []string) error {
	keys, err := parseKeys(o.keys)
	if err != nil {
		return err
	}
	if o.detach && len(f.attach) > 0 {
		return &flagError{"--attach and --detach exclude each other"}
	}
	spec, err := f.spec(fs, args)
	if err != nil {
		return err
	}
	fetch, err := f.fetch(s, fs, spec)
	if err != nil {
		return err
	}
	a := attachment{tty: f.tty, proxy: o.sigProxy, keys: keys}
	if !o.detach {
		a.in, a.out, a.err = attached(f)
		a.direct = spec.Lifecycle.AutoRemove && !f.tty
	}
	if err := checkTerminal(s, a); err != nil {
		return err
	}
	id, err := newCIDFile(f.cidFile)
	if err != nil {
		return err
	}
	defer id.drop()
	if o.detach {
		r := &api.Run{Spec: spec, Detach: true, Fetch: fetch}
		return confine(r, o, f, runDetached(s, r, id))
	}
	p, err := newPlan(s, a)
	if err != nil {
		return err
	}
	c := session{s: s, attachment: a, started: id.write}
	r := &api.Run{Spec: spec, Stdio: p.stdio, Fetch: fetch}
	return confine(r, o, f, c.converse(api.VerbRun, p, r))
}

// attached says which standard files the program gets: all, input only with -i,
// unless -a names them.
func attached(f *specFlags) (in, out, err bool) {
	if len(f.attach) == 0 {
		return f.stdin, true, true
	}
	has := func(name string) bool { return slices.Contains(f.attach, name) }
	return f.stdin && has("stdin"), has("stdout"), has("stderr")
}

func runDetached(s streams, r *api.Run, id *cidFile) error {
	c := session{s: s}
	c.started = func(name string) error {
		if err := id.write(name); err != nil {
			return err
		}
		_, err := s.out.WriteString(name + "\n")
		return err
	}
	return c.untilStarted(api.VerbRun, r)
}
