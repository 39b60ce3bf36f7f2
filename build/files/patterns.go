package files

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
)

// Patterns are those of a .dockerignore, of --exclude or of --parents: filepath.Match
// for each part of a path, "**" for any number of parts, and "!" for what is not meant
// after all. What matches a directory matches all that is in it.
type Patterns struct {
	list     []string
	meant    []string // of those without "!", the parts before the first wildcard
	excepted []string // of those with "!"
}

// NewPatterns checks a list of patterns. An empty list gives nil, which matches nothing.
func NewPatterns(list []string) (*Patterns, error) {
	if len(list) == 0 {
		return nil, nil
	}
	m, err := patternmatcher.New(list)
	if err != nil {
		return nil, err
	}
	p := &Patterns{list: list}
	for _, pattern := range m.Patterns() {
		// Some that are wrong show only when they are used.
		one, err := patternmatcher.New([]string{pattern.String()})
		if err == nil {
			_, err = one.MatchesOrParentMatches("x")
		}
		if err != nil {
			return nil, errors.New("bad pattern " + pattern.String())
		}
		if pattern.Exclusion() {
			p.excepted = append(p.excepted, beginning(pattern.String()))
		} else {
			p.meant = append(p.meant, beginning(pattern.String()))
		}
	}
	return p, nil
}

// beginning is a pattern up to the first part that is not only a name.
func beginning(pattern string) string {
	parts := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	for i, part := range parts {
		if strings.ContainsAny(part, `*?[]^\`) {
			return strings.Join(parts[:i], "/")
		}
	}
	return strings.Join(parts, "/")
}

// leadsTo says whether a pattern with one of these beginnings can mean something in a
// directory, or the directory.
func leadsTo(beginnings []string, dir string) bool {
	for _, b := range beginnings {
		if b == "" || b == dir || strings.HasPrefix(b, dir+"/") || strings.HasPrefix(dir, b+"/") {
			return true
		}
	}
	return false
}

// matcher is what a walk uses of patterns; it is not to be used by two goroutines.
type matcher struct {
	*Patterns
	m *patternmatcher.PatternMatcher // nil: nothing matches
}

func (p *Patterns) matcher() matcher {
	if p == nil {
		return matcher{Patterns: &Patterns{}}
	}
	m, err := patternmatcher.New(p.list)
	if err != nil {
		panic(err) // NewPatterns has made one of the same list
	}
	return matcher{p, m}
}

// match says whether the patterns mean a path below the root. above is the result of
// its directory.
func (m matcher) match(path string, above patternmatcher.MatchInfo) (bool, patternmatcher.MatchInfo, error) {
	if m.m == nil {
		return false, patternmatcher.MatchInfo{}, nil
	}
	return m.m.MatchesUsingParentResults(path, above)
}

// matches is match for a path whose directory was not asked for.
func (m matcher) matches(path string) (bool, error) {
	if m.m == nil || path == "" {
		return false, nil
	}
	return m.m.MatchesOrParentMatches(path)
}

// wild says whether a part of a path has wildcards, as filepath.Match has them.
func wild(part string) bool {
	for i := 0; i < len(part); i++ {
		switch part[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

// splitWild cuts a path at the first part with wildcards.
func splitWild(path string) (plain string, wildcards []string) {
	parts := strings.Split(strings.Trim(filepath.Clean("/"+path), "/"), "/")
	for i, p := range parts {
		if wild(p) {
			return strings.Join(parts[:i], "/"), parts[i:]
		}
	}
	return strings.Join(parts, "/"), nil
}
