package view

import (
	"fmt"
	"slices"
	"strings"
)

// LintWarning is what BuildKit's linter says about a Dockerfile.
type LintWarning struct {
	Rule   string // "StageNameCasing"
	URL    string // where the rule is explained
	Text   string
	File   string
	Source []byte
	Ranges []LineRange
}

func (w LintWarning) line() int {
	start, _ := span(w.Ranges)
	return start
}

// LintReport is the text of build --check, BuildKit's: every warning with the lines
// that it is about.
func LintReport(warnings []LintWarning) string {
	var b strings.Builder
	sorted := sortLint(warnings)
	for i, w := range sorted {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("WARNING: " + Safe(w.Rule))
		if w.URL != "" {
			b.WriteString(" - " + Safe(w.URL))
		}
		b.WriteString("\n" + oneLine(w.Text) + "\n" + Excerpt(w.File, w.Source, w.Ranges))
	}
	switch len(sorted) {
	case 0:
		return "Check complete, no warnings found.\n"
	case 1:
		b.WriteString("\nCheck complete, 1 warning has been found!\n")
	default:
		fmt.Fprintf(&b, "\nCheck complete, %d warnings have been found!\n", len(sorted))
	}
	return b.String()
}

// lintSummary has a line for each warning, for the end of a build.
func lintSummary(warnings []LintWarning) string {
	if len(warnings) == 0 {
		return ""
	}
	var b strings.Builder
	plural := "s"
	if len(warnings) == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, "\n %d warning%s found (sbx build --check shows the lines):\n", len(warnings), plural)
	for _, w := range sortLint(warnings) {
		b.WriteString(" - " + w.short() + "\n")
	}
	return b.String()
}

// short is a warning on one line.
func (w LintWarning) short() string {
	text := Safe(w.Rule) + ": " + oneLine(w.Text)
	if n := w.line(); n > 0 {
		text += fmt.Sprintf(" (line %d)", n)
	}
	return text
}

// sortLint puts warnings in the order of their lines.
func sortLint(warnings []LintWarning) []LintWarning {
	sorted := slices.Clone(warnings)
	slices.SortStableFunc(sorted, func(a, b LintWarning) int {
		if by := strings.Compare(a.File, b.File); by != 0 {
			return by
		}
		return a.line() - b.line()
	})
	return sorted
}
