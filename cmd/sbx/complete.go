package main

import (
	"errors"
	"io"
	"os"
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
		return append(append(commandNames(), groupNames()...), "--help", "--version")
	}
	if words := members(before[0]); len(before) == 1 && words != nil {
		return words
	}
	c, words, err := find(before)
	if err != nil {
		return nil
	}
	fs := c.flagSet()
	args, flag, ended := positions(fs, c.program, words)
	name, _, joined := strings.Cut(last, "=")
	switch {
	case flag != nil:
		return flagValues(c, flag)
	case !strings.HasPrefix(last, "-") || ended:
		return argumentNames(c, fs, args)
	case !joined:
		return flagNames(fs)
	}
	if flag = fs.Lookup(strings.TrimPrefix(name, "--")); flag == nil {
		return nil
	}
	values := flagValues(c, flag)
	for i := range values {
		values[i] = name + "=" + values[i]
	}
	return values
}

// argumentNames are what the next argument may name, after args.
func argumentNames(c command, fs *pflag.FlagSet, args []string) []string {
	switch c.names {
	case wantSandboxes:
		return knownNames()
	case wantImages:
		return knownNames("images")
	case wantEither:
		return append(knownNames(), knownNames("images")...)
	case wantVolumes:
		return knownNames("volumes")
	case wantNetworks:
		return knownNames("networks")
	case wantJoining:
		switch len(args) {
		case 0:
			return knownNames("networks")
		case 1:
			return knownNames()
		}
		return nil
	case wantPaths:
		return sandboxColons(args)
	case wantWords:
		switch {
		case c.name == "completion":
			return []string{"bash", "zsh", "fish"}
		case len(args) == 1:
			return members(args[0])
		}
		return append(commandNames(), groupNames()...)
	}
	if len(args) > 0 {
		return nil
	}
	switch c.names {
	case wantSandbox:
		return knownNames()
	case wantImage:
		switch c.name {
		case "run", "create":
			return append(knownNames("images"), api.HostImage)
		case "push", "images":
			return append(knownNames("images"), knownNames("repositories")...)
		}
		return knownNames("images")
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

func flagValues(c command, f *pflag.Flag) []string {
	if values := imageFlagValues(c.name, f.Name); values != nil {
		return values
	}
	if values := networkFlagValues(c.name, f.Name); values != nil {
		return values
	}
	switch f.Name {
	case "network":
		return append([]string{"none", "host", "pasta", "slirp4netns", "container:"}, knownNames("networks")...)
	case "volume":
		return colons(knownNames("volumes"))
	case "volumes-from":
		return knownNames()
	case "pull", "policy":
		return []string{api.PullAlways, api.PullMissing, api.PullNewer, api.PullNever}
	case "pid", "ipc":
		return []string{"host", "container:"}
	case "uts":
		return []string{"host"}
	case "userns":
		return []string{api.KeepID, api.KeepID + ":uid="}
	case "cgroupns":
		return []string{"private", "host"}
	case "restart":
		return []string{api.RestartNo, api.RestartOnFailure, api.RestartAlways, api.RestartUnlessStopped}
	case "health-on-failure":
		return []string{api.OnFailureNone, api.OnFailureKill, api.OnFailureRestart, api.OnFailureStop}
	case "condition":
		return []string{api.WaitNotRunning, api.WaitNextExit, api.WaitRemoved}
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

// imageFlagValues are those of flags about images.
func imageFlagValues(cmd, flag string) []string {
	switch flag {
	case "format":
		switch cmd {
		case "save":
			return []string{api.DockerArchive, api.OCIArchive, api.OCIDir, api.DockerDir}
		case "push":
			return []string{"oci", "v2s2"}
		case "build":
			return []string{"oci", "docker"}
		}
	case "network":
		if cmd == "build" {
			return []string{"default", "none", "host"}
		}
	case "progress":
		return []string{"auto", buildPlain, buildTTY, "quiet", buildRaw}
	case "output":
		if cmd == "build" {
			return []string{"type=local,dest=", "type=tar,dest=", "type=oci,dest=", "type=docker,dest=", "type=image"}
		}
	case "compression-format":
		return []string{"gzip", "zstd"}
	case "platform":
		return []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/riscv64", "linux/s390x"}
	case "type":
		return []string{"container", "image", "network", "volume"}
	case "filter":
		switch cmd {
		case "images":
			return []string{"dangling=", "label=", "before=", "since=", "reference=", "until="}
		case "builder prune":
			return []string{"until="}
		case "image prune":
			return []string{"until=", "label="}
		case "container prune", "system prune":
			return []string{"label="}
		case "events":
			return []string{"container=", "event=", "image=", "label=", "network=", "type=container", "type=image", "type=network", "type=volume", "volume="}
		case "search":
			return []string{"is-official=true", "stars="}
		}
	}
	return nil
}

// networkFlagValues are those of flags about networks and volumes.
func networkFlagValues(cmd, flag string) []string {
	switch cmd + " " + flag {
	case "network create driver":
		return []string{api.DefaultNetwork}
	case "network create opt":
		return []string{"com.docker.network.driver.mtu="}
	case "network ls filter":
		return []string{"dangling=", "driver=bridge", "id=", "label=", "name=", "type=builtin", "type=custom"}
	case "volume create driver":
		return []string{"local"}
	case "volume create opt":
		return []string{"type=", "o=", "device="}
	case "volume ls filter":
		return []string{"dangling=", "label=", "name="}
	case "volume prune filter":
		return []string{"all=", "label=", "label!="}
	case "network prune filter":
		return []string{"label=", "label!=", "until="}
	}
	if flag == "add-host" {
		return []string{"host.docker.internal:host-gateway"}
	}
	return nil
}

// commandNames are those that are one word.
func commandNames() []string {
	var names []string
	for _, construct := range constructors() {
		if c := construct(); c.group != groupHidden && !strings.Contains(c.name, " ") {
			names = append(names, c.name)
		}
	}
	return names
}

// knownNames asks the supervisor. One is started if there is anything to name, and no
// error is shown: a shell completes on the line that the user is typing.
func knownNames(kind ...string) []string {
	d, err := dirs.Find()
	if err != nil {
		return nil
	}
	conn, err := dial(d)
	if _, missing := os.Stat(d.Data); absent(err) && missing == nil {
		conn, err = launch(d)
	}
	if err != nil {
		return nil
	}
	defer conn.Close()
	if err := errors.Join(conn.Send(api.VerbNames, api.Names{Names: kind}), greet(conn, d)); err != nil {
		return nil
	}
	text, err := collectFrom(conn)
	if err != nil {
		return nil
	}
	return strings.Fields(text)
}

// sandboxColons are the beginnings of paths in sandboxes, for the two arguments of cp.
func sandboxColons(args []string) []string {
	if len(args) > 1 {
		return nil
	}
	return colons(knownNames())
}

func colons(names []string) []string {
	for i := range names {
		names[i] += ":"
	}
	return names
}
