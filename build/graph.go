package build

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/suggest"

	"sbx/api"
	"sbx/image"
)

// scratch is the name of the empty image.
const scratch = "scratch"

// graph is the stages of a Dockerfile, and what they are made from.
type graph struct {
	file   *dockerfile
	words  words
	global *vars // arguments before the first FROM, and the predefined ones
	target platform
	named  map[string]api.BuildContext // --build-context
	stages []*stage                    // in the order of the file, then what only they name
	byName map[string]*stage           // lower case
	goal   *stage

	ignored func(path string) bool // of the context; nil: nothing is
}

// stage is one FROM with what follows, or an image or a context that is named only by
// a --from.
type stage struct {
	index    int
	name     string // as messages show it; empty: it is the only one
	at       []parser.Range
	platform platform
	asked    bool // the platform was given

	// What it begins with: another stage, a context, an image, or nothing.
	base     *stage
	context  *api.BuildContext
	ref      string // as written, with variables replaced; scratch
	commands []*command
	foreign  bool // named only by a --from
	needed   bool

	image   *image.Image // of ref, when it has been fetched
	release func()       // lets it go

	plan   *plan
	fromID int // of its FROM in the progress
	once   sync.Once
	run    running

	leftOut  bool // caches know all that its readers make of it, see foresee
	foretold struct {
		key    key
		traces []trace
	}
	present atomic.Bool // it has been carried out
}

// command is an instruction of a stage.
type command struct {
	instructions.Command
	from    []*stage // of COPY --from, or of each --mount; nil: the context, or none
	onBuild bool     // of the image that the stage begins with
}

// newGraph works out what the stages begin with and which of them the target needs.
func newGraph(file *dockerfile, r *api.Build, target platform) (*graph, error) {
	g := &graph{file: file, words: newWords(file.escape), target: target, byName: map[string]*stage{}, named: map[string]api.BuildContext{}}
	for _, c := range r.Contexts {
		g.named[strings.ToLower(c.Name)] = c
	}
	name := r.Target
	if name == "" {
		name = file.stages[len(file.stages)-1].Name
	}
	first := predefined(hostPlatform(), target, r.Args, name)
	// Without a value of the user's the bases should be sensible, too.
	if plainArgs, err := g.words.global(first, file.args, nil); err == nil {
		g.checkBases(plainArgs)
	}
	var err error
	if g.global, err = g.words.global(first, file.args, r.Args); err != nil {
		return nil, err
	}
	for i := range file.stages {
		if err := g.addStage(&file.stages[i], i); err != nil {
			return nil, err
		}
	}
	if g.goal, err = g.find(r.Target); err != nil {
		return nil, err
	}
	for _, s := range slices.Clone(g.stages) {
		for _, c := range file.stages[s.index].Commands {
			command, err := g.command(c, s)
			if err != nil {
				return nil, parser.WithLocation(err, c.Location())
			}
			for _, from := range command.from {
				if from != nil && from.foreign && from.at == nil {
					from.at = c.Location()
				}
			}
			s.commands = append(s.commands, command)
		}
	}
	if len(file.stages) == 1 && len(g.stages) == 1 {
		g.stages[0].name = ""
	}
	g.need(g.goal)
	return g, nil
}

func (g *graph) addStage(def *instructions.Stage, index int) error {
	s := &stage{index: index, name: def.Name, at: def.Location, platform: g.target}
	if s.name == "" {
		s.name = fmt.Sprintf("stage-%d", index)
	}
	lint := g.file.lint.WithMergedConfigFromComments(def.Comments)
	base, err := g.words.lex.ProcessWordWithMatches(def.BaseName, g.global)
	if err != nil {
		return parser.WithLocation(err, def.Location)
	}
	g.unknownInFrom(base.Unmatched, def.Location)
	if base.Result == "" {
		return parser.WithLocation(fmt.Errorf("base name (%s) should not be blank", def.BaseName), def.Location)
	}
	if def.Platform != "" {
		p, err := g.words.lex.ProcessWordWithMatches(def.Platform, g.global)
		if err == nil && p.Result == "" {
			err = fmt.Errorf("empty platform value from expression %s", def.Platform)
		}
		if err == nil {
			s.platform, err = parsePlatform(p.Result)
		}
		if err != nil {
			return parser.WithLocation(err, def.Location)
		}
		s.asked = true
		g.checkPlatform(def, p.Result, p.Matched, p.Unmatched, lint)
	}
	if c, ok := g.named[strings.ToLower(def.Name)]; ok && def.Name != "" {
		// --build-context takes the place of a whole stage.
		s.context = &c
	} else {
		g.begin(s, base.Result)
	}
	g.stages = append(g.stages, s)
	if def.Name != "" {
		g.byName[strings.ToLower(def.Name)] = s
	}
	return nil
}

// begin says what a stage begins with: an earlier stage, a context, an image.
func (g *graph) begin(s *stage, name string) {
	lower := strings.ToLower(name)
	switch {
	case g.byName[lower] != nil:
		s.base = g.byName[lower]
		if !s.asked {
			s.platform = s.base.platform
		}
	case name == scratch:
		s.ref = scratch
	default:
		if c, ok := g.named[lower]; ok {
			s.context = &c
			return
		}
		s.ref = name
	}
}

