package main

import (
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sbx/api"
)

func newDoctor() command {
	var format string
	var asJSON, fix bool
	return command{
		name: "doctor", group: groupFacts, names: wantNothing,
		short: "try what sbx needs of this machine, and say how to get what is missing",
		examples: `sbx doctor                # green, yellow: something is lost, red: sbx does not run
sbx doctor --fix >fix.sh  # for an administrator to read and to run`,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&format, "format", "", "`text|json`")
			f.BoolVar(&asJSON, "json", false, "the same as --format json")
			f.BoolVar(&fix, "fix", false, "print a script that gets what is missing; nothing is changed")
		},
		run: func(streams, []string) error {
			if asJSON {
				format = "json"
			}
			words := []string{"sbxd", "doctor"}
			switch {
			case fix && format != "":
				return usageError{"--fix prints a script, not --format " + format}
			case fix:
				words = append(words, "--fix")
			case format != "":
				words = append(words, "--format="+format)
			}
			return becomeSupervisor(words)
		},
	}
}

// becomeSupervisor executes sbxd in the place of this process: what is to work without
// a supervisor, and is too large for this program.
func becomeSupervisor(words []string) error {
	path, err := findSupervisor()
	if err != nil {
		return err
	}
	return api.Wrap("start", path, unix.Exec(path, words, os.Environ()))
}
