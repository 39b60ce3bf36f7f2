package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// streams are the standard files of the command line.
type streams struct{ in, out, err *os.File }

// command is one verb. Its options live in the closures flags and run.
type command struct {
	name     string
	group    string // heading of the overview
	args     string // of the usage line
	short    string // one sentence
	examples string
	min, max int  // number of arguments; max < 0: any
	program  bool // the first argument ends the flags: the rest is a program's
	names    wants
	fault    int // exit status of its errors; 0 means 1, as Docker has it for all but run and its kin
	flags    func(*pflag.FlagSet)
	run      func(streams, []string) error
}

// wants says what the arguments of a command name, for completion.
type wants int

const (
	wantFiles     wants = iota
	wantNothing         // no arguments, or free text
	wantSandbox         // one sandbox first
	wantSandboxes       // sandboxes only
	wantImage           // one image first
	wantImages          // images only
	wantEither          // sandboxes and images
	wantNetworks        // networks only
	wantJoining         // a network, then a sandbox
	wantVolumes         // volumes only
	wantPaths           // files, and those of a sandbox
	wantWords           // commands or shells, see complete.go
)

// exitStatus ends the command line with that status and no message.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usageError is a mistake in the words typed. It prints with a pointer to help.
type usageError struct{ msg string }

func (e usageError) Error() string { return e.msg }

// dispatch runs the command that the words name and gives the exit status.
func dispatch(s streams, words []string) int {
	words, status, done := global(s, words)
	if done {
		return status
	}
	c, words, err := find(words)
	if err != nil {
		return report(s, command{}, err)
	}
	fs := c.flagSet()
	switch err := fs.Parse(words); {
	case errors.Is(err, pflag.ErrHelp):
		return report(s, c, help(s.out, c))
	case err != nil:
		return report(s, c, explain(c, err))
	}
	if err := c.count(fs.NArg()); err != nil {
		return report(s, c, err)
	}
	return report(s, c, c.run(s, fs.Args()))
}

// global handles what may stand before the verb.
func global(s streams, words []string) (rest []string, status int, done bool) {
	if len(words) == 0 {
		return nil, report(s, command{}, overview(s.out)), true
	}
	switch w := words[0]; {
	case w == "--help" || w == "-h":
		return nil, report(s, command{}, overview(s.out)), true
	case w == "--version" || w == "-v":
		_, err := fmt.Fprintln(s.out, "sbx version "+api.Version)
		return nil, report(s, command{}, err), true
	case strings.HasPrefix(w, "-"):
		name, _, _ := strings.Cut(w, "=")
		err := error(usageError{"unknown flag: " + name})
		if why := refusedGlobal(strings.TrimLeft(name, "-")); why != "" {
			err = refused(name, why)
		}
		return nil, report(s, command{fault: api.ExitFault}, err), true
	}
	return words, 0, false
}

// find takes the verb off the words: "rm", or "container rm". A group alone is
// explained.
func find(words []string) (command, []string, error) {
	name := words[0]
	if members(name) != nil {
		if len(words) == 1 || words[1] == "--help" || words[1] == "-h" {
			return newHelp(), words[:1], nil
		}
		name += " " + words[1]
		words = words[1:]
	}
	c, ok := lookup(name)
	if !ok {
		if why := refusedCommand(name); why != "" {
			return command{}, nil, &api.Error{Op: name + " is not supported yet", Msg: why}
		}
		return command{}, nil, usageError{fmt.Sprintf("%q is not a command of sbx", name)}
	}
	if name == "container inspect" {
		return c, append([]string{"--type=container"}, words[1:]...), nil
	}
	return c, words[1:], nil
}

// flagSet makes the command's flags; parsing prints nothing.
func (c command) flagSet() *pflag.FlagSet {
	fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.SetInterspersed(!c.program)
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName { return pflag.NormalizedName(normalize(name)) })
	if c.flags != nil {
		c.flags(fs)
	}
	return fs
}

// normalize knows Docker's second names of flags.
func normalize(name string) string {
	switch name {
	case "net":
		name = "network"
	case "time":
		name = "timeout"
	case "dns-opt":
		name = "dns-option"
	case "net-alias":
		name = "network-alias"
	case "source-date-epoch":
		name = "timestamp"
	case "reserved-space", "max-used-space":
		name = "keep-storage"
	}
	return name
}

// count checks the number of arguments.
func (c command) count(n int) error {
	switch {
	case n < c.min && c.max == c.min:
		return usageError{fmt.Sprintf("takes %s, not %d", arguments(c.min), n)}
	case n < c.min:
		return usageError{"takes at least " + arguments(c.min)}
	case c.max == 0 && n > 0:
		return usageError{"takes no arguments"}
	case c.max > 0 && n > c.max && c.max == c.min:
		return usageError{fmt.Sprintf("takes %s, not %d", arguments(c.max), n)}
	case c.max > 0 && n > c.max:
		return usageError{"takes at most " + arguments(c.max)}
	}
	return nil
}

func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// explain turns an error of the flag parser into ours. A flag that Docker has
// and sbx has not is refused with the reason.
func explain(c command, err error) error {
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		name := missing.GetSpecifiedName()
		shown := "--" + name
		if missing.GetSpecifiedShortnames() != "" {
			shown = "-" + name
			name = longName(c.name, name)
		}
		if why := refusedFlag(c.name, name); why != "" {
			return refused(shown, why)
		}
	}
	return &faultError{usageError{err.Error()}, api.ExitFault}
}

// faultError carries the exit status of an error that is not an api.Error.
type faultError struct {
	error
	code int
}

func (e *faultError) Unwrap() error { return e.error }
