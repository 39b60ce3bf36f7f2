package build

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"sbx/api"
)

// runStep is a RUN.
type runStep struct {
	args          []string
	env           []string // without the proxies
	workDir, user string
	network       string // as in api.Isolation
	insecure      bool
	mounts        []mount
	script        *instructions.ShellInlineFile // a heredoc that is executed itself
	shown         string                        // for messages
	platform      platform
}

// mount is a RUN --mount.
type mount struct {
	kind     instructions.MountType
	from     *stage // of a bind or a cache; nil: the context of a bind
	source   string // in it, absolute
	target   string // absolute; empty: a secret that is only a variable
	readOnly bool
	size     int64
	id       string // of a cache, secret, agent
	sharing  instructions.ShareMode
	required bool
	env      string // variable of a secret
	mode     uint32
	uid, gid int
	owned    bool // mode, uid or gid was given
	at       []parser.Range
	content  string // digest of what is bound of a context, once it has been read
}

// scripts is where heredocs are that are executed, as BuildKit has it.
const scripts = "/dev/pipes"

func (p *planner) runInstruction(c *instructions.RunCommand) error {
	s := &runStep{
		env: p.env.list(), workDir: p.config.WorkDir, user: p.config.User, platform: p.s.platform, shown: p.shown(c),
	}
	if s.workDir == "" {
		s.workDir = "/"
	}
	var err error
	shown := s.shown
	if s.args, err = s.program(p, c); err != nil {
		return err
	}
	if len(c.Files) > 0 && s.script == nil && len(c.Files) == 1 {
		shown += " (" + summary(c.Files[0].Data) + ")"
	} else if s.script != nil {
		shown += " (" + summary(s.script.Data) + ")"
	}
	if s.network, err = p.runNetwork(c); err != nil {
		return err
	}
	if instructions.GetSecurity(c) == instructions.SecurityInsecure {
		if !slices.Contains(p.r.Allow, "security.insecure") {
			return api.Errorf("build", "", "RUN --security=insecure is not allowed").WithHint("sbx build --allow security.insecure")
		}
		s.insecure = true
	}
	for i, m := range instructions.GetMounts(c) {
		planned, err := p.mount(m, p.cmd.from[i], c.Location())
		if err != nil {
			return err
		}
		s.mounts = append(s.mounts, planned)
	}
	if devices := instructions.GetDevices(c); len(devices) > 0 {
		return api.Errorf("build", "", "RUN --device: devices of the host are not for sandboxes without root")
	}
	words := argWords(p.args, p.env)
	if len(words) > 0 {
		words = append([]string{fmt.Sprintf("|%d", len(words))}, words...)
	}
	p.add(&step{run: s}, shown, "RUN "+strings.Join(append(words, s.args...), " "))
	return nil
}

// shown is a RUN for the user: with the values of variables that have one.
func (p *planner) shown(c *instructions.RunCommand) string {
	lex := *p.g.words.lex
	lex.RawQuotes, lex.SkipUnsetEnv = true, true
	text, _, err := lex.ProcessWord(c.String(), p.env)
	if err != nil {
		text = c.String()
	}
	_, rest, _ := strings.Cut(text, " ")
	return "RUN " + rest
}

// summary is the first line of a heredoc.
func summary(doc string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(doc, "\r\n", "\n")), "\n")
	if rest != "" {
		first += "..."
	}
	return first
}

// program is the argument vector. A heredoc alone is the text for the shell, or with
// #! a program itself; others are for the shell to read.
func (s *runStep) program(p *planner, c *instructions.RunCommand) ([]string, error) {
	args := c.CmdLine
	switch {
	case len(c.Files) > 0 && (len(args) != 1 || !c.PrependShell):
		return nil, fmt.Errorf("parsing produced an invalid run command: %v", args)
	case len(c.Files) > 0 && parser.MustParseHeredoc(args[0]) != nil:
		file := c.Files[0]
		if file.Chomp {
			file.Data = parser.ChompHeredocContent(file.Data)
		}
		if strings.HasPrefix(file.Data, "#!") {
			s.script = &file
			args = []string{path.Join(scripts, file.Name)}
		} else {
			args = []string{file.Data}
		}
	case len(c.Files) > 0:
		text := args[0]
		for _, file := range c.Files {
			text += "\n" + file.Data + file.Name
		}
		args = []string{text}
	}
	if c.PrependShell {
		return p.shell(args), nil
	}
	return args, nil
}

// runNetwork is what RUN --network says, or else the build.
func (p *planner) runNetwork(c *instructions.RunCommand) (string, error) {
	word := p.r.Network
	switch instructions.GetNetwork(c) {
	case instructions.NetworkNone:
		word = "none"
	case instructions.NetworkHost:
		if p.r.Network != "host" && !slices.Contains(p.r.Allow, "network.host") {
			return "", api.Errorf("build", "", "RUN --network=host is not allowed").WithHint("sbx build --allow network.host")
		}
		word = "host"
	}
	return network(word)
}

func (p *planner) mount(m *instructions.Mount, from *stage, at []parser.Range) (mount, error) {
	out := mount{
		kind: m.Type, from: from, source: path.Join("/", m.Source), readOnly: m.ReadOnly, size: m.SizeLimit, id: m.CacheID,
		sharing: m.CacheSharing, required: m.Required, at: at, owned: m.Mode != nil || m.UID != nil || m.GID != nil,
	}
	for _, n := range []struct {
		from *uint64
		to   *int
	}{{m.UID, &out.uid}, {m.GID, &out.gid}} {
		if n.from != nil {
			*n.to = int(*n.from)
		}
	}
	switch m.Type {
	case instructions.MountTypeSecret, instructions.MountTypeSSH:
		out.mode = 0o400
		if m.Type == instructions.MountTypeSSH {
			out.mode = 0o600
		}
	case instructions.MountTypeCache:
		out.mode = 0o755
	}
	if m.Mode != nil {
		out.mode = uint32(*m.Mode) & 0o7777
	}
	target := m.Target
	switch m.Type {
	case instructions.MountTypeSecret:
		return out, out.secret(m)
	case instructions.MountTypeSSH:
		if m.Source != "" {
			return out, fmt.Errorf("ssh does not support source")
		}
		if out.id == "" {
			out.id = "default"
		}
		if target == "" {
			return out, nil // it is given a place among the others
		}
	case instructions.MountTypeCache:
		if out.id == "" {
			out.id = path.Clean(target)
		}
		if out.sharing == "" {
			out.sharing = instructions.MountSharingShared
		}
	}
	if !path.IsAbs(target) {
		target = path.Join("/", p.config.WorkDir, target)
	}
	if out.target = path.Clean(target); out.target == "/" {
		return out, fmt.Errorf("invalid mount target %q", m.Target)
	}
	return out, nil
}

// secret completes a mount of a secret.
func (m *mount) secret(from *instructions.Mount) error {
	if from.Source != "" {
		m.id = from.Source
	}
	if m.id == "" {
		if from.Target == "" {
			return fmt.Errorf("one of source, target required")
		}
		m.id = path.Base(from.Target)
	}
	if from.Env != nil {
		if m.env = *from.Env; m.env == "" {
			m.env = m.id
		}
	}
	switch {
	case from.Target != "":
		m.target = path.Join("/", from.Target)
	case from.Env == nil:
		m.target = "/run/secrets/" + path.Base(m.id)
	}
	return nil
}
