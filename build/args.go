package build

import (
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/util/suggest"
)

// vars are variables in the order of their first mention. It implements
// shell.EnvGetter.
type vars struct {
	names  []string
	values map[string]string
}

// Get implements shell.EnvGetter.
func (v *vars) Get(name string) (string, bool) {
	value, ok := v.values[name]
	return value, ok
}

// Keys implements shell.EnvGetter.
func (v *vars) Keys() []string { return v.names }

func (v *vars) set(name, value string) {
	if v.values == nil {
		v.values = map[string]string{}
	}
	if _, ok := v.values[name]; !ok {
		v.names = append(v.names, name)
	}
	v.values[name] = value
}

func (v *vars) clone() *vars { return &vars{slices.Clone(v.names), maps.Clone(v.values)} }

// list is the form of an environment.
func (v *vars) list() []string {
	list := make([]string, len(v.names))
	for i, name := range v.names {
		list[i] = name + "=" + v.values[name]
	}
	return list
}

// words replaces variables in words of a Dockerfile.
type words struct {
	lex *shell.Lex
	raw *shell.Lex // for heredocs: quotes mean nothing
}

func newWords(escape rune) words {
	raw := shell.NewLex('\\')
	raw.SkipProcessQuotes = true
	return words{shell.NewLex(escape), raw}
}

// predefined are the variables that a Dockerfile has without an ARG: in FROM at once,
// in a stage after an ARG without a value.
// https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
func predefined(host, target platform, given map[string]string, stage string) *vars {
	if stage == "" {
		stage = "default"
	}
	v := &vars{}
	for _, kv := range [][2]string{
		{"BUILDPLATFORM", host.String()}, {"BUILDOS", host.os}, {"BUILDOSVERSION", ""}, {"BUILDARCH", host.arch}, {"BUILDVARIANT", host.variant},
		{"TARGETPLATFORM", target.String()}, {"TARGETOS", target.os}, {"TARGETOSVERSION", ""}, {"TARGETARCH", target.arch}, {"TARGETVARIANT", target.variant},
		{"TARGETSTAGE", stage},
	} {
		value := kv[1]
		if own, ok := given[kv[0]]; ok {
			value = own
		}
		v.set(kv[0], value)
	}
	return v
}

// global evaluates the ARGs before the first FROM.
func (w words) global(v *vars, args []instructions.ArgCommand, given map[string]string) (*vars, error) {
	v = v.clone()
	for _, c := range args {
		for _, arg := range c.Args {
			if value, ok := given[arg.Key]; ok {
				v.set(arg.Key, value)
				continue
			}
			if arg.Value == nil {
				continue
			}
			r, err := w.lex.ProcessWordWithMatches(*arg.Value, v)
			if err != nil {
				return nil, parser.WithLocation(err, c.Location())
			}
			v.set(arg.Key, r.Result)
		}
	}
	return v, nil
}

// proxies are build arguments that need no ARG, are in the environment of every RUN,
// and neither in the cache's keys nor in the history.
var proxies = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"}

// withProxies adds those that were given to an environment.
func withProxies(env []string, given map[string]string) []string {
	env = slices.Clone(env)
	for _, name := range proxies {
		if value, ok := given[name]; ok {
			env = withEnv(env, name, value)
		}
	}
	return env
}

// unmatched warns of variables that nobody has set.
func (p *planner) unmatched(c instructions.Command, names map[string]struct{}) {
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if slices.ContainsFunc(p.args, func(a instructions.KeyValuePairOptional) bool { return a.Key == name }) {
			continue
		}
		like, _ := suggest.Search(name, p.env.Keys(), runtime.GOOS != "windows")
		p.lint.Run(&linter.RuleUndefinedVar, c.Location(), linter.RuleUndefinedVar.Format(name, like))
	}
}

// unknownInFrom warns of variables in a FROM that no global ARG declares.
func (g *graph) unknownInFrom(names map[string]struct{}, at []parser.Range) {
	var known []string
	for _, c := range g.file.args {
		for _, a := range c.Args {
			known = append(known, a.Key)
		}
	}
	known = append(known, g.global.Keys()...)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if slices.Contains(known, name) {
			continue
		}
		like, _ := suggest.Search(name, known, true)
		g.file.lint.Run(&linter.RuleUndefinedArgInFrom, at, linter.RuleUndefinedArgInFrom.Format(name, like))
	}
}

// argWords are the arguments in the history of a RUN: |2 A=1 B=2.
func argWords(args []instructions.KeyValuePairOptional, env *vars) []string {
	var list []string
	at := map[string]int{}
	for _, a := range args {
		value, ok := env.Get(a.Key)
		if !ok {
			value = a.ValueString()
		}
		kv := a.Key + "=" + value
		if i, ok := at[a.Key]; ok {
			list[i] = kv
			continue
		}
		at[a.Key] = len(list)
		list = append(list, kv)
	}
	return list
}

// secretName says that a variable's name is one of something that is not to be in an
// image, by the words of BuildKit's rule.
func secretName(name string) bool {
	has := func(tokens ...string) bool {
		return slices.ContainsFunc(strings.Split(strings.ToLower(name), "_"), func(part string) bool { return slices.Contains(tokens, part) })
	}
	return has("apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token") &&
		!has("public", "file", "version")
}
