package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Change applies Dockerfile instructions: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK,
// LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR, in their JSON and their shell
// form. Later ones see the variables of earlier ones. What c shares with other
// configurations is not written to.
// https://docs.docker.com/reference/dockerfile/
func (c *Config) Change(instructions []string) error {
	e := editor{Config: c}
	c.Env = slices.Clone(c.Env)
	c.Labels, c.Volumes, c.ExposedPorts = maps.Clone(c.Labels), maps.Clone(c.Volumes), maps.Clone(c.ExposedPorts)
	for _, line := range instructions {
		if err := e.change(line); err != nil {
			return api.Errorf("change image", "", "%q: %v", line, err).
				WithHint("as in a Dockerfile: CMD [\"prog\", \"arg\"], ENV NAME=value, USER name")
		}
	}
	return nil
}

// editor is a configuration that instructions change.
type editor struct {
	*Config
	cmdSet bool // CMD was among them
}

func (c *editor) change(line string) error {
	line = strings.TrimSpace(line)
	verb, args := line, ""
	if i := strings.IndexAny(line, " \t="); i >= 0 { // podman takes CMD=prog too
		verb, args = line[:i], strings.TrimSpace(strings.TrimPrefix(line[i:], "="))
	}
	do, known := map[string]func(string) error{
		"CMD":         c.cmd,
		"ENTRYPOINT":  c.entrypoint,
		"ENV":         c.env,
		"EXPOSE":      c.expose,
		"HEALTHCHECK": c.healthcheck,
		"LABEL":       c.label,
		"ONBUILD":     c.onBuild,
		"STOPSIGNAL":  c.stopSignal,
		"USER":        c.user,
		"VOLUME":      c.volume,
		"WORKDIR":     c.workDir,
	}[strings.ToUpper(verb)]
	switch {
	case !known:
		return fmt.Errorf("%s is not an instruction that changes an image", verb)
	case args == "":
		return fmt.Errorf("%s needs an argument", strings.ToUpper(verb))
	case strings.ContainsAny(args, "\n\r\x00"):
		return fmt.Errorf("%s with more than one line", strings.ToUpper(verb))
	}
	return do(args)
}

// list parses the JSON form. What does not begin like it is not of that form, and
// what does but is no list of strings is taken by a shell, as Docker does.
func list(args string) ([]string, bool) {
	if !strings.HasPrefix(args, "[") {
		return nil, false
	}
	var list []string
	if err := json.Unmarshal([]byte(args), &list); err != nil {
		return nil, false
	}
	return list, true
}

// program is what is run: the JSON form, or a line for the image's shell.
func (c *Config) program(args string) []string {
	if argv, ok := list(args); ok {
		return argv
	}
	shell := c.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), args)
}

func (c *editor) cmd(args string) error {
	c.Cmd, c.cmdSet = c.program(args), true
	return nil
}

// entrypoint forgets the command that was meant for another one, as Docker does.
func (c *editor) entrypoint(args string) error {
	c.Entrypoint = c.program(args)
	if !c.cmdSet {
		c.Cmd = nil
	}
	return nil
}

// lookup gives variables the values they have in the image.
func (c *Config) lookup(name string) string {
	for _, kv := range c.Env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// pairs parses NAME=value ..., or one NAME and its value without the sign.
func (c *Config) pairs(args string, set func(name, value string)) error {
	list, err := words(args, c.lookup)
	if err != nil {
		return err
	}
	if first := list[0]; !strings.Contains(first, "=") {
		if len(list) == 1 || first == "" {
			return fmt.Errorf("%q has no value or no name: NAME=value", first)
		}
		set(first, strings.Join(list[1:], " "))
		return nil
	}
	for _, word := range list {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not NAME=value", word)
		}
		set(name, value)
	}
	return nil
}

