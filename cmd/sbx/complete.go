package main

import (
	"errors"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
	"sbx/internal/dirs"
)

func newCompletion() command {
	return command{
		name: "completion", group: groupOther, args: "bash|zsh|fish", min: 1, max: 1, names: wantWords,
		short:    "print a script that teaches a shell to complete sbx",
		examples: "source <(sbx completion bash)",
		run: func(s streams, args []string) error {
			script, ok := completionScript(args[0])
			if !ok {
				return usageError{quote(args[0]) + " is not bash, zsh or fish"}
			}
			_, err := io.WriteString(s.out, script)
			return err
		},
	}
}

// newComplete is what the scripts call: the words so far, the last one being
// typed; one candidate per line. No candidates: the shell completes file names.
func newComplete() command {
	return command{
		name: "__complete", group: groupHidden, args: "WORD...", max: -1, program: true,
		short: "complete the last word",
		run: func(s streams, args []string) error {
			if len(args) == 0 {
				args = []string{""}
			}
			last := args[len(args)-1]
			var b strings.Builder
			for _, candidate := range candidates(args[:len(args)-1], last) {
				if strings.HasPrefix(candidate, last) {
					b.WriteString(candidate + "\n")
				}
			}
			_, err := io.WriteString(s.out, b.String())
			return err
		},
	}
}

func candidates(before []string, last string) []string {
	if len(before) == 0 {
		return append(commandNames(), "container", "--help", "--version")
	}
	if len(before) == 1 && before[0] == "container" {
		return append([]string{"ls", "list"}, containerNames()...)
	}
	c, words, err := find(before)
	if err != nil {
		return nil
	}
	fs := c.flagSet()
	args, flag, ended := positions(fs, c.program, words)
	switch {
	case flag != nil:
		return flagValues(flag)
	case strings.HasPrefix(last, "-") && !ended:
		return flagNames(fs)
	}
	switch c.names {
	case wantSandboxes:
		return knownNames()
	case wantSandbox:
		if len(args) == 0 {
			return knownNames()
		}
	case wantImage:
		if len(args) == 0 {
			return append(knownNames("images"), api.HostImage)
		}
	case wantWords:
		if c.name == "completion" {
			return []string{"bash", "zsh", "fish"}
		}
		return commandNames()
	}
	return nil
}

// positions finds the arguments among words. Flag is the one that the next word
// is the value of, if any.
func positions(fs *pflag.FlagSet, program bool, words []string) (args []string, flag *pflag.Flag, ended bool) {
	for _, w := range words {
		switch {
		case flag != nil:
			flag = nil
		case ended || !strings.HasPrefix(w, "-") || w == "-":
			args = append(args, w)
			ended = ended || program
		case w == "--":
			ended = true
		default:
			flag = needsValue(fs, w)
		}
	}
	return args, flag, ended
}

// needsValue gives the flag in word whose value is the next word.
func needsValue(fs *pflag.FlagSet, word string) *pflag.Flag {
	if name, long := strings.CutPrefix(word, "--"); long {
		if f := fs.Lookup(name); f != nil && f.NoOptDefVal == "" {
			return f
		}
		return nil
	}
	for i := 1; i < len(word); i++ {
		f := fs.ShorthandLookup(word[i : i+1])
		if f == nil {
			return nil
		}
		if f.NoOptDefVal == "" {
			if i == len(word)-1 {
				return f
			}
			return nil // -n5
		}
	}
	return nil
}

func flagValues(f *pflag.Flag) []string {
	switch f.Name {
	case "network":
		return []string{"none", "host"}
	case "pull":
		return []string{"always", "missing", "newer", "never"}
	case "pid", "ipc":
		return []string{"host", "container:"}
	case "uts":
		return []string{"host"}
	case "restart":
		return []string{"no"}
	case "attach":
		return []string{"stdin", "stdout", "stderr"}
	case "security-opt":
		return []string{"no-new-privileges", "seccomp=", "seccomp=unconfined"}
	case "signal", "stop-signal":
		return []string{"HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP"}
	case "format":
		return []string{"json", "table"}
	}
	return nil
}

func commandNames() []string {
	var names []string
	for _, construct := range constructors() {
		if c := construct(); c.group != groupHidden {
			names = append(names, c.name)
		}
	}
	return names
}

func containerNames() []string {
	var names []string
	for _, name := range commandNames() {
		if _, ok := lookup("container " + name); ok {
			names = append(names, name)
		}
	}
	return names
}

// knownNames asks a supervisor that runs; completing starts none, and shows no
// errors.
func knownNames(kind ...string) []string {
	d, err := dirs.Find()
	if err != nil {
		return nil
	}
	conn, err := dial(d)
	if err != nil {
		return nil
	}
	defer conn.Close()
	if err := errors.Join(conn.Send(api.VerbNames, api.Names{Names: kind}), greet(conn)); err != nil {
		return nil
	}
	text, err := collectFrom(conn)
	if err != nil {
		return nil
	}
	return strings.Fields(text)
}
