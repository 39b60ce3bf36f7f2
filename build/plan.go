package build

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"sbx/api"
	"sbx/image"
)

// defaultPath is $PATH where an image has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// historyComment marks what a Dockerfile has made, as BuildKit does it.
const historyComment = "buildkit.dockerfile.v0"

// plan is a stage with all variables replaced: what its image says, and what is to be
// done to its files.
type plan struct {
	config  image.Config
	author  string
	history []historyStep
	steps   []*step

	env        *vars // what a RUN sees
	args       []instructions.KeyValuePairOptional
	workdirSet bool
}

// historyStep is an entry of the history; one with a step may have made a layer.
type historyStep struct {
	image.History
	step *step
}

// step is an instruction that changes files: RUN, COPY, ADD, WORKDIR.
type step struct {
	id      int    // in the progress
	title   string // with its number: "[build 2/5] RUN make"
	at      []parser.Range
	run     *runStep
	copy    *copyStep
	mkdir   *mkdirStep
	noCache bool
}

// mkdirStep is a WORKDIR.
type mkdirStep struct{ path, user string }

// planner goes through the instructions of a stage.
type planner struct {
	*plan
	g     *graph
	s     *stage
	r     *api.Build
	lint  *linter.Linter
	seen  map[string][]parser.Range // instructions of which only the last one counts
	cmd   *command
	total int // of steps, the FROM included
	done  int
}

// planStage works out a stage. What it begins with has been worked out.
func (g *graph) planStage(s *stage, r *api.Build) error {
	p := &planner{g: g, s: s, r: r, plan: &plan{}, lint: g.file.lint, seen: map[string][]parser.Range{}}
	s.plan = p.plan
	p.inherit()
	p.count()
	for _, c := range s.commands {
		p.cmd = c
		p.lint = g.file.lint.WithMergedConfigFromComments(c.Comments())
		if err := p.instruction(c); err != nil {
			return parser.WithLocation(err, c.Location())
		}
	}
	return nil
}

// inherit takes over what the stage begins with.
func (p *planner) inherit() {
	switch {
	case p.s.base != nil:
		b := p.s.base.plan
		*p.plan = plan{
			config: cloneConfig(b.config), author: b.author, history: slices.Clone(b.history),
			env: b.env.clone(), args: slices.Clone(b.args), workdirSet: b.workdirSet,
		}
		p.config.OnBuild = nil
		return
	case p.s.image != nil:
		p.config, p.author = cloneConfig(p.s.image.Config), p.s.image.Author
		p.config.OnBuild = nil
		for _, h := range p.s.image.History {
			p.history = append(p.history, historyStep{History: h})
		}
	}
	p.env = &vars{}
	if !slices.ContainsFunc(p.config.Env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") }) {
		p.config.Env = append(p.config.Env, "PATH="+defaultPath)
	}
	for _, kv := range p.config.Env {
		name, value, _ := strings.Cut(kv, "=")
		p.env.set(name, value)
	}
}

func cloneConfig(c image.Config) image.Config {
	c.ExposedPorts, c.Volumes, c.Labels = maps.Clone(c.ExposedPorts), maps.Clone(c.Volumes), maps.Clone(c.Labels)
	c.Env, c.Entrypoint, c.Cmd = slices.Clone(c.Env), slices.Clone(c.Entrypoint), slices.Clone(c.Cmd)
	c.Shell, c.OnBuild = slices.Clone(c.Shell), slices.Clone(c.OnBuild)
	return c
}

// count says how many steps the stage has.
func (p *planner) count() {
	if p.s.base == nil && p.s.ref != scratch {
		p.total = 1
		p.done = 1
	}
	for _, c := range p.s.commands {
		switch c.Command.(type) {
		case *instructions.RunCommand, *instructions.CopyCommand, *instructions.AddCommand, *instructions.WorkdirCommand:
			p.total++
		}
	}
}

// title is how a step is shown.
func (p *planner) title(text string) string {
	p.done++
	name := ""
	if p.s.name != "" {
		name = p.s.name + " "
	}
	if p.cmd.onBuild {
		text = "ONBUILD " + text
	}
	return fmt.Sprintf("[%s%*d/%d] %s", name, len(fmt.Sprint(p.total)), p.done, p.total, text)
}

// fromTitle is how a stage's FROM is shown.
func (s *stage) fromTitle(total int) string {
	name := ""
	if s.name != "" && !s.foreign {
		name = s.name + " "
	}
	return fmt.Sprintf("[%s%*d/%d] FROM %s", name, len(fmt.Sprint(total)), 1, total, s.ref)
}

