package main

import (
	"errors"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sbx/api"
)

func newLoad() command {
	var o api.Load
	var input string
	return command{
		name: "load", group: groupImages, names: wantFiles,
		short:    "take images from an archive (docker-archive, oci-archive) or a directory (OCI layout)",
		examples: "sbx load -i debian.tar\nssh other sbx save debian | sbx load",
		flags: func(f *pflag.FlagSet) {
			f.StringVarP(&input, "input", "i", "", "`FILE`, or DIR, to read (default: standard input)")
			f.StringVar(&o.Platform, "platform", "", "`OS/ARCH[/VARIANT]` (default: this machine's)")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "show no progress")
		},
		run: func(s streams, _ []string) error { return load(s, o, input) },
	}
}

func load(s streams, o api.Load, input string) error {
	o.Source = input
	if input == "" || input == "-" {
		if isTerminal(s.in) {
			return &flagError{"standard input is a terminal: read from a file with -i, or from a pipe"}
		}
		o.Source = "standard input"
		_, err := ask(s, api.VerbLoad, o, s.in)
		return err
	}
	f, err := os.OpenFile(input, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return api.Wrap("open", input, errors.Unwrap(err))
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		if o.Dir, err = absolute("--input", input); err != nil {
			return err
		}
		_, err = ask(s, api.VerbLoad, o)
		return err
	}
	_, err = ask(s, api.VerbLoad, o, f)
	return err
}
