package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// Forms of progress, those of view.
const (
	buildPlain = "plain"
	buildTTY   = "tty"
	buildRaw   = "rawjson"
)

// read makes the request of the flags, but for what comes as files.
func (o *buildFlags) read(s streams, fs *pflag.FlagSet) error {
	for _, step := range [...]func() error{
		o.buildIgnored.check, o.checkCall, o.readPull, o.readNetwork, o.readArgs, o.readEpoch, o.readSSH,
		func() error { return o.readProgress(s) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, name := range o.Tags {
		if err := checkNewName(name); err != nil {
			return err
		}
	}
	var err error
	if o.Labels, err = labels(nil, o.labels); err != nil {
		return err
	}
	if o.Limits, err = o.limits(fs); err != nil {
		return err
	}
	if o.Rlimits, err = rlimits(o.ulimits); err != nil {
		return err
	}
	if len(o.CacheFrom)+len(o.CacheTo) > 0 {
		if o.Dir, err = os.Getwd(); err != nil {
			return err
		}
	}
	o.Reach, err = o.reach(s, fs)
	return err
}

func (o *buildFlags) checkCall() error {
	switch o.call {
	case "build":
	case "check", "lint":
		o.Check = true
	default:
		return refused("--call "+o.call, "sbx builds, or checks")
	}
	switch o.Format {
	case "", "oci", "docker":
		return nil
	}
	return invalid("--format", o.Format, "expected oci or docker")
}

// readPull takes Docker's true and false, too.
func (o *buildFlags) readPull() error {
	switch o.Pull {
	case "true":
		o.Pull = api.PullAlways
	case "false":
		o.Pull = api.PullMissing
	}
	return checkPull("--pull", o.Pull)
}

func (o *buildFlags) readNetwork() error {
	switch o.Network {
	case "", "default", "none", "host":
	case "bridge", "private":
		o.Network = "default"
	default:
		return invalid("--network", o.Network, "expected default, none or host")
	}
	for i, text := range o.AddHosts {
		line, err := parseAddHost(text)
		if err != nil {
			return err
		}
		o.AddHosts[i] = line
	}
	for _, a := range o.Allow {
		if a != "network.host" && a != "security.insecure" {
			return invalid("--allow", a, "expected network.host or security.insecure")
		}
	}
	return nil
}

func (o *buildFlags) readArgs() error {
	for _, text := range o.args {
		name, value, set := strings.Cut(text, "=")
		if name == "" {
			return invalid("--build-arg", text, "it has no name")
		}
		if !set {
			if value, set = os.LookupEnv(name); !set {
				continue // as Docker: not set here, not set there
			}
		}
		o.setArg(name, value)
	}
	return nil
}

func (o *buildFlags) setArg(name, value string) {
	if o.Args == nil {
		o.Args = map[string]string{}
	}
	o.Args[name] = value
}

// epochArg is the ARG, and the variable, of https://reproducible-builds.org/specs/source-date-epoch.
const epochArg = "SOURCE_DATE_EPOCH"

// readEpoch reads the time that no other in the image is after: that of the flag, of
// the ARG, or of the environment.
func (o *buildFlags) readEpoch() error {
	text, from := o.epoch, "--timestamp"
	arg, given := o.Args[epochArg]
	if text == "" {
		text, from = arg, "--build-arg "+epochArg
	}
	if text == "" {
		text, from = os.Getenv(epochArg), "$"+epochArg
	}
	if text == "" {
		return nil
	}
	seconds, err := strconv.ParseUint(text, 10, 40)
	if err != nil {
		return invalid(from, text, "expected seconds since 1970")
	}
	o.Timestamp = new(int64)
	*o.Timestamp = int64(seconds)
	if !given {
		o.setArg(epochArg, text)
	}
	return nil
}

// readSSH reads --ssh ID[=SOCKET|KEY[,KEY...]]. The keys are opened by pack.
func (o *buildFlags) readSSH() error {
	for _, text := range o.ssh {
		id, value, given := strings.Cut(text, "=")
		if !given {
			value = os.Getenv("SSH_AUTH_SOCK")
		}
		if value == "" {
			return invalid("--ssh", text, "no agent: SSH_AUTH_SOCK is not set")
		}
		it := api.BuildSSH{ID: id}
		for _, name := range strings.Split(value, ",") {
			path, err := existing("--ssh", name)
			if err != nil {
				return err
			}
			if st, err := os.Stat(path); err == nil && st.Mode()&os.ModeSocket != 0 {
				it.Socket = path
			} else {
				it.Keys = append(it.Keys, path)
			}
		}
		if it.Socket != "" && strings.Contains(value, ",") {
			return invalid("--ssh", text, "expected one agent, or keys")
		}
		o.SSH = append(o.SSH, it)
	}
	return nil
}

// readProgress chooses a form of progress for where it goes.
func (o *buildFlags) readProgress(s streams) error {
	form := o.progress
	if form == "" {
		form = os.Getenv("BUILDKIT_PROGRESS")
	}
	term := os.Getenv("TERM")
	switch form {
	case "", "auto":
		form = buildPlain
		if term != "" && term != "dumb" && isTerminal(s.err) {
			form = buildTTY
		}
	case buildPlain, buildRaw:
	case buildTTY:
		if !isTerminal(s.err) {
			return invalid("--progress", form, "standard error is no terminal")
		}
	case "quiet", "none":
		o.Quiet, form = true, buildPlain
	default:
		return invalid("--progress", form, "expected auto, plain, tty, quiet or rawjson")
	}
	o.Progress = form
	if form == buildTTY {
		o.Size = windowSize(s)
		o.Colour = os.Getenv("NO_COLOR") == "" // https://no-color.org
	}
	return nil
}
