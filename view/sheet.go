package view

import "strings"

// sheet is a kind of table: the titles by placeholder, and what Docker prints for
// --format "", raw and --quiet.
type sheet struct {
	titles header
	usual  string // the template behind "table "
	raw    string
	quiet  string
}

// render prints the rows by a format: a table, JSON lines, or a template. A row
// is executed as the template's data.
func (s sheet) render(rows []any, format string, quiet bool) (string, error) {
	format, table := s.format(format, quiet)
	t, err := compile(format)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if table {
		head, err := t.Clone()
		if err != nil {
			return "", err
		}
		line, err := render(head.Funcs(headerFunctions()).Option("missingkey=error"), format, s.titles)
		if err != nil {
			return "", err
		}
		b.WriteString(line + "\n")
	}
	for _, row := range rows {
		line, err := render(t, format, row)
		if err != nil {
			return "", err
		}
		b.WriteString(line + "\n")
	}
	if table {
		return tabulate(b.String(), 10, 3), nil
	}
	return b.String(), nil
}

// format is the template that the flags mean, and whether it makes a table.
// --quiet counts only without a format of the user's own, but for raw and table.
func (s sheet) format(format string, quiet bool) (string, bool) {
	table := false
	switch {
	case quiet && (format == "" || format == "table"):
		return s.quiet, false
	case format == "" || format == "table":
		format, table = s.usual, true
	case format == "json":
		return "{{json .}}", false
	case format == "raw":
		format = s.raw
	default:
		format, table = strings.CutPrefix(format, "table ")
	}
	return strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.Trim(format, " ")), table
}
