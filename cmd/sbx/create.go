package main

import (
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newCreate() command {
	var spec specFlags
	var fs *pflag.FlagSet
	return command{
		name: "create", group: groupLife, args: "IMAGE [COMMAND [ARG...]]", min: 1, max: -1,
		program: true, names: wantImage, fault: api.ExitFault,
		short: "make a sandbox without starting it",
		examples: `sbx create --name box -it debian bash
sbx start -ai box`,
		flags: func(f *pflag.FlagSet) {
			fs = f
			spec.add(f)
		},
		run: func(s streams, args []string) error { return create(s, &spec, fs, args) },
	}
}

func create(s streams, f *specFlags, fs *pflag.FlagSet, args []string) error {
	spec, err := f.spec(fs, args)
	if err != nil {
		return err
	}
	fetch, err := f.fetch(s, fs, spec)
	if err != nil {
		return err
	}
	id, err := newCIDFile(f.cidFile)
	if err != nil {
		return err
	}
	defer id.drop()
	done, err := ask(s, api.VerbCreate, &api.Create{Spec: spec, Fetch: fetch})
	if err != nil {
		return err
	}
	return id.write(strings.TrimSpace(done.Text))
}