// find is the stage of a name or a number; "" is the last one.
func (g *graph) find(target string) (*stage, error) {
	if target == "" {
		return g.stages[len(g.stages)-1], nil
	}
	if s := g.byName[strings.ToLower(target)]; s != nil {
		return s, nil
	}
	if i, err := strconv.Atoi(target); err == nil && i >= 0 && i < len(g.stages) {
		return g.stages[i], nil
	}
	err := api.Errorf("build", g.file.name, "no stage is called %q", target)
	var names []string
	for _, s := range g.file.stages {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	if like, ok := suggest.Search(target, names, false); ok {
		return nil, err.WithHint("did you mean %s?", like)
	}
	if len(names) > 0 {
		return nil, err.WithHint("there are %s", strings.Join(names, ", "))
	}
	return nil, err
}

var errVariable = errors.New("variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround")

// command finds the stages that an instruction takes files from.
func (g *graph) command(c instructions.Command, of *stage) (*command, error) {
	cmd := &command{Command: c}
	switch c := c.(type) {
	case *instructions.CopyCommand:
		if c.From == "" {
			break
		}
		r, err := g.words.lex.ProcessWordWithMatches(c.From, &vars{})
		if err == nil && r.Result != c.From {
			err = errVariable
		}
		if err != nil {
			return nil, err
		}
		from, err := g.source(c.From, of)
		cmd.from = []*stage{from}
		return cmd, err
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			var from *stage
			if m.From != "" {
				var err error
				if from, err = g.source(m.From, of); err != nil {
					return nil, err
				}
			}
			cmd.from = append(cmd.from, from)
		}
	}
	return cmd, nil
}

// source is what the name of a --from means: a stage before this one, by name or
// number, a context, or an image.
func (g *graph) source(name string, of *stage) (*stage, error) {
	lower := strings.ToLower(name)
	if c, ok := g.named[lower]; ok && g.byName[lower] == nil {
		return g.outside(lower, func(s *stage) { s.context = &c }), nil
	}
	from := g.byName[lower]
	if i, err := strconv.Atoi(name); err == nil && from == nil {
		if i < 0 || i >= len(g.file.stages) {
			return nil, fmt.Errorf("invalid stage index %d", i)
		}
		from = g.stages[i]
	}
	switch {
	case from == nil:
		return g.outside(lower, func(s *stage) { s.ref = name }), nil
	case from.index >= of.index && !of.foreign:
		if from == of {
			return nil, fmt.Errorf("circular dependency detected on stage: %s", of.name)
		}
		return nil, fmt.Errorf("cannot copy from stage %q, it needs to be defined before current stage %q", name, of.name)
	}
	return from, nil
}

// outside is the one stage that stands for an image or a context that only a --from
// names.
func (g *graph) outside(name string, begin func(*stage)) *stage {
	for _, s := range g.stages {
		if s.foreign && s.name == name {
			return s
		}
	}
	s := &stage{index: len(g.stages), name: name, platform: g.target, foreign: true}
	begin(s)
	g.stages = append(g.stages, s)
	return s
}

// need marks a stage and all it is made from.
func (g *graph) need(s *stage) {
	if s == nil || s.needed {
		return
	}
	s.needed = true
	g.need(s.base)
	for _, c := range s.commands {
		for _, from := range c.from {
			g.need(from)
		}
	}
}

// trigger puts the ONBUILD instructions of what a stage begins with in front of its
// own. They may name further sources.
func (g *graph) trigger(s *stage, expressions []string) error {
	var first []*command
	for _, text := range expressions {
		parsed, err := parser.Parse(strings.NewReader(text))
		if err == nil && len(parsed.AST.Children) != 1 {
			err = errors.New("onbuild trigger should be a single expression")
		}
		if err != nil {
			return parser.SetLocation(err, s.at)
		}
		node := parsed.AST.Children[0]
		if len(s.at) > 0 {
			node.StartLine, node.EndLine = s.at[0].Start.Line, s.at[len(s.at)-1].End.Line
		}
		c, err := instructions.ParseCommand(node)
		if err != nil {
			return parser.SetLocation(err, s.at)
		}
		command, err := g.command(c, s)
		if err != nil {
			return parser.SetLocation(err, s.at)
		}
		command.onBuild = true
		for _, from := range command.from {
			g.need(from)
		}
		first = append(first, command)
	}
	s.commands = append(first, s.commands...)
	return nil
}

// checkBases warns of FROMs that mean nothing unless a build argument is given.
func (g *graph) checkBases(args *vars) {
	for _, def := range g.file.stages {
		r, err := g.words.lex.ProcessWordWithMatches(def.BaseName, args)
		if err == nil && image.CheckName(r.Result) != nil && !strings.Contains(r.Result, "@") {
			g.file.lint.Run(&linter.RuleInvalidDefaultArgInFrom, def.Location, linter.RuleInvalidDefaultArgInFrom.Format(def.BaseName))
		}
	}
}

// checkPlatform warns of a FROM --platform that says nothing, or too much.
func (g *graph) checkPlatform(def *instructions.Stage, value string, matched, unmatched map[string]struct{}, lint *linter.Linter) {
	g.unknownInFrom(unmatched, def.Location)
	if len(matched) == 0 && len(unmatched) == 0 {
		p, err := parsePlatform(value)
		if err == nil && !strings.Contains(def.Name, p.os) && !strings.Contains(def.Name, p.arch) {
			lint.Run(&linter.RuleFromPlatformFlagConstDisallowed, def.Location, linter.RuleFromPlatformFlagConstDisallowed.Format(value))
		}
		return
	}
	if _, ok := matched["TARGETPLATFORM"]; ok && len(matched) == 1 && len(unmatched) == 0 {
		if target, _ := g.global.Get("TARGETPLATFORM"); target == value {
			lint.Run(&linter.RuleRedundantTargetPlatform, def.Location, linter.RuleRedundantTargetPlatform.Format(def.Platform))
		}
	}
}
