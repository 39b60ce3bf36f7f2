package build

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"sbx/api"
	"sbx/view"
)

// dockerfile is one that has been parsed.
type dockerfile struct {
	name     string // for messages
	text     []byte
	escape   rune
	stages   []instructions.Stage
	args     []instructions.ArgCommand // before the first FROM
	lint     *linter.Linter
	warnings []view.LintWarning
}

// parse reads a Dockerfile. Warnings are kept in the result, which is not nil when
// there is an error.
func parse(name string, text []byte) (*dockerfile, error) {
	d := &dockerfile{name: name, text: text}
	if len(bytes.TrimSpace(text)) == 0 {
		return d, api.Errorf("build", name, "the Dockerfile is empty").WithHint("its first instruction is FROM")
	}
	if err := checkSyntax(name, text); err != nil {
		return d, err
	}
	word, _, _, _ := parser.ParseDirective("check", text)
	config, err := linter.ParseLintOptions(word)
	if err != nil {
		return d, api.Errorf("build", name, "%s", plain(err)).WithHint("# check=skip=RULE;error=true")
	}
	config.Warn = d.warn
	d.lint = linter.New(config)
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return d, err
	}
	for _, w := range parsed.Warnings {
		if w.URL == linter.RuleNoEmptyContinuation.URL {
			d.lint.Run(&linter.RuleNoEmptyContinuation, []parser.Range{*w.Location}, linter.RuleNoEmptyContinuation.Format())
		}
	}
	d.escape = parsed.EscapeToken
	d.stages, d.args, err = instructions.Parse(parsed.AST, d.lint)
	if err == nil && len(d.stages) == 0 {
		err = api.Errorf("build", name, "no stage is in it").WithHint("begin with FROM")
	}
	if err != nil {
		return d, err
	}
	d.checkNames()
	d.checkCase()
	return d, nil
}

// checkSyntax refuses a language that is not Dockerfile's: BuildKit would fetch a
// program that knows it.
func checkSyntax(name string, text []byte) error {
	ref, _, at, ok := parser.DetectSyntax(text)
	if !ok {
		return nil
	}
	repo, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		repo = repo[:i]
	}
	if repo = strings.TrimPrefix(repo, "docker.io/"); repo == "docker/dockerfile" || repo == "docker/dockerfile-upstream" {
		return nil
	}
	err := api.Errorf("build", name, "# syntax=%s: only the language of docker/dockerfile is known here", view.Safe(ref)).
		WithHint("leave the line out if that is what it is")
	return parser.WithLocation(err, at)
}

// warn implements linter.LintWarnFunc.
func (d *dockerfile) warn(rule, _, url, text string, at []parser.Range) {
	w := view.LintWarning{Rule: rule, URL: url, Text: text, File: d.name, Source: d.text, Ranges: lines(at)}
	// A stage that others begin with is gone through once, but an instruction may be
	// looked at more than once.
	if !slices.ContainsFunc(d.warnings, func(o view.LintWarning) bool {
		return o.Rule == w.Rule && o.Text == w.Text && slices.Equal(o.Ranges, w.Ranges)
	}) {
		d.warnings = append(d.warnings, w)
	}
}

// lines are the lines of a place in a Dockerfile.
func lines(at []parser.Range) []view.LineRange {
	var list []view.LineRange
	for _, r := range at {
		list = append(list, view.LineRange{Start: r.Start.Line, End: r.End.Line})
	}
	return list
}

// location is where in the Dockerfile an error belongs to; nil: nowhere.
func location(err error) []parser.Range {
	var l *parser.LocationError
	if !errors.As(err, &l) || len(l.Locations) == 0 {
		return nil
	}
	var all []parser.Range
	for _, r := range l.Locations {
		all = append(all, r...)
	}
	slices.SortFunc(all, func(a, b parser.Range) int { return a.Start.Line - b.Start.Line })
	return all
}

// checkNames warns of names of stages that mean something else, or are taken.
func (d *dockerfile) checkNames() {
	seen := map[string]bool{}
	for _, s := range d.stages {
		if s.Name == "" {
			continue
		}
		if s.Name == "context" || s.Name == scratch {
			d.lint.Run(&linter.RuleReservedStageName, s.Location, linter.RuleReservedStageName.Format(s.Name))
		}
		if seen[s.Name] {
			d.lint.Run(&linter.RuleDuplicateStageName, s.Location, linter.RuleDuplicateStageName.Format(s.Name))
		}
		seen[s.Name] = true
	}
}

// checkCase warns of instructions that are not written as most of the others.
func (d *dockerfile) checkCase() {
	small, large := 0, 0
	each := func(use func(name string, at []parser.Range)) {
		for _, s := range d.stages {
			use(s.OrigCmd, s.Location)
			for _, c := range s.Commands {
				use(c.Name(), c.Location())
			}
		}
	}
	each(func(name string, _ []parser.Range) {
		switch name {
		case strings.ToLower(name):
			small++
		case strings.ToUpper(name):
			large++
		}
	})
	want, word := strings.ToUpper, "uppercase"
	if small > large {
		want, word = strings.ToLower, "lowercase"
	}
	each(func(name string, at []parser.Range) {
		if want(name) != name {
			d.lint.Run(&linter.RuleConsistentInstructionCasing, at, linter.RuleConsistentInstructionCasing.Format(name, word))
		}
	})
}

// plain is an error's text in one line.
func plain(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
