package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"

	"sbx/image"
)

// setting carries out an instruction that only changes what the image says.
func (p *planner) setting(c instructions.Command) error {
	switch c := c.(type) {
	case *instructions.EnvCommand:
		p.setEnv(c)
	case *instructions.LabelCommand:
		p.setLabels(c)
	case *instructions.MaintainerCommand:
		p.author = c.Maintainer
		p.note("MAINTAINER "+c.Maintainer, nil)
	case *instructions.CmdCommand:
		p.once(c)
		p.config.Cmd = p.program(c, c.ShellDependantCmdLine)
		p.note(fmt.Sprintf("CMD %q", p.config.Cmd), nil)
	case *instructions.EntrypointCommand:
		p.once(c)
		p.config.Entrypoint = p.program(c, c.ShellDependantCmdLine)
		// The command of the base was meant for another entry point.
		if p.seen["CMD"] == nil {
			p.config.Cmd = nil
		}
		p.note(fmt.Sprintf("ENTRYPOINT %q", p.config.Entrypoint), nil)
	case *instructions.HealthCheckCommand:
		return p.setHealth(c)
	case *instructions.ExposeCommand:
		return p.expose(c)
	case *instructions.UserCommand:
		p.config.User = c.User
		p.note("USER "+c.User, nil)
	case *instructions.VolumeCommand:
		return p.volume(c)
	case *instructions.StopSignalCommand:
		if err := p.config.Change([]string{"STOPSIGNAL " + c.Signal}); err != nil {
			return fmt.Errorf("invalid signal: %s", c.Signal)
		}
		p.config.StopSignal = c.Signal
		p.note("STOPSIGNAL "+c.Signal, nil)
	case *instructions.ShellCommand:
		p.config.Shell = c.Shell
		p.note(fmt.Sprintf("SHELL %v", c.Shell), nil)
	case *instructions.OnbuildCommand:
		p.config.OnBuild = append(slices.Clone(p.config.OnBuild), c.Expression)
	default:
		return fmt.Errorf("the instruction %s is not known", strings.ToUpper(c.Name()))
	}
	return nil
}

// once warns if an instruction of which only the last counts has been there before.
func (p *planner) once(c instructions.Command) {
	name := strings.ToUpper(c.Name())
	if at := p.seen[name]; at != nil {
		p.lint.Run(&linter.RuleMultipleInstructionsDisallowed, at, linter.RuleMultipleInstructionsDisallowed.Format(c.Name()))
	}
	p.seen[name] = c.Location()
}

// program is what a CMD or an ENTRYPOINT says.
func (p *planner) program(c instructions.Command, line instructions.ShellDependantCmdLine) []string {
	if !line.PrependShell {
		return line.CmdLine
	}
	if len(p.config.Shell) == 0 {
		p.lint.Run(&linter.RuleJSONArgsRecommended, c.Location(), linter.RuleJSONArgsRecommended.Format(c.Name()))
	}
	return p.shell(line.CmdLine)
}

func (p *planner) setEnv(c *instructions.EnvCommand) {
	said := "ENV"
	for _, e := range c.Env {
		if e.NoDelim {
			p.lint.Run(&linter.RuleLegacyKeyValueFormat, c.Location(), linter.RuleLegacyKeyValueFormat.Format(c.Name()))
		}
		if secretName(e.Key) {
			p.lint.Run(&linter.RuleSecretsUsedInArgOrEnv, c.Location(), linter.RuleSecretsUsedInArgOrEnv.Format("ENV", e.Key))
		}
		said += " " + e.String()
		p.env.set(e.Key, e.Value)
		p.config.Env = withEnv(p.config.Env, e.Key, e.Value)
	}
	p.note(said, nil)
}

// withEnv sets a variable, in its old place if it is there.
func withEnv(env []string, name, value string) []string {
	kv := name + "=" + value
	i := slices.IndexFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
	if i < 0 {
		return append(env, kv)
	}
	env[i] = kv
	return env
}

func (p *planner) setLabels(c *instructions.LabelCommand) {
	said := "LABEL"
	if p.config.Labels == nil {
		p.config.Labels = map[string]string{}
	}
	for _, l := range c.Labels {
		if l.NoDelim {
			p.lint.Run(&linter.RuleLegacyKeyValueFormat, c.Location(), linter.RuleLegacyKeyValueFormat.Format(c.Name()))
		}
		p.config.Labels[l.Key] = l.Value
		said += " " + l.String()
	}
	p.note(said, nil)
}

func (p *planner) setHealth(c *instructions.HealthCheckCommand) error {
	p.once(c)
	text, err := json.Marshal(c.Health)
	if err != nil {
		return err
	}
	p.config.Healthcheck = text
	p.note(fmt.Sprintf("HEALTHCHECK %+v", *c.Health), nil)
	return nil
}

// expose takes [IP:]HOST:PORT/PROTOCOL too, as Docker does, of which only the last
// port counts.
func (p *planner) expose(c *instructions.ExposeCommand) error {
	var ports []string
	for _, word := range c.Ports {
		list, err := p.g.words.lex.ProcessWords(word, p.env)
		if err != nil {
			return err
		}
		ports = append(ports, list...)
	}
	var fresh image.Config
	for _, port := range ports {
		span, proto, _ := strings.Cut(port, "/")
		inner := span[strings.LastIndexByte(span, ':')+1:]
		if inner != span {
			p.lint.Run(&linter.RuleExposeInvalidFormat, c.Location(), linter.RuleExposeInvalidFormat.Format(port))
		}
		if lower := strings.ToLower(proto); lower != proto {
			p.lint.Run(&linter.RuleExposeProtoCasing, c.Location(), linter.RuleExposeProtoCasing.Format(port))
			proto = lower
		}
		if proto != "" {
			inner += "/" + proto
		}
		if err := fresh.Change([]string{"EXPOSE " + inner}); err != nil {
			return fmt.Errorf("invalid containerPort: %s", port)
		}
	}
	if p.config.ExposedPorts == nil {
		p.config.ExposedPorts = map[string]struct{}{}
	}
	list := make([]string, 0, len(fresh.ExposedPorts))
	for port := range fresh.ExposedPorts {
		p.config.ExposedPorts[port] = struct{}{}
		list = append(list, port)
	}
	slices.Sort(list)
	p.note(fmt.Sprintf("EXPOSE %v", list), nil)
	return nil
}

func (p *planner) volume(c *instructions.VolumeCommand) error {
	if p.config.Volumes == nil {
		p.config.Volumes = map[string]struct{}{}
	}
	for _, v := range c.Volumes {
		if v == "" {
			return errors.New("VOLUME specified can not be an empty string")
		}
		p.config.Volumes[v] = struct{}{}
	}
	p.note(fmt.Sprintf("VOLUME %v", c.Volumes), nil)
	return nil
}