func (c *Config) env(args string) error {
	return c.pairs(args, func(name, value string) {
		kv := name + "=" + value
		i := slices.IndexFunc(c.Env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if i >= 0 {
			c.Env[i] = kv
		} else {
			c.Env = append(c.Env, kv)
		}
	})
}

func (c *Config) label(args string) error {
	return c.pairs(args, func(name, value string) {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[name] = value
	})
}

// onBuild adds what is done in a build that begins with the image. Some make no
// sense there, and Docker refuses them.
func (c *Config) onBuild(args string) error {
	verb, _ := cutWord(args)
	switch verb = strings.ToUpper(verb); verb {
	case "ONBUILD", "FROM", "MAINTAINER":
		return fmt.Errorf("ONBUILD cannot be followed by %s", verb)
	}
	c.OnBuild = append(slices.Clone(c.OnBuild), args)
	return nil
}

// one is the argument of an instruction that takes exactly one.
func (c *Config) one(args string) (string, error) {
	list, err := words(args, c.lookup)
	if err != nil {
		return "", err
	}
	if len(list) != 1 || list[0] == "" {
		return "", fmt.Errorf("one argument is wanted, not %d", len(list))
	}
	return list[0], nil
}

func (c *Config) user(args string) (err error) {
	c.User, err = c.one(args)
	return err
}

func (c *Config) workDir(args string) error {
	dir, err := c.one(args)
	if err != nil {
		return err
	}
	if !path.IsAbs(dir) {
		dir = path.Join("/", c.WorkDir, dir)
	}
	c.WorkDir = path.Clean(dir)
	return nil
}

func (c *Config) volume(args string) error {
	dirs, ok := list(args)
	if !ok {
		var err error
		if dirs, err = words(args, c.lookup); err != nil {
			return err
		}
	}
	for _, dir := range dirs {
		if !path.IsAbs(dir) {
			return fmt.Errorf("volume %q is not an absolute path", dir)
		}
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		c.Volumes[path.Clean(dir)] = struct{}{}
	}
	return nil
}

// expose takes PORT[-PORT][/PROTOCOL] ...
func (c *Config) expose(args string) error {
	ports, err := words(args, c.lookup)
	if err != nil {
		return err
	}
	for _, word := range ports {
		span, proto, ok := strings.Cut(word, "/")
		if !ok {
			proto = "tcp"
		}
		proto = strings.ToLower(proto)
		low, high, isRange := strings.Cut(span, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 16)
		to, err2 := strconv.ParseUint(high, 10, 16)
		if errors.Join(err1, err2) != nil || from == 0 || from > to || !slices.Contains([]string{"tcp", "udp", "sctp"}, proto) {
			return fmt.Errorf("%q is not a port: 80, 8000-8010/udp", word)
		}
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		for port := from; port <= to; port++ {
			c.ExposedPorts[strconv.FormatUint(port, 10)+"/"+proto] = struct{}{}
		}
	}
	return nil
}

// stopSignal takes a name, with or without SIG, or a number, signal(7).
func (c *Config) stopSignal(args string) error {
	sig, err := c.one(args)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(sig); err == nil {
		if n < 1 || n > 64 {
			return fmt.Errorf("there is no signal %d", n)
		}
	} else if !isSignal(strings.ToUpper(sig)) {
		return fmt.Errorf("there is no signal %q", sig)
	}
	c.StopSignal = sig
	return nil
}

// isSignal knows the real-time signals RTMIN to RTMIN+30 and RTMAX-30 to RTMAX as well.
func isSignal(name string) bool {
	name = strings.TrimPrefix(name, "SIG")
	for _, rt := range []string{"RTMIN+", "RTMAX-"} {
		if n, ok := strings.CutPrefix(name, rt); ok {
			offset, err := strconv.ParseUint(n, 10, 8)
			return err == nil && offset <= 30
		}
	}
	return name == "RTMIN" || name == "RTMAX" || unix.SignalNum("SIG"+name) != 0
}