// note adds to the history.
func (p *planner) note(text string, s *step) {
	if s != nil && s.run != nil {
		text += " # buildkit"
	}
	p.history = append(p.history, historyStep{image.History{CreatedBy: text, Comment: historyComment, Empty: true}, s})
}

// expand replaces the variables of an instruction. What an ARG says is not yet to be
// replaced: it may not count.
func (p *planner) expand(c *command) error {
	if _, isArg := c.Command.(*instructions.ArgCommand); isArg {
		return nil
	}
	if ex, ok := c.Command.(instructions.SupportsSingleWordExpansion); ok {
		err := ex.Expand(func(word string) (string, error) {
			text, unmatched, err := p.g.words.lex.ProcessWord(word, p.env)
			p.unmatched(c, unmatched)
			return text, err
		})
		if err != nil {
			return err
		}
	}
	if ex, ok := c.Command.(instructions.SupportsSingleWordExpansionRaw); ok {
		return ex.ExpandRaw(func(word string) (string, error) {
			text, unmatched, err := p.g.words.raw.ProcessWord(word, p.env)
			p.unmatched(c, unmatched)
			return text, err
		})
	}
	return nil
}

func (p *planner) instruction(c *command) error {
	if err := p.expand(c); err != nil {
		return err
	}
	switch c := c.Command.(type) {
	case *instructions.RunCommand:
		return p.runInstruction(c)
	case *instructions.CopyCommand:
		return p.copyInstruction(c)
	case *instructions.AddCommand:
		return p.addInstruction(c)
	case *instructions.WorkdirCommand:
		return p.workdir(c)
	case *instructions.ArgCommand:
		return p.arg(c)
	default:
		return p.setting(c)
	}
}

// add makes a step of the stage.
func (p *planner) add(s *step, text, created string) {
	s.title, s.at = p.title(text), p.cmd.Location()
	s.noCache = p.r.NoCache || slices.Contains(p.r.NoCacheOf, p.s.name)
	p.steps = append(p.steps, s)
	p.note(created, s)
}

// workdir makes the directory too, as the user.
func (p *planner) workdir(c *instructions.WorkdirCommand) error {
	if !p.workdirSet && !path.IsAbs(c.Path) {
		p.lint.Run(&linter.RuleWorkdirRelativePath, c.Location(), linter.RuleWorkdirRelativePath.Format(c.Path))
	}
	p.workdirSet = true
	dir := c.Path
	if !path.IsAbs(dir) {
		dir = path.Join("/", p.config.WorkDir, dir)
	}
	p.config.WorkDir = path.Clean(dir)
	if p.config.WorkDir == "/" {
		p.done++
		p.note("WORKDIR /", nil)
		return nil
	}
	p.add(&step{mkdir: &mkdirStep{p.config.WorkDir, p.config.User}}, "WORKDIR "+c.Path, "WORKDIR "+p.config.WorkDir)
	return nil
}

func (p *planner) arg(c *instructions.ArgCommand) error {
	var said []string
	for _, arg := range c.Args {
		if secretName(arg.Key) {
			p.lint.Run(&linter.RuleSecretsUsedInArgOrEnv, c.Location(), linter.RuleSecretsUsedInArgOrEnv.Format("ARG", arg.Key))
		}
		given, isGiven := p.r.Args[arg.Key]
		switch {
		case isGiven:
			arg.Value = &given
		case arg.Value != nil:
			text, unmatched, err := p.g.words.lex.ProcessWord(*arg.Value, p.env)
			p.unmatched(c, unmatched)
			if err != nil {
				return err
			}
			arg.Value = &text
		default:
			if v, ok := p.g.global.Get(arg.Key); ok {
				arg.Value = &v
			}
		}
		word := arg.Key
		if arg.Value != nil {
			p.env.set(arg.Key, *arg.Value)
			word += "=" + *arg.Value
		}
		p.args = append(p.args, arg)
		said = append(said, word)
	}
	p.note("ARG "+strings.Join(said, " "), nil)
	return nil
}

// shell puts the image's shell in front of a line.
func (p *planner) shell(words []string) []string {
	shell := p.config.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), strings.Join(words, " "))
}

// network is that of a RUN in the words of a sandbox.
func network(word string) (string, error) {
	switch word {
	case "", "default", "bridge", "sandbox":
		return "", nil
	case "none", "host":
		return word, nil
	}
	return "", api.Errorf("build", "", "--network %s: a build has default, none and host", word)
}
